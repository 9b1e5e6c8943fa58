// Tells the page that opened this window that it is worth looking, at the exact origin it was opened from, and closes.

const sheet = document.querySelector("[data-origin]");

if (sheet && window.opener && window.opener !== window) {
  const { origin, session, state } = sheet.dataset;
  window.opener.postMessage({ type: "tokenkeep:connect", connect_session: session, state }, origin);
  // What failed stays readable, and so does a code that is waiting to be copied.
  if (state === "connected") setTimeout(() => window.close(), 1200);
}
