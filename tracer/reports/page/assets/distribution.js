// How latencies are spread: percentile curves with the control rounds, and percentiles as figures.

function distributionSection(view) {
  return section("distribution", "Distribution",
    "Percentile curves as HdrHistogram draws them: each step to the right has ten times fewer requests beyond it.",
    percentileChart(view),
    latencyTable(view),
    view.sides.map((side) => h("details", {}, h("summary", {}, `Layers by percentile${view.sides.length > 1 ? `: ${side.name}` : ""}`), layerPercentiles(side))));
}

const KINDS = { traced: {}, untraced: { dash: [6, 4] }, floor: { dash: [1, 4] } };

function percentileChart(view) {
  const curves = view.sides.flatMap((side, place) =>
    Object.keys(KINDS).filter((kind) => side.curves[kind].length).map((kind) => ({ side, place, kind, points: side.curves[kind] })));
  if (!curves.length) return null;
  const beyond = (share, most) => (share >= 1 ? most : 1 / (1 - share));
  const tables = curves.map(({ points }) => {
    const most = points.length > 1 ? 2 * beyond(points.at(-2)[0], 1) : 2;
    return [points.map(([share]) => beyond(share, most)), points.map(([, ns]) => inMs(ns))];
  });
  return h("figure", { id: "percentiles" },
    h("figcaption", {}, "Latency by percentile", curves.some((one) => one.kind === "untraced") ? "; dashed: control rounds without tracing" : null,
      curves.some((one) => one.kind === "floor") ? "; dotted: the network floor" : null),
    chart("Latency by percentile", 300, () => ({
      cursor: { drag: { x: true, y: true } },
      scales: { x: { time: false, distr: 3, range: (_u, low, high) => [Math.max(low, 1), Math.max(high, 10)] }, y: { distr: 3, range: logRange } },
      axes: [
        axis("percentile", (_u, splits) => splits.map(percentileWords), { size: 34, splits: (plot, _axis, low, high) => decades(plot, 0, low, high).filter((one) => one >= 1 && (one === 2 || Number.isInteger(Math.log10(one)))) }),
        axis("latency", milliseconds, { size: 74, splits: decades }),
      ],
      series: [
        { label: "percentile", value: (_u, one) => (one === null ? "–" : percentileWords(one)) },
        ...curves.map(({ side, place, kind }) => ({ label: view.sides.length > 1 || kind !== "traced" ? `${side.name} ${kind}` : side.name,
          stroke: sideColour(place), width: kind === "traced" ? 2 : 1.4, dash: KINDS[kind].dash, points: { show: false }, spanGaps: true,
          value: (_u, one) => (one === null || one === undefined ? "–" : duration(one * 1e6)) })),
      ],
    }), uPlot.join(tables)));
}

function percentileWords(one) {
  const share = 100 * (1 - 1 / one);
  return `${Number(share.toFixed(share > 99 ? 4 : share > 90 ? 2 : 1))} %`;
}

function latencyTable(view) {
  const rows = view.document.configurations.flatMap((entry) => [
    ["traced", entry.latency_ns], ["untraced", entry.untraced_latency_ns], ["network floor", entry.network_floor_ns],
  ].filter(([, figures]) => figures).map(([kind, figures]) => ({ name: entry.name, kind, figures })));
  return table({ id: "latency-table", caption: "Latency", rows, columns: [
    { title: "of", left: true, value: (row) => row.name },
    { title: "rounds", left: true, value: (row) => row.kind },
    ...["mean", "p50", "p90", "p99"].map((name) => ({ title: name, value: (row) => row.figures[name], show: (row) => duration(row.figures[name]) })),
  ] });
}

function layerPercentiles(side) {
  const rows = side.layer_percentiles.map((one, place) => ({ ...one, place })).filter((one) => one.max_ns);
  return table({ caption: `Layers of ${side.name} by percentile`, rows, columns: [
    { title: "layer", left: true, value: (row) => row.place, show: (row) => layerLabel(row.layer), text: (row) => layerName(row.layer) },
    ...["p50", "p90", "p99", "max"].map((name) => ({ title: name, value: (row) => row[`${name}_ns`], show: (row) => duration(row[`${name}_ns`]) })),
  ] });
}
