// Search in a waterfall: what matches stays bright, and one goes from match to match.

function searchBox(fall) {
  const count = h("output", { class: "count", "aria-live": "polite" });
  let matches = [];
  const field = h("input", { type: "search", placeholder: "Search: middleware, wake, view…", "aria-label": "Search in the request", on: {
    input: find,
    keydown: (event) => {
      if (event.key === "Enter") {
        event.preventDefault();
        go(event.shiftKey ? -1 : 1);
      } else if (event.key === "Escape") {
        field.value = "";
        find();
        fall.element.focus();
      }
    },
  } });

  function find() {
    const wanted = field.value.trim().toLowerCase();
    matches = wanted ? fall.found.all.filter((one) => wordsOf(one).includes(wanted)) : [];
    const total = matches.reduce((sum, one) => sum + (one.kind === "main" ? one.ns : 0), 0);
    count.textContent = wanted ? `${plural(matches.length, "step")}, ${duration(total)}` : "";
    fall.matches(wanted ? new Set(matches.map((one) => one.place)) : null);
  }

  function go(by) {
    if (!matches.length) return;
    const here = fall.state.chosen?.place ?? (by > 0 ? -1 : Infinity);
    const next = by > 0
      ? matches.find((one) => one.place > here) ?? matches[0]
      : matches.findLast((one) => one.place < here) ?? matches.at(-1);
    fall.choose(next);
  }

  fall.element.addEventListener("keydown", (event) => {
    if (event.key === "/") {
      event.preventDefault();
      field.focus();
    } else if (event.key === "n" || event.key === "N") go(event.key === "n" ? 1 : -1);
  });
  return h("span", { class: "search" }, field, button("Next", () => go(1)), count);
}

function wordsOf(one) {
  one.words ??= [...one.owner, layerName(one.layer), one.waits ? "wait" : "run", one.lane.name, one.kind, one.certainty,
    one.hop?.site].filter(Boolean).join(" ").toLowerCase();
  return one.words;
}
