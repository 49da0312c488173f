// What the pictures drawn on a canvas have in common: its size, the strokes of waiting, an axis of time.

const AXIS = 24;

function endOf(one) {
  return one.at + one.ns;
}

// The first of moments in order of time that ends after an instant.
function firstAfter(row, instant) {
  let [low, high] = [0, row.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (endOf(row[middle]) <= instant) low = middle + 1;
    else high = middle;
  }
  return low;
}

// A pen for a canvas as wide as it is shown, in its pixels and not the screen's.
function penFor(canvas, wide, height) {
  const ratio = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(wide * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(wide * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.globalAlpha = 1;
  pen.clearRect(0, 0, wide, height);
  return pen;
}

function drawTimeAxis(pen, { from, to }, wide, height, inks) {
  const step = niceStep((to - from) / Math.max(2, Math.floor(wide / 90)));
  pen.font = "11px system-ui, sans-serif";
  pen.textBaseline = "middle";
  for (let ns = Math.ceil(from / step) * step; ns <= to; ns += step) {
    const at = Math.round(((ns - from) / (to - from)) * wide) + 0.5;
    pen.fillStyle = inks.grid;
    pen.fillRect(at - 0.5, AXIS - 4, 1, height);
    pen.fillStyle = inks.dim;
    if (at + 4 < wide - 30) pen.fillText(axisWords(ns, step), at + 3, AXIS / 2);
  }
}

// Draw once on the next frame, however often it is asked for.
function onNextFrame(draw) {
  let asked = 0;
  return () => {
    if (!asked) asked = requestAnimationFrame(() => { asked = 0; draw(); });
  };
}

// A stretch of what lies between `least` and `most`: shown, zoomed, panned.
function stretch(least, most, fewest, shown) {
  const view = { from: least, to: most };

  function show(from, to) {
    const reach = Math.min(Math.max(to - from, fewest), most - least);
    view.from = Math.min(Math.max(from, least), most - reach);
    view.to = view.from + reach;
    shown(view);
  }

  function zoom(factor, around = (view.from + view.to) / 2) {
    show(around - (around - view.from) * factor, around + (view.to - around) * factor);
  }

  function pan(share) {
    const step = (view.to - view.from) * share;
    show(view.from + step, view.to + step);
  }

  return { view, show, zoom, pan };
}

function hatches(pen) {
  return new Map(data.layers.map(({ layer, colour }) => {
    const tile = h("canvas", { width: "8", height: "8" });
    const small = tile.getContext("2d");
    small.fillStyle = colour;
    small.globalAlpha = 0.22;
    small.fillRect(0, 0, 8, 8);
    small.globalAlpha = 1;
    small.strokeStyle = colour;
    small.lineWidth = 2;
    small.beginPath();
    for (const shift of [-8, 0, 8]) {
      small.moveTo(shift - 1, 9);
      small.lineTo(shift + 9, -1);
    }
    small.stroke();
    return [layer, pen.createPattern(tile, "repeat")];
  }));
}

function textOn(layer) {
  const colour = LAYERS.get(layer).colour;
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return 0.299 * red + 0.587 * green + 0.114 * blue > 125 ? "#000" : "#fff";
}

function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(Math.max(rough, 1)));
  return [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
}

function axisWords(ns, step) {
  if (step >= 1e6) return `${(ns / 1e6).toFixed(0)} ms`;
  if (step >= 1e3 && Math.abs(ns) >= 1e6) return `${(ns / 1e6).toFixed(step >= 1e5 ? 1 : step >= 1e4 ? 2 : 3)} ms`;
  return step >= 1e3 ? `${(ns / 1e3).toFixed(0)} µs` : `${(ns / 1e3).toFixed(step >= 100 ? 1 : 2)} µs`;
}
