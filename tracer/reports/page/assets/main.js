// The page: a view at a time, section after section. A section without anything to show is null.

const SECTIONS = [
  ["answer", "Answer", answerSection],
  ["layers", "Layers", layersSection],
  ["request", "Request", requestSection],
  ["handoffs", "Hand-offs", handoffsSection],
  ["distribution", "Distribution", distributionSection],
  ["flames", "Flames", flamesSection],
  ["evidence", "Evidence", evidenceSection],
];

function show(view) {
  redraws.clear();
  const made = SECTIONS.map(([id, name, make]) => ({ id, name, element: make(view) })).filter((one) => one.element);
  document.getElementById("content").replaceChildren(...made.map((one) => one.element));
  document.getElementById("nav").replaceChildren(...made.map((one) => h("a", { href: `#${one.id}` }, one.name)));
}

function viewSwitch() {
  if (data.views.length < 2) return null;
  const buttons = data.views.map((view, place) => button(view.name, () => choose(place)));
  function choose(place) {
    buttons.forEach((one, index) => one.setAttribute("aria-pressed", String(index === place)));
    show(data.views[place]);
  }
  buttons.forEach((one, index) => one.setAttribute("aria-pressed", String(index === 0)));
  return h("div", { class: "views", role: "group", "aria-label": "Load" }, buttons);
}

document.getElementById("controls").append(...[viewSwitch(), themeButton()].filter(Boolean));
show(data.views[0]);
document.documentElement.dataset.ready = "true";
