// Opens the connect page in a window of its own and follows what becomes of it.
// Without scripts, or when the browser blocks the window, the form goes there in this one.

const FINISHED = new Set(["connected", "failed", "expired", "awaiting_confirmation"]);
const NAME = "tokenkeep-connect";
const ENDS = {
  failed: "It was not connected. You can try again.",
  expired: "The link has expired. You can try again.",
  awaiting_confirmation: "Access was given and waits for confirmation.",
};

function openWindow() {
  const left = Math.max(0, Math.round(screenX + (outerWidth - 600) / 2));
  const top = Math.max(0, Math.round(screenY + (outerHeight - 750) / 2));
  return window.open("about:blank", NAME, `popup,width=600,height=750,left=${left},top=${top}`);
}

async function invite(form) {
  const answer = await fetch(form.action, {
    method: "POST",
    body: new URLSearchParams(new FormData(form)),
    headers: { Accept: "application/json" },
    redirect: "error",
  });
  if (!answer.ok) throw new Error("refused");
  return answer.json();
}

async function look(id) {
  const answer = await fetch(`/v1/connect-sessions/${encodeURIComponent(id)}`, { headers: { Accept: "application/json" } });
  return answer.ok ? answer.json() : { state: "pending" };
}

function follow(session, popup, tell) {
  // The message only says that it is worth looking; what happened is read from the service itself.
  const check = async () => {
    const found = await look(session.id).catch(() => ({ state: "pending" }));
    if (FINISHED.has(found.state)) finish(found);
    // A provider may cut the tie to its window, which then looks closed from here although somebody is busy in it.
    // So we go on looking, and only let the button be pressed again.
    else if (popup.closed) tell("Finish in the other window. If you closed it, start again here.");
  };
  const heard = (event) => {
    const fits = event.origin === location.origin && event.data?.type === "tokenkeep:connect";
    if (fits && event.data.connect_session === session.id) check();
  };
  const finish = (found) => {
    clearInterval(timer);
    removeEventListener("message", heard);
    if (found.state === "connected" && found.credential_id) {
      location.assign(`/credentials/${encodeURIComponent(found.credential_id)}`);
    } else {
      tell(ENDS[found.state] ?? ENDS.failed);
    }
  };
  const timer = setInterval(check, 1500);
  addEventListener("message", heard);
}

async function connect(event) {
  const form = event.currentTarget;
  const button = form.querySelector("[type=submit]");
  const status = document.querySelector("[data-connect-status]");
  const tell = (text) => {
    button.disabled = false;
    if (status && status.textContent !== text) status.textContent = text;
  };
  const popup = openWindow();
  if (!popup) return; // blocked: the form goes on by itself
  event.preventDefault();
  button.disabled = true;
  try {
    const session = await invite(form);
    popup.location.replace(`${session.url}?window=popup`);
    if (status) status.textContent = "Go on in the window that opened.";
    follow(session, popup, tell);
  } catch {
    popup.close();
    form.submit(); // the server says what is wrong, in the page
  }
}

for (const form of document.querySelectorAll("form[data-connect]")) form.addEventListener("submit", connect);
