// Hand-offs: where they are asked for, what each phase costs, how long a thread takes to wake.

function handoffsSection(view) {
  const entries = view.document.configurations.filter((entry) => entry.handoffs.sites.length || entry.handoffs.after_response_sites.length);
  if (!entries.length) return null;
  const sides = view.sides.filter((side) => side.wake_histogram.length);
  return section("handoffs", "Hand-offs",
    "Times a request × cost each = what they cost a request. A darker cell is a dearer phase. What runs there is not their cost.",
    entries.map((entry) => [
      h("h3", {}, `${entry.name}: ${times(entry.handoffs.per_request)} a request, ${times(entry.handoffs.after_response_per_request)} after the response`),
      sitesTable(entry, entry.handoffs.sites, "sites"),
      phasesTable(entry),
      entry.handoffs.after_response_sites.length
        ? h("details", {}, h("summary", {}, "After the response"), sitesTable(entry, entry.handoffs.after_response_sites, "after"))
        : null,
    ]),
    sides.length ? wakes(view, sides) : null);
}

// What the layer `handoff` owns of a site, by phase: the document's details.
function phasesOf(entry, site) {
  const found = {};
  for (const one of entry.details) {
    if (one.layer === "handoff" && one.detail === site && one.phase) found[one.phase] = (found[one.phase] ?? 0) + one.mean_ns;
  }
  return found;
}

function sitesTable(entry, sites, kind) {
  const rows = sites.map((one) => ({ ...one, each: one.per_request ? one.mean_ns / one.per_request : 0, phases: kind === "sites" ? phasesOf(entry, one.site) : {} }));
  const shown = COSTLY.filter((phase) => rows.some((row) => row.phases[phase]));
  const most = Math.max(...rows.flatMap((row) => Object.values(row.phases)), 1);
  return table({
    id: kind === "sites" ? `sites-${entry.name}` : null,
    caption: kind === "sites" ? `Hand-off sites of ${entry.name}` : `Hand-off sites of ${entry.name} after the response`,
    rows, limit: 20, className: "sites",
    columns: [
      { title: "what ran in a thread, asked by", left: true, value: (row) => row.site, text: (row) => row.site, show: (row) => [
        h("code", { title: row.site }, (row.direction === "to_loop" ? "(on a loop) " : "") + short(ranThere(row.site))),
        h("code", { class: "asked", title: row.site }, `← ${short(askedBy(row.site))}`)] },
      { title: "times", value: (row) => row.per_request, show: (row) => times(row.per_request) },
      { title: "× each", value: (row) => row.each, show: (row) => duration(row.each) },
      { title: "= a request", value: (row) => row.mean_ns, show: (row) => duration(row.mean_ns) },
      ...shown.map((phase) => ({ title: phase, value: (row) => row.phases[phase] ?? 0, show: (row) => heat(row.phases[phase], most) })),
      { title: "wake p50", value: (row) => row.wake_p50_ns, show: (row) => duration(row.wake_p50_ns) },
      { title: "new thread", value: (row) => row.thread_started_share, show: (row) => (row.thread_started_share ? percent(row.thread_started_share) : "–") },
    ],
  });
}

function heat(ns, most) {
  if (!ns) return "–";
  return h("span", { class: "heat", vars: { "--h": `${Math.round(70 * Math.sqrt(ns / most))}%` } }, duration(ns));
}

function phasesTable(entry) {
  const rows = entry.handoffs.phases.filter((one) => one.mean_ns || one.p99_ns);
  if (!rows.length) return null;
  return h("details", {}, h("summary", {}, "One hand-off by phase: mean, median, p99"), table({
    caption: `Phases of a hand-off of ${entry.name}`, rows: rows.map((row) => ({ ...row, place: PHASES.indexOf(row.phase) })),
    columns: [
      { title: "phase", left: true, value: (row) => row.place, show: (row) => row.phase, text: (row) => row.phase },
      ...["mean", "p50", "p99"].map((name) => ({ title: name, value: (row) => row[`${name}_ns`], show: (row) => duration(row[`${name}_ns`]) })),
    ],
  }));
}

function wakes(view, sides) {
  const edges = [...new Set(sides.flatMap((side) => side.wake_histogram.flatMap(([from, to]) => [from, to])))].sort((one, other) => one - other);
  const columns = sides.map((side) => {
    const total = side.wake_histogram.reduce((sum, one) => sum + one[2], 0) / (1 - side.wake_none);
    const found = new Map(side.wake_histogram.map(([from, , many]) => [from, (100 * many) / total]));
    return edges.map((edge) => found.get(edge) ?? 0);
  });
  const place = (side) => view.sides.indexOf(side);
  return h("figure", { id: "wakes" },
    h("figcaption", {}, "How long a thread takes to wake: from handed over to running, share of hand-offs (log scale).",
      sides.filter((side) => side.wake_none).map((side) =>
        ` ${side.name}: ${percent(side.wake_none)} were running before they were handed over, without a wake-up.`)),
    chart("Distribution of wake delay", 220, () => ({
      cursor: { drag: { x: true, y: false } },
      scales: { x: { time: false, distr: 3, range: logRange }, y: { range: (_u, _low, high) => [0, Math.max(high, 1) * 1.08] } },
      axes: [axis("wake delay", milliseconds, { splits: decades, size: 34 }), axis("% of hand-offs", (_u, splits) => splits.map(String), { size: 56 })],
      series: [
        { label: "from", value: (_u, one) => (one === null ? "–" : duration(one * 1e6)) },
        ...sides.map((side) => ({ label: side.name, stroke: sideColour(place(side)), width: 1.5, fill: `${sideColour(place(side))}33`,
          paths: uPlot.paths.stepped({ align: 1 }), points: { show: false }, value: (_u, one) => (one === null || one === undefined ? "–" : `${one.toFixed(1)} %`) })),
      ],
    }), [edges.map(inMs), ...columns]));
}
