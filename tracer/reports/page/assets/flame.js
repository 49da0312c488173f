// One view of a flame on a canvas: levels as rectangles, the layer on top and what it calls below.

const ROW = 20;
const LONGER = [213, 48, 32];
const SHORTER = [32, 96, 213];

function flameView(shown, steps, names, { selected }) {
  const canvas = h("canvas", { tabindex: "0", role: "application", "aria-roledescription": "flame graph",
    "aria-label": "Flame graph. Up and down go to the level above and below, left and right to its neighbours, Enter zooms to it, Escape shows all, shift with left and right pans, plus and minus zoom, / searches." });
  const found = levels(shown, steps);
  const state = { chosen: null, matches: null, hovered: null };
  const top = shown.kind === "time" ? AXIS : 0;
  const height = top + found.rows.length * ROW + 2;
  let [patterns, inks] = [null, null];
  const request = onNextFrame(() => draw());
  const { view, show, zoom, pan } = stretch(found.from, found.to, Math.max((found.to - found.from) / 1e7, 1), ({ from, to }) => {
    canvas.dataset.from = Math.round(from);
    canvas.dataset.to = Math.round(to);
    request();
  });
  canvas.style.height = `${height}px`;
  const frame = h("div", { class: "lanes flame" }, canvas);
  const width = () => canvas.clientWidth || 600;
  const instant = (pixel) => view.from + (pixel / width()) * (view.to - view.from);
  const fit = () => show(found.from, found.to);
  const zoomTo = (one) => show(one.at, endOf(one));

  function choose(one) {
    state.chosen = one;
    if (one) {
      const reach = view.to - view.from;
      if (endOf(one) <= view.from || one.at >= view.to) show(one.at + one.ns / 2 - reach / 2, one.at + one.ns / 2 + reach / 2);
      const y = top + one.depth * ROW;
      if (y < frame.scrollTop || y + ROW > frame.scrollTop + frame.clientHeight) frame.scrollTop = y - frame.clientHeight / 2;
    }
    selected(one ? flameWords(one, found, names) : null, one);
    request();
  }

  function draw() {
    const wide = width();
    const pen = penFor(canvas, wide, height);
    patterns ??= hatches(pen);
    inks ??= { text: ink("ink"), dim: ink("dim"), grid: ink("grid"), paper: ink("paper") };
    if (top) drawTimeAxis(pen, view, wide, height, inks);
    const across = wide / (view.to - view.from);
    for (const row of found.rows) {
      let reached = -1;
      for (let place = firstAfter(row, view.from); place < row.length && row[place].at < view.to; place++) {
        const one = row[place];
        const left = Math.max((one.at - view.from) * across, 0);
        const right = Math.min((endOf(one) - view.from) * across, wide);
        if (right <= reached + 0.3) continue;  // narrower than what can be seen beside its neighbour
        reached = right;
        box(pen, one, left, Math.max(right - left, 0.6));
      }
    }
    for (const [one, line] of [[state.hovered, 1], [state.chosen, 2.5]]) {
      if (!one) continue;
      const left = Math.max((one.at - view.from) * across, 0);
      pen.strokeStyle = inks.text;
      pen.lineWidth = line;
      pen.strokeRect(left + 1, top + one.depth * ROW + 1, Math.max(Math.min((endOf(one) - view.from) * across, wide) - left - 2, 1), ROW - 3);
    }
    canvas.dataset.drawn = String(Number(canvas.dataset.drawn ?? 0) + 1);
  }

  function box(pen, one, left, span) {
    const y = top + one.depth * ROW;
    const faded = state.matches && !state.matches.has(one.place);
    const below = one.kind === "function" || one.kind === "gap";
    pen.globalAlpha = (faded ? 0.2 : 1) * (below && !found.compares ? 0.42 : 1);
    pen.fillStyle = found.compares ? changed(one) : one.kind === "wait" && span >= 4 ? patterns.get(one.layer) : colourOf(one.layer);
    pen.fillRect(left, y, Math.max(span - 0.6, 0.6), ROW - 1);
    pen.globalAlpha = faded ? 0.4 : 1;
    if (span < 26) return;
    pen.font = `${one.kind === "layer" ? "600 " : ""}11px system-ui, sans-serif`;
    pen.textBaseline = "middle";
    const words = fitting(one, Math.floor((span - 8) / 6.2));
    if (!words) return;
    const hatched = one.kind === "wait" && !found.compares;
    if (hatched) {
      pen.fillStyle = inks.paper;
      pen.fillRect(left + 3, y + 3, pen.measureText(words).width + 4, ROW - 7);
    }
    pen.fillStyle = found.compares || below || hatched ? inks.text : textOn(one.layer);
    pen.fillText(words, left + 5, y + ROW / 2);
  }

  function under(event) {
    const bounds = canvas.getBoundingClientRect();
    const row = found.rows[Math.floor((event.clientY - bounds.top - top) / ROW)] ?? [];
    const at = instant(event.clientX - bounds.left);
    const one = row[firstAfter(row, at)];
    return one && one.at <= at ? one : null;
  }

  const handle = { element: canvas, frame, found, view, state, show, zoom, pan, fit, choose, zoomTo, request, under, instant,
    matches(set) { state.matches = set; request(); } };
  const beside = (by) => choose(found.rows[state.chosen?.depth ?? 0][(state.chosen?.index ?? -by) + by] ?? state.chosen);
  handsOn(handle, {
    words: (one) => flameWords(one, found, names),
    clicked(one) { if (one) { choose(one); zoomTo(one); } },
    keys: {
      ArrowRight: () => beside(1),
      ArrowLeft: () => beside(-1),
      ArrowUp: () => state.chosen && choose(above(found, state.chosen) ?? state.chosen),
      ArrowDown: () => choose(state.chosen ? largestBelow(found, state.chosen) ?? state.chosen : found.all[0] ?? null),
      Escape: () => { choose(null); fit(); },
    },
  });
  onTheme(() => {
    if (!canvas.isConnected) return;
    patterns = inks = null;
    draw();
  });
  new ResizeObserver(request).observe(canvas);
  fit();
  return handle;
}

