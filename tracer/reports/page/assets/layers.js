// Where the time goes: stacked bars in absolute time, and the same in tables.

function layersSection(view) {
  const { configurations: entries } = view.document;
  const pairs = pairsOf(view);
  return section("layers", "Where the time goes",
    view.sides.some((side) => side.mean_ci95)
      ? "Means per request, in absolute time; the line below a bar is the 95 % interval of its length."
      : "Means per request, in absolute time.",
    legend(entries),
    bars(view),
    pairs.length === 1 && entries.length === 2 ? pairTable(pairs[0], entries, view.sides) : manyTable(entries, view.sides),
    routesTable(entries),
    entries.map((entry) => h("details", {},
      h("summary", {}, `What within the layers${entries.length > 1 ? `: ${entry.name}` : ""}`),
      detailsTable(entry))));
}

function legend(entries) {
  const used = data.layers.filter(({ layer }) => entries.some((entry) => meanOf(entry, layer)));
  return h("ul", { class: "legend" }, used.map((one) =>
    h("li", { title: one.meaning }, swatch(one.layer), one.name)));
}

function meanOf(entry, layer) {
  return entry.layers.find((one) => one.layer === layer).mean_ns;
}

function bars(view) {
  const entries = view.document.configurations;
  const most = Math.max(...entries.map((entry, place) => Math.max(totalOf(entry), view.sides[place].mean_ci95?.[1] ?? 0)), 1);
  return h("div", { class: "bars" }, entries.map((entry, place) => {
    const ends = view.sides[place].mean_ci95;
    const total = totalOf(entry);
    return h("div", { class: "bar" },
      h("div", { class: "name" }, entry.name),
      h("div", { class: "track" },
        h("div", { class: "pieces" }, entry.layers.filter((one) => one.mean_ns).map((one) => piece(entry, view.sides[place], one, most))),
        ends ? h("span", { class: "whisker", title: `95 %: ${interval(ends)}`,
          vars: { "--from": `${(100 * Math.max(ends[0], 0)) / most}%`, "--to": `${(100 * ends[1]) / most}%` } }) : null),
      h("div", { class: "total", "data-value": total }, duration(total)));
  }));
}

function piece(entry, side, one, most) {
  const place = data.layers.findIndex(({ layer }) => layer === one.layer);
  const ends = side.layers_ci95?.[place];
  const inside = entry.details.filter((detail) => detail.layer === one.layer).slice(0, 5);
  const lines = () => [
    `${entry.name}, ${layerName(one.layer)}: ${duration(one.mean_ns)}, ${percent(one.share)}`,
    ends ? `95 % interval ${interval(ends)}` : null,
    `median ${duration(one.p50_ns)} · ${LAYERS.get(one.layer).meaning}`,
    ...inside.map((detail) => `${duration(detail.mean_ns)}  ${ownerWords([detail.layer, detail.detail, detail.part, detail.phase])}`),
  ];
  return h("span", { class: "piece", tabindex: "0", role: "img", tip: lines, "aria-label": lines()[0],
    vars: { "--c": LAYERS.get(one.layer).colour, "--w": `${(100 * one.mean_ns) / most}%` } },
    one.mean_ns / most > 0.09 ? h("em", {}, layerName(one.layer)) : null);
}

function meanColumn(name, place, sides) {
  return { title: name, value: (row) => row.means[place], show: (row) => {
    const ends = row.ends[place];
    return h("span", { title: ends ? `95 % interval ${interval(ends)}` : null }, row.means[place] ? duration(row.means[place]) : "–");
  } };
}

function layerRows(entries, sides) {
  return data.layers.map(({ layer }, place) => ({
    layer,
    place,
    means: entries.map((entry) => meanOf(entry, layer)),
    ends: sides.map((side) => side.layers_ci95?.[place]),
  })).filter((row) => row.means.some(Boolean));
}

function layerColumn() {
  return { title: "layer", left: true, value: (row) => row.place, show: (row) => layerLabel(row.layer), text: (row) => layerName(row.layer) };
}

