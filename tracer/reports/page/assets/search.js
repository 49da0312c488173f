// Search in a picture: what matches stays bright, and one goes from match to match.

function searchBox(picture, { label, hint, noun, wordsOf, total }) {
  const count = h("output", { class: "count", "aria-live": "polite" });
  let matches = [];
  const field = h("input", { type: "search", placeholder: hint, "aria-label": label, on: {
    input: find,
    keydown: (event) => {
      if (event.key === "Enter") {
        event.preventDefault();
        go(event.shiftKey ? -1 : 1);
      } else if (event.key === "Escape") {
        event.stopPropagation();
        field.value = "";
        find();
        picture.element.focus();
      }
    },
  } });

  function find() {
    const wanted = field.value.trim().toLowerCase();
    matches = wanted ? picture.found.all.filter((one) => wordsOf(one).includes(wanted)) : [];
    count.textContent = wanted ? `${plural(matches.length, noun)}, ${duration(total(matches))}` : "";
    picture.matches(wanted ? new Set(matches.map((one) => one.place)) : null);
  }

  function go(by) {
    if (!matches.length) return;
    const here = picture.state.chosen?.place ?? (by > 0 ? -1 : Infinity);
    const next = by > 0
      ? matches.find((one) => one.place > here) ?? matches[0]
      : matches.findLast((one) => one.place < here) ?? matches.at(-1);
    picture.choose(next);
  }

  picture.element.addEventListener("keydown", (event) => {
    if (event.key === "/") {
      event.preventDefault();
      event.stopPropagation();
      field.focus();
    } else if (event.key === "n" || event.key === "N") go(event.key === "n" ? 1 : -1);
  });
  return h("span", { class: "search" }, field, button("Next", () => go(1)), count);
}
