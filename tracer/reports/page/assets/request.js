// One request: chosen from a scatter or a list, drawn as a waterfall.

const PICKED = { wanted: "asked for", median: "median", p99: "p99", slowest: "slowest" };

function requestSection(view) {
  if (!view.sides.some((side) => side.requests.length)) return null;
  const stage = h("div", { class: "stage" });
  const choice = h("select", { "aria-label": "Request", on: { change: () => open(...choice.value.split(" ", 2)) } });
  const picks = h("div", { class: "picks", role: "group", "aria-label": "Which request" });
  const spots = scatter(view, open);
  const flat = view.sides.flatMap((side, place) => side.requests.map((request) => ({ place, request })));

  function open(place, id) {
    const side = view.sides[Number(place)];
    const request = side.requests.find((one) => one.request_id === id);
    const fallPanel = chosenPanel();
    const fall = waterfall(model(request), { selected: fallPanel.show });
    stage.replaceChildren(
      title(side, request),
      tools(fall),
      h("div", { class: "lanes" }, fall.element),
      fallPanel.element,
      ...stepsTables(fall).filter(Boolean));
    choice.value = `${place} ${id}`;
    for (const one of picks.querySelectorAll("button")) one.setAttribute("aria-pressed", String(one.dataset.key === `${place} ${id}`));
    spots.mark(request);
    view.opened = { place: Number(place), id };
  }

  function title(side, request) {
    const path = request.target ?? request.route ?? "an unknown route";
    return h("div", { class: "request-head" },
      h("h3", { id: "request-name", "data-id": request.request_id, "data-value": request.duration_ns },
        `${side.name}: ${request.method} ${path}, ${request.status ?? "no status"}, ${duration(request.duration_ns)}`),
      h("p", { class: "dim" }, [
        `request ${request.request_id}`, `trace ${request.trace_id}`, request.server, request.loop, request.http, `process ${request.pid}`,
        request.outcome === "complete" ? null : request.outcome, request.error_type,
        request.after_response_ns ? `${duration(request.after_response_ns)} after the response` : null,
        request.folded ? `${request.folded} marks folded` : null,
      ].filter(Boolean).join(" · ")));
  }

  function tools(fall) {
    return h("div", { class: "tools", role: "group", "aria-label": "Waterfall" },
      button("−", () => fall.zoom(1 / 0.6), { "aria-label": "Zoom out", class: "zoom-out" }),
      button("+", () => fall.zoom(0.6), { "aria-label": "Zoom in", class: "zoom-in" }),
      button("◀", () => fall.pan(-0.3), { "aria-label": "Earlier" }),
      button("▶", () => fall.pan(0.3), { "aria-label": "Later" }),
      button("Fit", fall.fit, { class: "fit" }),
      fall.found.to > fall.found.request.duration_ns ? button("Fit with what follows", fall.fitAll) : null,
      searchBox(fall, { label: "Search in the request", hint: "Search: middleware, wake, view…", noun: "step", wordsOf: wordsOfMoment,
        total: (matches) => matches.reduce((sum, one) => sum + (one.kind === "main" ? one.ns : 0), 0) }));
  }

  view.sides.forEach((side, place) => {
    for (const [name, id] of Object.entries(side.picked)) {
      picks.append(button(`${view.sides.length > 1 ? `${side.name} ` : ""}${PICKED[name]}`, () => open(place, id),
        { "data-key": `${place} ${id}`, "data-pick": name, "data-side": String(place) }));
    }
    choice.append(h("optgroup", { label: side.name }, side.requests.map((request) =>
      h("option", { value: `${place} ${request.request_id}` }, `${duration(request.duration_ns)}  ${request.method} ${request.target ?? request.route ?? "unknown"}  ${request.status ?? ""}`))));
  });
  const by = (step) => {
    const here = flat.findIndex(({ place, request }) => view.opened.place === place && view.opened.id === request.request_id);
    const next = flat[(here + step + flat.length) % flat.length];
    open(next.place, next.request.request_id);
  };
  const slowest = view.document.configurations.reduce((best, entry, place, all) => (entry.latency_ns.p50 > all[best].latency_ns.p50 ? place : best), 0);
  const first = [slowest, ...view.sides.keys()].find((place) => view.sides[place].requests.length);
  const side = view.sides[first];
  open(first, side.picked.wanted ?? side.picked.median ?? side.requests[0].request_id);
  return section("request", "One request",
    "A lane for each thread; arrows are hand-offs between them; hatched is waiting, drawn where it goes on. Steps tile the request: nothing is left out.",
    spots.element,
    h("div", { class: "picker" }, picks, h("label", {}, "or ", choice), button("Faster", () => by(-1)), button("Slower", () => by(1))),
    stage);
}