function pairTable(pair, entries, sides) {
  const found = new Map(pair.layers.map((one) => [one.layer, one]));
  const rows = layerRows(entries, sides).map((row) => ({ ...row, ...found.get(row.layer) }));
  const reach = Math.max(...rows.map((row) => Math.max(Math.abs(row.delta_ns), ...(row.ci95 ?? []).map(Math.abs))), 1);
  const whole = pair.mean_latency_delta_ns;
  return table({
    id: "layers-table", caption: "Layers side by side, mean per request", rows,
    columns: [
      layerColumn(),
      ...entries.map((entry, place) => meanColumn(entry.name, place, sides)),
      { title: "difference", value: (row) => row.delta_ns, show: (row) => signed(row.delta_ns) },
      { title: "95 % interval", value: (row) => row.ci95?.[0], show: (row) => (row.ci95 ? `${signed(row.ci95[0])} to ${signed(row.ci95[1])}` : "–") },
      { title: "share", value: (row) => row.share_of_delta, show: (row) => percent(row.share_of_delta) },
      { title: "less ← → more", left: true, value: (row) => row.delta_ns, show: (row) => forest(row, reach), text: () => "" },
    ],
    foot: ["mean latency", ...entries.map((entry) => duration(totalOf(entry))), signed(whole.value),
      whole.ci95 ? `${signed(whole.ci95[0])} to ${signed(whole.ci95[1])}` : "–", "", ""],
  });
}

// A bar from nothing to the difference, and its interval as a line over it.
function forest(row, reach) {
  const at = (ns) => 50 + (50 * ns) / reach;
  const [low, high] = [Math.min(0, row.delta_ns), Math.max(0, row.delta_ns)];
  return h("span", { class: "forest", "aria-hidden": "true", vars: { "--c": LAYERS.get(row.layer).colour } },
    h("i", { vars: { "--from": `${at(low)}%`, "--to": `${at(high)}%` } }),
    row.ci95 ? h("b", { vars: { "--from": `${at(row.ci95[0])}%`, "--to": `${at(row.ci95[1])}%` } }) : null);
}

function manyTable(entries, sides) {
  const single = entries.length === 1 ? entries[0] : null;
  const of = (row) => single.layers.find((one) => one.layer === row.layer);
  return table({
    id: "layers-table", caption: "Layers, mean per request", rows: layerRows(entries, sides),
    columns: [
      layerColumn(),
      ...entries.map((entry, place) => meanColumn(entry.name, place, sides)),
      ...(single ? [
        { title: "p50", value: (row) => of(row).p50_ns, show: (row) => duration(of(row).p50_ns) },
        { title: "share", value: (row) => of(row).share, show: (row) => percent(of(row).share) },
        { title: "owns", left: true, value: (row) => LAYERS.get(row.layer).meaning },
      ] : []),
    ],
    foot: ["mean latency", ...entries.map((entry) => duration(totalOf(entry))), ...(single ? ["", "100 %", ""] : [])],
  });
}

function routesTable(entries) {
  const rows = entries.flatMap((entry) => entry.routes.map((route) => ({ ...route, name: entry.name })));
  if (rows.length <= entries.length) return null;
  const largest = (row) => Object.entries(row.layers).sort((one, other) => other[1] - one[1])[0];
  return table({
    id: "routes-table", caption: "Routes", rows, limit: 20,
    columns: [
      ...(entries.length > 1 ? [{ title: "of", left: true, value: (row) => row.name }] : []),
      { title: "route", left: true, value: (row) => row.route ?? "unknown" },
      { title: "requests", value: (row) => row.requests },
      { title: "mean", value: (row) => row.latency_ns.mean, show: (row) => duration(row.latency_ns.mean) },
      { title: "p50", value: (row) => row.latency_ns.p50, show: (row) => duration(row.latency_ns.p50) },
      { title: "p99", value: (row) => row.latency_ns.p99, show: (row) => duration(row.latency_ns.p99) },
      { title: "most time in", left: true, value: (row) => largest(row)[0], show: (row) => layerLabel(largest(row)[0]), text: (row) => layerName(largest(row)[0]) },
    ],
  });
}

function detailsTable(entry) {
  return table({
    caption: `Within the layers of ${entry.name}`, rows: entry.details, limit: 25, sorted: { place: 4, descending: true },
    columns: [
      { title: "layer", left: true, value: (row) => row.layer, show: (row) => layerLabel(row.layer), text: (row) => layerName(row.layer) },
      { title: "detail", left: true, value: (row) => row.detail ?? "", show: (row) => (row.detail ? h("code", {}, row.detail) : "") },
      { title: "part", left: true, value: (row) => row.part ?? "" },
      { title: "phase", left: true, value: (row) => row.phase ?? "" },
      { title: "mean", value: (row) => row.mean_ns, show: (row) => duration(row.mean_ns) },
      { title: "times", value: (row) => row.per_request, show: (row) => times(row.per_request) },
    ],
  });
}
