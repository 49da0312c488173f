// Flame graphs of requests, of many added up, and of what differs between two sides.

const GROUPS = { difference: "Difference", aggregate: "Added up", request: "One request" };

function flamesSection(view) {
  const { how, steps, pictures } = view.flames;
  const title = "Flame graphs";
  if (!pictures.length) return section("flames", title, prose(how));
  const stage = h("div", {});
  const choice = h("select", { "aria-label": "Flame graph", on: { change: () => open(Number(choice.value)) } },
    Object.entries(GROUPS).map(([kind, label]) => {
      const group = pictures.map((one, place) => ({ one, place })).filter(({ one }) => one.kind === kind);
      return group.length ? h("optgroup", { label }, group.map(({ one, place }) => h("option", { value: String(place) }, one.label))) : null;
    }));
  const named = pictures.map((one, place) => ({ one, place })).filter(({ one }) => one.pick);
  const picks = h("div", { class: "picks", role: "group", "aria-label": "Which flame graph" },
    named.map(({ one, place }) => button(one.pick, () => open(place), { "data-flame": String(place) })));

  function open(place) {
    choice.value = String(place);
    for (const one of picks.children) one.setAttribute("aria-pressed", String(one.dataset.flame === choice.value));
    const picture = pictures[place];
    stage.replaceChildren(
      h("h3", { id: "flame-name", "data-kind": picture.kind, "data-id": picture.request_id }, picture.title),
      flameGraph(picture, steps));
  }

  open(0);
  return section("flames", title,
    [...prose("Layers on top, exact; below them the Python functions that ran in them, on whichever thread. "), ...prose(how ?? "")],
    h("div", { class: "picker" }, picks, pictures.length > named.length ? h("label", {}, "or ", choice) : null),
    stage);
}
