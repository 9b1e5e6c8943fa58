// Keeps the status page up to date: the server sends a part of the page whenever that part has changed.

const sign = document.querySelector("[data-live]");
const shown = new Map();

function replace(region, html) {
  if (shown.get(region) === html) return;
  const place = document.querySelector(`[data-region="${region}"]`);
  if (!place) return;
  const held = place.contains(document.activeElement) ? document.activeElement.id : "";
  place.innerHTML = html; // our own template, escaped there
  if (held) document.getElementById(held)?.focus({ preventScroll: true });
  shown.set(region, html);
}

function live(on, text) {
  sign.dataset.on = on ? "yes" : "no";
  sign.textContent = text;
}

const source = new EventSource("/status/events");
source.addEventListener("open", () => live(true, "Live"));
source.addEventListener("message", (event) => {
  for (const [region, html] of Object.entries(JSON.parse(event.data))) replace(region, html);
  document.dispatchEvent(new Event("tokenkeep:changed"));
});
source.addEventListener("ended", () => {
  source.close();
  live(false, "Signed out: load the page again");
});
source.addEventListener("error", () => {
  const over = source.readyState === EventSource.CLOSED;
  live(false, over ? "Not live: load the page again" : "Connecting again…");
});
addEventListener("pagehide", () => source.close());
