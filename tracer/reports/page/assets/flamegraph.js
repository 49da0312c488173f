// A flame with all that goes with it: its views, tools, what is chosen, its sums, notes and figures as a table.

function flameGraph(picture, steps) {
  const stage = h("div", { class: "stage" });
  const tabs = picture.views.map((view, place) => button(view.name, () => open(place), { "data-view": view.name }));
  let now = null;

  function open(place) {
    tabs.forEach((one, index) => one.setAttribute("aria-pressed", String(index === place)));
    const panel = h("div", { class: "chosen told", role: "status" });
    now = flameView(picture.views[place], steps, picture.names, { selected: (lines) => tell(panel, lines) });
    tell(panel, null);
    stage.replaceChildren(
      h("div", { class: "tools", role: "group", "aria-label": "Flame graph" },
        button("−", () => now.zoom(1 / 0.6), { "aria-label": "Zoom out", class: "zoom-out" }),
        button("+", () => now.zoom(0.6), { "aria-label": "Zoom in", class: "zoom-in" }),
        button("◀", () => now.pan(-0.3), { "aria-label": "To the left" }),
        button("▶", () => now.pan(0.3), { "aria-label": "To the right" }),
        button("Fit", now.fit, { class: "fit" }),
        searchBox(now, { label: "Search in the flame graph", hint: "Search: a function, a file…", noun: "level", wordsOf: wordsOfLevel, total: together })),
      now.frame,
      panel,
      flameLegend(picture, place, now.found));
  }

  const element = h("div", { class: "flamegraph" },
    tabs.length > 1 ? h("div", { class: "views", role: "group", "aria-label": "Views" }, tabs) : null,
    stage,
    picture.notes.length ? h("ul", { class: "notes" }, picture.notes.map((note) => h("li", {}, note))) : null,
    flameTable(picture, steps));
  open(0);
  return element;
}

function tell(panel, lines) {
  panel.replaceChildren(...(lines
    ? lines.map((line, place) => h("p", {}, place ? line : h("strong", {}, line)))
    : [h("p", { class: "hint" }, "Point at a level, or focus the picture and press ↓ for the first. A click or Enter zooms to it, Escape shows all; / searches.")]));
}

function wordsOfLevel(one) {
  one.words ??= [nameOf(one), one.where, one.layer, one.kind].filter(Boolean).join(" ").toLowerCase();
  return one.words;
}

// What matches lies within what matches too: only the outermost count.
function together(matches) {
  let [sum, until] = [0, -Infinity];
  for (const one of matches) {
    if (one.at < until) continue;
    sum += Math.max(one.a, one.b);
    until = endOf(one);
  }
  return sum;
}

function flameLegend(picture, place, found) {
  const left = picture.views[place].hidden;
  return h("div", {},
    found.compares ? changesLegend(picture.names) : layersLegend(picture.views[place].layers, picture.views.length === 1),
    left ? h("p", { class: "remark" }, `${plural(left, "level")} too short to be seen ${left === 1 ? "is" : "are"} left out.`) : null);
}

function changesLegend([a, b]) {
  const mark = (colour, text) => h("li", {}, h("span", { class: "swatch", "aria-hidden": "true", vars: { "--c": `rgb(${colour.join(" ")})` } }), text);
  return h("ul", { class: "legend" }, mark(LONGER, `longer in ${b} than in ${a}`), mark(SHORTER, `shorter in ${b}`), h("li", {}, "means per request, as wide as in the longer of both"));
}

function layersLegend(layers, means) {
  return [layerSums(layers, "This picture by layer"), h("ul", { class: "legend" }, means ? h("li", {}, "means per request") : null, h("li", {}, "paler: Python functions"), h("li", {}, "hatched: waiting"))];
}

// The same in figures, for whoever reads no picture: levels by what they had themselves.
function flameTable(picture, steps) {
  const view = picture.views.at(-1);
  const two = view.kind === "difference";
  const own = new Map();
  const open = [];
  for (const [, ns, depth, step, a = ns, b = 0] of view.rectangles) {
    for (const [number, sign] of [[step, 1], [depth ? open[depth - 1] : undefined, -1]]) {
      if (number === undefined) continue;
      const [one, other] = own.get(number) ?? [0, 0];
      own.set(number, [one + sign * a, other + sign * b]);
    }
    open[depth] = step;
  }
  const rows = [...own].filter(([, [a, b]]) => Math.round(a) || Math.round(b)).map(([step, [a, b]]) => {
    const [name, layer, kind, where] = steps[step];
    return { a, b, by: b - a, name: nameOf({ name, kind }), layer, where };
  });
  const column = (title, key, say = duration) => ({ title, value: (row) => row[key], show: (row) => say(row[key]) });
  const figures = two
    ? [column(picture.names[0], "a"), column(picture.names[1], "b"), column("difference", "by", signed)]
    : [column("itself", "a")];
  rows.sort((one, other) => (two ? Math.abs(other.by) - Math.abs(one.by) : other.a - one.a));
  return h("details", { class: "steps" }, h("summary", {}, "The same as a table"),
    table({ id: "flame-table", caption: "Levels by the time they had themselves, without what is below them", rows, limit: 25, columns: [
      ...figures,
      { title: "layer", left: true, value: (row) => row.layer, show: (row) => (LAYERS.has(row.layer) ? layerLabel(row.layer) : row.layer), text: (row) => row.layer },
      { title: "what", left: true, value: (row) => row.name, show: (row) => h("code", {}, row.name) },
      { title: "where", left: true, value: (row) => row.where, show: (row) => h("code", {}, row.where) },
    ] }));
}