// Rows are levels, in order; a step is said once and pointed to by its number.
function levels({ kind, rectangles }, steps) {
  const found = { all: [], rows: [], from: Infinity, to: 0, kind, compares: kind === "difference" };
  for (const [at, ns, depth, step, a = ns, b = 0] of rectangles) {
    const [name, layer, level, where] = steps[step];
    const row = (found.rows[depth] ??= []);
    const one = { place: found.all.length, index: row.length, at, ns, depth, step, a, b, name, layer, kind: level, where };
    row.push(one);
    found.all.push(one);
    found.from = Math.min(found.from, at);
    found.to = Math.max(found.to, at + ns);
  }
  found.rows = Array.from(found.rows, (row) => row ?? []);
  found.from = Math.min(found.from, found.to);
  found.to = Math.max(found.to, found.from + 1);
  return found;
}

function above(found, one) {
  const row = found.rows[one.depth - 1] ?? [];
  return row[firstAfter(row, one.at)];
}

function largestBelow(found, one) {
  return (found.rows[one.depth + 1] ?? [])
    .filter((other) => other.at >= one.at && endOf(other) <= endOf(one))
    .reduce((best, other) => (best && best.ns >= other.ns ? best : other), undefined);
}

function nameOf(one) {
  return one.kind === "layer" ? layerName(one.name) : one.name;
}

// The whole name, or of a path as much of its end as there is room for.
function fitting(one, room) {
  const name = nameOf(one);
  if (name.length <= room) return name;
  if (room < 3) return "";
  const end = one.kind === "layer" || one.kind === "wait" ? name : short(ranThere(name), one.kind === "owner" && one.layer === "middleware" ? 1 : 2);
  return end.length <= room ? end : `${end.slice(0, room - 1)}…`;
}

function flameWords(one, found, names) {
  const place = one.kind === "layer" ? LAYERS.get(one.layer)?.meaning : one.layer && `${LAYERS.has(one.layer) ? layerName(one.layer) : one.layer}`;
  return [
    found.compares
      ? `${nameOf(one)}: ${signed(one.b - one.a)}`
      : `${nameOf(one)}: ${duration(one.a)}, ${percent(one.ns / (found.to - found.from))}`,
    found.compares ? `${names[0]} ${duration(one.a)}, ${names[1]} ${duration(one.b)}` : null,
    [found.kind === "time" ? `at ${duration(one.at)}` : null, place, one.where].filter(Boolean).join(" · "),
  ].filter(Boolean);
}

function colourOf(layer) {
  return LAYERS.get(layer)?.colour ?? "#8a8a8a";
}

// The less they differ, the paler.
function changed({ a, b }) {
  if (a === b) return "rgb(128 128 128 / 0.3)";
  const share = Math.abs(b - a) / Math.max(a, b, 1);
  return `rgb(${(b > a ? LONGER : SHORTER).join(" ")} / ${(0.12 + 0.63 * share).toFixed(2)})`;
}
