// uPlot in our colours, as wide as there is room, redrawn when theme or width change.

const SIDES = ["side-a", "side-b", "side-c", "side-d"];

function sideColour(place) {
  return ink(SIDES[place % SIDES.length]);
}

function axis(label, values, more = {}) {
  return { label, values, stroke: ink("dim"), grid: { stroke: ink("grid"), width: 1 },
    ticks: { stroke: ink("grid"), width: 1 }, font: "12px system-ui, sans-serif",
    labelFont: "12px system-ui, sans-serif", labelSize: 20, labelGap: 0, ...more };
}

// `make` returns uPlot's options without sizes, from the inks of the moment.
function chart(label, height, make, points, ready = () => {}) {
  const holder = h("div", { class: "chart", role: "img", "aria-label": label });
  let plot = null;
  function draw() {
    plot?.destroy();
    const width = Math.max(holder.clientWidth, 240);
    plot = new uPlot({ width, height, ...make() }, points, holder);
    ready(plot);
  }
  let width = 0;
  new ResizeObserver(() => {
    if (holder.clientWidth && Math.abs(holder.clientWidth - width) > 1) {
      width = holder.clientWidth;
      if (plot) plot.setSize({ width: Math.max(width, 240), height });
      else draw();
    }
  }).observe(holder);
  onTheme(() => holder.isConnected && plot && draw());
  return holder;
}

function milliseconds(_plot, splits) {
  return splits.map((one) => (one === null ? "" : duration(one * 1e6)));
}

// Marks on a log scale: powers of ten, and 2 and 5 between where there is room.
function decades(plot, axisIndex, low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    for (const step of high / low > 200 ? [1] : [1, 2, 5]) {
      const value = step * 10 ** power;
      if (value >= low * 0.999 && value <= high * 1.001) found.push(value);
    }
  }
  return found;
}

function logRange(_plot, low, high) {
  if (!(low > 0) || !(high > 0)) return [0.001, 1];
  return [low * 0.85, high * 1.15];
}
