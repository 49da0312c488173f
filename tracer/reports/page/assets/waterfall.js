// The waterfall: lanes drawn on a canvas, moved by mouse, finger or keys.

const LABEL = 16;
const BAR = 26;
const BESIDE = 10;
const GAP = 14;
const FEWEST_NS = 200;

function waterfall(found, { selected }) {
  const canvas = h("canvas", { tabindex: "0", role: "application", "aria-roledescription": "waterfall",
    "aria-label": "One request as a waterfall. Left and right go from step to step, shift with them pans, plus and minus zoom, zero shows all, Enter zooms to the step." });
  const state = { chosen: null, matches: null, hovered: null };
  let patterns = null;
  let inks = null;
  const tops = [];
  let height = AXIS + 6;
  for (const lane of found.lanes) {
    tops.push(height + LABEL);
    height += LABEL + (lane.main ? BAR : 0) + (lane.beside ? BESIDE : 0) + GAP;
  }
  // Where only work beside the main track was, there is no row for the main one.
  const depth = (lane) => (lane.main ? BAR : BESIDE - 2);
  const row = (one) => (one.kind === "beside" ? [one.lane.main ? BAR + 2 : 0, BESIDE - 2] : [0, BAR]);
  canvas.style.height = `${height}px`;
  canvas.dataset.lanes = found.lanes.map((lane) => lane.name).join(", ");
  canvas.dataset.arrows = found.crossings.map((one) => `${one.from}→${one.to}`).join(" ");

  const request = onNextFrame(() => draw());
  const { view, show, zoom, pan } = stretch(found.from, found.to, FEWEST_NS, ({ from, to }) => {
    canvas.dataset.from = Math.round(from);
    canvas.dataset.to = Math.round(to);
    request();
  });
  const width = () => canvas.clientWidth || 600;
  const x = (ns) => ((ns - view.from) / (view.to - view.from)) * width();
  const instant = (pixel) => view.from + (pixel / width()) * (view.to - view.from);

  const fit = () => show(Math.min(0, found.from), found.request.duration_ns);
  const fitAll = () => show(found.from, found.to);

  function choose(one, { reveal = true } = {}) {
    state.chosen = one;
    if (one && reveal && (endOf(one) < view.from || one.at > view.to || one.at < view.from)) {
      const reach = view.to - view.from;
      show(one.at + one.ns / 2 - reach / 2, one.at + one.ns / 2 + reach / 2);
    }
    selected(one);
    request();
  }

  function zoomTo(one) {
    const margin = Math.max(one.ns, FEWEST_NS) * 0.6;
    show(one.at - margin, endOf(one) + margin);
  }

  function draw() {
    const wide = width();
    const pen = penFor(canvas, wide, height);
    patterns ??= hatches(pen);
    inks ??= { text: ink("ink"), dim: ink("dim"), grid: ink("grid"), paper: ink("paper"), arrow: LAYERS.get("handoff").colour };
    drawTimeAxis(pen, view, wide, height, inks);
    drawMoments(pen, wide, found.track);
    drawMoments(pen, wide, found.beside);
    drawArrows(pen, wide);
    drawLanes(pen, wide);
    drawEnd(pen);
    drawChosen(pen);
    canvas.dataset.drawn = String(Number(canvas.dataset.drawn ?? 0) + 1);
  }

  function drawLanes(pen, wide) {
    found.lanes.forEach((lane, place) => {
      const middle = tops[place] - LABEL / 2 - 1;
      const [bold, plain] = ["600 12px system-ui, sans-serif", "11px system-ui, sans-serif"];
      pen.font = plain;
      const noted = pen.measureText(lane.note).width;
      pen.font = bold;
      const named = pen.measureText(lane.name).width;
      pen.globalAlpha = 0.82;
      pen.fillStyle = inks.paper;
      pen.fillRect(0, middle - 7, named + noted + 20, 14);
      pen.globalAlpha = 1;
      pen.fillStyle = inks.text;
      pen.fillText(lane.name, 4, middle);
      pen.font = plain;
      pen.fillStyle = inks.dim;
      pen.fillText(lane.note, 12 + named, middle);
      pen.fillStyle = inks.grid;
      pen.fillRect(0, tops[place] + depth(lane), wide, 1);
    });
  }

  function drawMoments(pen, wide, moments) {
    const reached = found.lanes.map(() => -1);
    const beyond = view.to;
    for (let place = moments === found.track ? firstAfter(moments, view.from) : 0; place < moments.length; place++) {
      const one = moments[place];
      if (one.at > beyond) break;
      const right = Math.min(x(endOf(one)), wide + 2);
      if (right < 0 || right <= reached[one.lane.place]) continue;
      const left = Math.max(x(one.at), -2, reached[one.lane.place]);
      // What is narrower than a pixel still shows, once a pixel.
      const span = Math.max(right - left, 0.8);
      reached[one.lane.place] = left + span;
      const [down, tall] = row(one);
      const top = tops[one.lane.place] + down;
      pen.globalAlpha = (state.matches && !state.matches.has(one.place) ? 0.16 : 1) * (one.kind === "after" ? 0.6 : 1);
      // Where no stripe would be seen, waiting is pale.
      if (one.waits && span < 4) pen.globalAlpha *= 0.5;
      pen.fillStyle = one.waits && span >= 4 ? patterns.get(one.layer) : LAYERS.get(one.layer).colour;
      pen.fillRect(left, top, span, tall);
      if (span > 6) {
        pen.globalAlpha *= 0.35;
        pen.fillStyle = "#000";
        pen.fillRect(left + span - 0.5, top, 0.5, tall);
      }
      if (span > 38 && tall === BAR) label(pen, one, left, top, span);
    }
    pen.globalAlpha = 1;
  }

  function label(pen, one, left, top, span) {
    const [layer, detail, part, phase] = one.owner;
    const hop = layer === "handoff";
    const words = hop ? `${phase ?? "hand-off"}` : [detail ? short(detail, layer === "middleware" ? 1 : 2) : layerName(layer), part ?? phase].filter(Boolean).join(" · ");
    const room = Math.floor((span - 8) / 6.5);
    if (room < 4) return;
    pen.globalAlpha = state.matches && !state.matches.has(one.place) ? 0.4 : 1;
    pen.font = "11px system-ui, sans-serif";
    const text = words.length > room ? `${words.slice(0, room - 1)}…` : words;
    if (one.waits) {
      pen.fillStyle = inks.paper;
      pen.fillRect(left + 3, top + 6, pen.measureText(text).width + 4, BAR - 12);
      pen.fillStyle = inks.text;
    } else pen.fillStyle = textOn(layer);
    pen.fillText(text, left + 5, top + BAR / 2 + 0.5);
  }

  function drawArrows(pen, wide) {
    const scale = wide / (view.to - view.from);
    pen.strokeStyle = pen.fillStyle = inks.arrow;
    pen.lineWidth = 1.2;
    const heads = new Path2D();
    pen.beginPath();
    let last = -9;
    for (const one of found.crossings) {
      if (one.right < view.from || one.left > view.to) continue;
      const [left, right] = [x(one.left), x(one.right)];
      const dense = right - last < 3;
      if (dense) continue;
      last = right;
      const down = one.to > one.from;
      const start = tops[one.from] + (down ? depth(found.lanes[one.from]) : 0);
      const end = tops[one.to] + (down ? 0 : depth(found.lanes[one.to]));
      pen.moveTo(left, start);
      const bend = (end - start) / 2;
      pen.bezierCurveTo(left, start + bend, right, end - bend, right, end);
      if (scale * (one.right - one.left) > 2 || found.crossings.length < 80) {
        const back = down ? -6 : 6;
        heads.moveTo(right, end);
        heads.lineTo(right - 3.5, end + back);
        heads.lineTo(right + 3.5, end + back);
      }
    }
    pen.stroke();
    pen.fill(heads);
  }

  function drawEnd(pen) {
    const at = x(found.request.duration_ns);
    if (found.to <= found.request.duration_ns || at < 0 || at > width()) return;
    pen.strokeStyle = inks.text;
    pen.setLineDash([4, 3]);
    pen.beginPath();
    pen.moveTo(at, AXIS - 6);
    pen.lineTo(at, height);
    pen.stroke();
    pen.setLineDash([]);
    pen.fillStyle = inks.text;
    pen.font = "11px system-ui, sans-serif";
    if (at + 110 < width()) pen.fillText("after the response", at + 4, height - 8);
  }

  function drawChosen(pen) {
    for (const [one, line] of [[state.hovered, 1], [state.chosen, 2.5]]) {
      if (!one) continue;
      const [down, tall] = row(one);
      const left = x(one.at);
      pen.strokeStyle = inks.text;
      pen.lineWidth = line;
      pen.strokeRect(left - 1, tops[one.lane.place] + down - 1, Math.max(x(endOf(one)) - left, 1) + 2, tall + 2);
    }
  }

  function under(event) {
    const box = canvas.getBoundingClientRect();
    const [px, py] = [event.clientX - box.left, event.clientY - box.top];
    const lane = tops.findLastIndex((top) => py >= top - LABEL);
    if (lane < 0) return null;
    const at = instant(px);
    const reach = (view.to - view.from) / width();
    const near = (moments) => moments.slice(firstAfter(moments, at - 2 * reach)).find((one) => one.lane.place === lane && one.at <= at + 2 * reach && endOf(one) >= at - 2 * reach);
    const low = !found.lanes[lane].main || py > tops[lane] + BAR;
    return (low ? found.beside.find((one) => one.lane.place === lane && one.at <= at && endOf(one) >= at) : null) ?? near(found.track) ?? null;
  }

  const handle = { element: canvas, found, view, state, show, zoom, pan, fit, fitAll, choose, zoomTo, request, under, instant,
    matches(set) { state.matches = set; request(); },
    themed() { patterns = inks = null; draw(); } };
  waterfallInput(handle);
  onTheme(() => canvas.isConnected && handle.themed());
  new ResizeObserver(request).observe(canvas);
  fit();
  return handle;
}
