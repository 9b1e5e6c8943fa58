// In a window that a page opened for connecting: tells that page, at its exact origin, that it is worth looking, and
// closes. A provider may have cut the tie to the opener meanwhile; the page then learns it by looking itself.

const MARK = "tokenkeep-window";
const sheet = document.querySelector("[data-origin]");

if (new URLSearchParams(location.search).get("window") === "popup") sessionStorage.setItem(MARK, "popup");

if (sheet) {
  const { origin, session, state } = sheet.dataset;
  window.opener?.postMessage({ type: "tokenkeep:connect", connect_session: session, state }, origin);
  // What failed or was lost stays readable, and so does a code that is waiting to be copied.
  const ours = Boolean(window.opener) || sessionStorage.getItem(MARK) === "popup";
  if (ours && state === "connected" && !("lost" in sheet.dataset)) setTimeout(() => window.close(), 1200);
}
