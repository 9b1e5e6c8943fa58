// Narrows the cards while one types. Without scripts the form asks the server for the same.

const input = document.querySelector("[data-filter]");
const cards = [...document.querySelectorAll("[data-filter-list] > li")];
const none = document.querySelector("[data-filter-none]");
const count = document.querySelector("[data-filter-count]");

function narrow() {
  const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const card of cards) {
    const fits = words.every((word) => card.dataset.words.includes(word));
    card.hidden = !fits;
    shown += fits ? 1 : 0;
  }
  none.hidden = shown > 0;
  count.textContent = `${shown} services shown`;
}

// A page that the server has narrowed already lacks the other cards, so only a full page filters at once.
if (input && !new URLSearchParams(location.search).get("q")) input.addEventListener("input", narrow);
