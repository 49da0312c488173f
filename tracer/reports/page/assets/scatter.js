// Latency over time: every request a point, or cells where there are too many; rings can be opened.

function scatter(view, open) {
  const began = Math.min(...view.sides.filter((side) => side.points.at_ns.length).map((side) => side.points.first_ns));
  const series = [];
  const columns = [];
  view.sides.forEach((side, place) => {
    const later = side.points.at_ns.length ? side.points.first_ns - began : 0;
    columns.push([side.points.at_ns.map((at) => (at + later) / 1e9), side.points.duration_ns.map(inMs), side.points.requests]);
    series.push({ place, ring: false });
  });
  view.sides.forEach((side, place) => {
    const rings = [...side.requests].sort((one, other) => one.start_ns - other.start_ns);
    columns.push([rings.map((one) => (one.start_ns - began) / 1e9), rings.map((one) => inMs(one.duration_ns)), rings]);
    series.push({ place, ring: true });
  });
  const points = [null, ...columns.map(([xs, ys]) => [xs, ys])];
  const cells = view.sides.some((side) => side.points.cells);
  let chosen = null;
  const label = `Latency over time of ${view.sides.map((side) => side.name).join(" and ")}`;
  const holder = chart(label, 260, () => ({
    mode: 2,
    cursor: { drag: { x: false, y: false }, points: { show: false } },
    legend: { show: false },
    scales: { x: { time: false, auto: true, range: (_u, low, high) => spread(low, high) }, y: { distr: 3, range: logRange } },
    axes: [
      axis("seconds since the first request", (_u, splits) => splits.map((one) => `${one}`), { scale: "x", side: 2, size: 34 }),
      axis("latency", milliseconds, { scale: "y", side: 3, size: 74, splits: decades }),
    ],
    series: [{}, ...series.map((one, place) => ({
      facets: [{ scale: "x", auto: true }, { scale: "y", auto: true }],
      paths: (plot) => paint(plot, one, columns[place], chosen),
    }))],
  }), points, (plot) => {
    plot.over.addEventListener("click", (event) => {
      const near = nearest(plot, event);
      if (near) open(near.side, near.request.request_id);
    });
    plot.over.addEventListener("pointermove", (event) => {
      const near = nearest(plot, event);
      plot.over.style.cursor = near ? "pointer" : "crosshair";
      if (near) showTip([`${view.sides[near.side].name}: ${duration(near.request.duration_ns)}`, `${near.request.method} ${near.request.target ?? near.request.route ?? "unknown route"}`, "click to open"], event.clientX, event.clientY);
      else hideTip();
    });
    plot.over.addEventListener("pointerleave", hideTip);
    current = plot;
  });
  let current = null;

  function nearest(plot, event) {
    const box = plot.over.getBoundingClientRect();
    let [found, best] = [null, 28];
    series.forEach((one, place) => {
      if (!one.ring) return;
      const [xs, ys, rings] = columns[place];
      xs.forEach((value, index) => {
        const away = Math.hypot(plot.valToPos(value, "x") - (event.clientX - box.left), plot.valToPos(ys[index], "y") - (event.clientY - box.top));
        if (away < best) [found, best] = [{ side: one.place, request: rings[index] }, away];
      });
    });
    return found;
  }

  return {
    element: h("figure", {}, h("figcaption", {}, cells
      ? "Latency over time. A square holds many requests, the darker the more; rings are those in this file: click one to open it."
      : "Latency over time. Rings are the requests in this file: click one to open it."),
      holder, sideLegend(view)),
    mark(request) {
      chosen = request;
      current?.redraw();
    },
  };
}

function inMs(ns) {
  return Math.max(ns, 1) / 1e6;
}

function spread(low, high) {
  const margin = Math.max((high - low) * 0.02, 0.001);
  return [low - margin, high + margin];
}

function sideLegend(view) {
  if (view.sides.length < 2) return null;
  return h("ul", { class: "legend" }, view.sides.map((side, place) =>
    h("li", {}, h("span", { class: "swatch", vars: { "--c": `var(--${SIDES[place % SIDES.length]})` } }), side.name)));
}

function paint(plot, { place, ring }, [xs, ys, third], chosen) {
  const pen = plot.ctx;
  const ratio = uPlot.pxRatio;
  const most = ring ? 1 : Math.max(...third, 1);
  pen.save();
  pen.beginPath();
  pen.rect(plot.bbox.left, plot.bbox.top, plot.bbox.width, plot.bbox.height);
  pen.clip();
  pen.fillStyle = pen.strokeStyle = sideColour(place);
  xs.forEach((value, index) => {
    const [left, top] = [plot.valToPos(value, "x", true), plot.valToPos(ys[index], "y", true)];
    if (ring) {
      const own = third[index].request_id === chosen?.request_id;
      pen.lineWidth = (own ? 3 : 1.4) * ratio;
      pen.strokeStyle = own ? ink("ink") : sideColour(place);
      pen.beginPath();
      // Told apart by shape as well as by colour.
      if (place % 2) pen.rect(left - 4 * ratio, top - 4 * ratio, 8 * ratio, 8 * ratio);
      else pen.arc(left, top, (own ? 6 : 4.5) * ratio, 0, 7);
      pen.stroke();
    } else {
      pen.globalAlpha = most > 1 ? 0.15 + (0.8 * Math.log(third[index] + 1)) / Math.log(most + 1) : 0.45;
      const size = (most > 1 ? 5 : 3) * ratio;
      pen.fillRect(left - size / 2, top - size / 2, size, size);
    }
  });
  pen.restore();
  return null;
}
