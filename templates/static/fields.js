// Says while one types what looks odd about a value, and takes a file dropped onto a field of several lines.
// Nothing here keeps anybody from saving: the service looks at each value again, and knows more.

const LARGEST = 65536;
const QUOTED = /^(["'`“‘])[^]+["'`”’]$/;

function odd(field, whole) {
  const text = field.value;
  const { prefix, lead, min, max } = field.dataset;
  const bare = text.trim();
  if (!bare) return "";
  if (lead && bare.toLowerCase().startsWith(`${lead.toLowerCase()} `)) return `The word ${lead} is added by itself; it is left out when you save.`;
  if (QUOTED.test(bare)) return "It stands in quotes. Check that they belong to it.";
  // The first letters of a beginning are no mistake yet.
  if (prefix && !bare.startsWith(prefix) && (whole || !prefix.startsWith(bare))) return `It usually begins with ${prefix}. Check that it is the right one.`;
  if (max && bare.length > Number(max)) return `It usually has at most ${max} characters. Check that it was pasted once.`;
  if (!whole) return "";
  if (min && bare.length < Number(min)) return `It usually has at least ${min} characters. Check that it was copied whole.`;
  return document_problem(field, bare);
}

function document_problem(field, text) {
  const members = field.dataset.members?.split(" ").filter(Boolean) ?? [];
  if (!("json" in field.dataset) && !members.length) return "";
  let found;
  try {
    found = JSON.parse(text);
  } catch {
    return "This is not JSON yet. When you save, the service says in which line.";
  }
  const missing = members.filter((name) => !found?.[name]);
  return missing.length ? `It should have ${missing.join(" and ")}. Check that it is the right file.` : "";
}

function watch(field) {
  const told = document.getElementById(`${field.id}-odd`);
  const tell = (text) => {
    told.textContent = text;
    told.hidden = !text;
  };
  field.addEventListener("input", () => tell(odd(field, false)));
  field.addEventListener("change", () => tell(odd(field, true)));
  if (field.localName === "textarea") takeFiles(field, tell);
}

function takeFiles(field, tell) {
  const carries = (event) => event.dataTransfer?.types.includes("Files");
  const mark = (event) => {
    if (!carries(event)) return;
    event.preventDefault(); // else the browser opens the file in place of this page
    field.classList.toggle("receives", event.type === "dragover");
  };
  field.addEventListener("dragover", mark);
  field.addEventListener("dragleave", mark);
  field.addEventListener("drop", async (event) => {
    mark(event);
    const [file] = event.dataTransfer?.files ?? [];
    if (!file) return;
    if (file.size > LARGEST) return tell(`This file is larger than ${LARGEST / 1024} KB, so it is not the one.`);
    field.value = await file.text();
    tell(odd(field, true));
  });
}

for (const field of document.querySelectorAll("[data-watched]")) watch(field);
