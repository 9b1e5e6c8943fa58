// Times in words: "in 4 min", "2 h ago". Without scripts the absolute time stands; with them it stays as the title.

const words = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "long" });
const STEPS = [["day", 86400], ["hour", 3600], ["minute", 60]];

function said(seconds) {
  for (const [unit, size] of STEPS) {
    if (Math.abs(seconds) >= size) return words.format(Math.trunc(seconds / size), unit);
  }
  // Times are cut to whole seconds and clocks differ a little: what has just happened must not seem to lie ahead.
  if (Math.abs(seconds) < 10) return "just now";
  return seconds < 0 ? `${-seconds} s ago` : `in ${seconds} s`;
}

function counted(seconds) {
  // A countdown below one hour shows seconds: it is watched. What is long over is not "now" any more.
  if (seconds <= -60) return said(seconds);
  if (seconds <= 0) return "now";
  if (seconds >= 3600) return said(seconds);
  const minutes = Math.floor(seconds / 60);
  return minutes ? `in ${minutes} min ${String(seconds % 60).padStart(2, "0")} s` : `in ${seconds} s`;
}

function tick() {
  const now = Date.now();
  for (const one of document.querySelectorAll("time[data-ago], time[data-countdown]")) {
    const seconds = Math.round((Date.parse(one.dateTime) - now) / 1000);
    if (Number.isNaN(seconds)) continue;
    if (!one.title) one.title = one.textContent;
    const text = "countdown" in one.dataset ? counted(seconds) : said(seconds);
    if (one.textContent !== text) one.textContent = text;
  }
}

tick();
setInterval(tick, 1000);
document.addEventListener("tokenkeep:changed", tick);
