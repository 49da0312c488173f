"use strict";
(() => {
  const data = JSON.parse(document.getElementById("flame-data").textContent);
  const root = document.getElementById("flame");
  const ROW = 19;
  const state = { view: 0, from: 0, to: 1, chosen: -1, over: -1, search: "" };
  const made = (tag, attributes = {}, ...inside) => {
    const one = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) one.setAttribute(name, value);
    one.append(...inside);
    return one;
  };

  // Names come from the application: they are only ever set as text.
  const tabs = made("div", { class: "bar", role: "tablist", "aria-label": "views" });
  const search = made("input", { type: "search", placeholder: "search  ( / )",
    "aria-label": "search functions" });
  const reset = made("button", { type: "button" }, "whole picture (Esc)");
  const canvas = made("canvas", { tabindex: "0", role: "img",
    "aria-label": "flame graph: arrow keys move, Enter zooms, Escape shows all" });
  const frame = made("div", { class: "frame" }, canvas);
  const told = made("p", { class: "told", role: "status", "aria-live": "polite" });
  const legend = made("ul", { class: "legend" });
  const table = made("table");
  root.append(tabs, made("div", { class: "bar" }, search, reset), frame, told, legend, table);

  const ink = canvas.getContext("2d");
  const view = () => data.views[state.view];
  const rectangles = () => view().rectangles;
  const step = (one) => data.steps[one[3]];
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const ms = (ns) => (ns / 1e6).toLocaleString("en", { maximumFractionDigits: 3 }) + " ms";

  function colour(one) {
    if (view().kind === "difference") {
      const change = one[5] - one[4];
      const share = Math.min(1, Math.abs(change) / Math.max(one[4], one[5], 1));
      const alpha = 0.12 + 0.88 * share;
      if (!change) return "rgba(128,128,128,0.35)";
      return change > 0 ? `rgba(213,48,32,${alpha})` : `rgba(32,96,213,${alpha})`;
    }
    const found = data.layers[step(one)[1]];
    return found ? found.colour : "#8A8A8A";
  }

  function extent() {
    let low = Infinity, high = -Infinity, depth = 0;
    for (const one of rectangles()) {
      low = Math.min(low, one[0]);
      high = Math.max(high, one[0] + one[1]);
      depth = Math.max(depth, one[2] + 1);
    }
    return high > low ? [low, high, depth] : [0, 1, 1];
  }

  function matches(one) {
    return state.search !== "" && step(one)[0].toLowerCase().includes(state.search);
  }

  function draw() {
    const [, , depth] = extent();
    const width = frame.clientWidth, height = depth * ROW + 2, scale = devicePixelRatio || 1;
    canvas.style.height = height + "px";
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    ink.setTransform(scale, 0, 0, scale, 0, 0);
    ink.clearRect(0, 0, width, height);
    ink.font = "12px ui-monospace, Menlo, Consolas, monospace";
    ink.textBaseline = "middle";
    const across = width / (state.to - state.from);
    const seen = new Map();
    rectangles().forEach((one, place) => {
      const x = Math.max((one[0] - state.from) * across, 0);
      const end = Math.min((one[0] + one[1] - state.from) * across, width);
      if (end < 0 || x > width || end <= x) return;
      // What is narrower than half a pixel beside something drawn there can't be seen.
      if (end - x < 0.5 && end <= (seen.get(one[2]) || 0) + 0.5) return;
      seen.set(one[2], end);
      box(one, place, x, Math.max(end - x, 0.5));
    });
  }

  function box(one, place, x, wide) {
    const y = one[2] * ROW, kind = step(one)[2];
    ink.globalAlpha = state.search && !matches(one) ? 0.25 : kind === "wait" ? 0.35 : 1;
    ink.fillStyle = colour(one);
    ink.fillRect(x, y, Math.max(wide - 0.5, 0.5), ROW - 1);
    if (kind === "function" && view().kind !== "difference") {
      ink.fillStyle = dark.matches ? "rgba(0,0,0,0.25)" : "rgba(255,255,255,0.35)";
      ink.fillRect(x, y, Math.max(wide - 0.5, 0.5), ROW - 1);
    }
    if (kind === "wait" && wide > 4) hatch(x, y, wide);
    ink.globalAlpha = 1;
    if (place === state.chosen || place === state.over) {
      ink.strokeStyle = getComputedStyle(document.body).color;
      ink.lineWidth = place === state.chosen ? 2 : 1;
      ink.strokeRect(x + 1, y + 1, Math.max(wide - 2.5, 1), ROW - 3);
    }
    if (wide > 30) {
      const room = Math.floor((wide - 6) / 7.3);
      const layer = kind === "layer" && data.layers[step(one)[0]];
      const name = layer ? layer.name : step(one)[0];
      const plain = view().kind === "difference" || kind === "wait";
      ink.fillStyle = plain ? getComputedStyle(document.body).color : "#000000";
      if (room > 1) ink.fillText(name.length > room ? name.slice(0, room - 1) + "…" : name, x + 3, y + ROW / 2);
    }
  }

  function hatch(x, y, wide) {
    ink.save();
    ink.beginPath();
    ink.rect(x, y, wide - 0.5, ROW - 1);
    ink.clip();
    ink.strokeStyle = getComputedStyle(document.body).color;
    ink.lineWidth = 0.6;
    ink.beginPath();
    for (let at = x - ROW; at < x + wide; at += 8) {
      ink.moveTo(at, y + ROW);
      ink.lineTo(at + ROW, y);
    }
    ink.stroke();
    ink.restore();
  }

  function tell() {
    const place = state.over >= 0 ? state.over : state.chosen;
    const one = rectangles()[place];
    if (!one) {
      const found = state.search ? rectangles().filter(matches).length : 0;
      told.textContent = state.search ? `${found} match` : "";
      return;
    }
    const [low, high] = extent();
    const [name, layer, , where] = step(one);
    const share = (100 * one[1] / (high - low)).toFixed(1) + " %";
    const figures = view().kind === "difference"
      ? `${data.names[0]} ${ms(one[4])}, ${data.names[1]} ${ms(one[5])}, ${one[5] > one[4] ? "+" : ""}${ms(one[5] - one[4])}`
      : `${ms(one[1])}, ${share}` + (view().kind === "time" ? `, from ${ms(one[0])}` : "");
    told.textContent = `${name} · ${figures} · ${(data.layers[layer] || {}).name || layer}` + (where ? ` · ${where}` : "");
  }

  function show() { draw(); tell(); }

  function zoom(from, to) {
    const [low, high] = extent();
    const least = Math.max((high - low) / 1e7, 1);
    state.from = Math.max(low, Math.min(from, high - least));
    state.to = Math.min(high, Math.max(to, state.from + least));
    show();
  }
  function whole() { const [low, high] = extent(); zoom(low, high); }

  function at(event) {
    const bounds = canvas.getBoundingClientRect();
    const x = state.from + (event.clientX - bounds.left) / bounds.width * (state.to - state.from);
    const depth = Math.floor((event.clientY - bounds.top) / ROW);
    return rectangles().findIndex((one) => one[2] === depth && one[0] <= x && x < one[0] + one[1]);
  }

  function choose(place) {
    if (place < 0) return;
    state.chosen = place;
    state.over = -1;
    const one = rectangles()[place];
    if (one[0] + one[1] <= state.from || one[0] >= state.to) zoom(one[0], one[0] + one[1]);
    show();
  }

  function moved(key) {
    const every = rectangles(), now = every[state.chosen];
    if (!now) return 0;
    const middle = now[0] + now[1] / 2;
    const inside = (one, x) => one[0] <= x && x < one[0] + one[1];
    if (key === "ArrowUp") return every.findIndex((one) => one[2] === now[2] - 1 && inside(one, middle));
    if (key === "ArrowDown") {
      let best = -1;
      every.forEach((one, place) => {
        if (one[2] === now[2] + 1 && inside(now, one[0]) && (best < 0 || one[1] > every[best][1])) best = place;
      });
      return best;
    }
    const right = key === "ArrowRight";
    let best = -1;
    every.forEach((one, place) => {
      if (one[2] !== now[2] || (right ? one[0] <= now[0] : one[0] >= now[0])) return;
      if (best < 0 || (right ? one[0] < every[best][0] : one[0] > every[best][0])) best = place;
    });
    return best;
  }

  canvas.addEventListener("keydown", (event) => {
    const chosen = rectangles()[state.chosen];
    const wide = state.to - state.from, middle = (state.from + state.to) / 2;
    if (event.key.startsWith("Arrow")) choose(moved(event.key));
    else if (event.key === "Enter" && chosen) zoom(chosen[0], chosen[0] + chosen[1]);
    else if (event.key === "+") zoom(middle - wide / 4, middle + wide / 4);
    else if (event.key === "-") zoom(middle - wide, middle + wide);
    else return;
    event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { state.chosen = -1; whole(); }
    else if (event.key === "/" && document.activeElement !== search) { search.focus(); event.preventDefault(); }
  });
  canvas.addEventListener("mousemove", (event) => {
    const place = at(event);
    if (place !== state.over) { state.over = place; show(); }
  });
  canvas.addEventListener("mouseleave", () => { state.over = -1; show(); });
  canvas.addEventListener("click", (event) => {
    const place = at(event);
    if (place < 0) return;
    const one = rectangles()[place];
    state.chosen = place;
    zoom(one[0], one[0] + one[1]);
  });
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.shiftKey) return;
    event.preventDefault();
    const bounds = canvas.getBoundingClientRect();
    const centre = state.from + (event.clientX - bounds.left) / bounds.width * (state.to - state.from);
    const factor = event.deltaY > 0 ? 1.25 : 0.8;
    zoom(centre - (centre - state.from) * factor, centre + (state.to - centre) * factor);
  }, { passive: false });
  search.addEventListener("input", () => { state.search = search.value.toLowerCase(); show(); });
  reset.addEventListener("click", () => { state.chosen = -1; whole(); });
  new ResizeObserver(draw).observe(frame);
  dark.addEventListener("change", draw);

  function explain() {
    legend.replaceChildren();
    if (view().kind === "difference") {
      for (const [css, text] of [["rgb(213,48,32)", `longer in ${data.names[1]}`], ["rgb(32,96,213)", `shorter in ${data.names[1]}`]]) {
        const mark = made("i"); mark.style.background = css;
        legend.append(made("li", {}, mark, text));
      }
    } else {
      const used = new Set(rectangles().map((one) => step(one)[1]));
      for (const [layer, { name, colour: css, meaning }] of Object.entries(data.layers)) {
        if (!used.has(layer)) continue;
        const mark = made("i"); mark.style.background = css;
        legend.append(made("li", { title: meaning }, mark, name));
      }
      legend.append(made("li", {}, "hatched: waiting"));
    }
    if (view().hidden) legend.append(made("li", {}, `${view().hidden} of the smallest are left out`));
  }

  // The same in figures, for whoever reads no picture: levels by what they had themselves.
  function tabulate() {
    const last = data.views[data.views.length - 1], own = new Map(), open = [];
    for (const one of last.rectangles) {
      open.length = one[2];
      const above = open[one[2] - 1];
      const add = (number, a, b) => {
        const sum = own.get(number) || [0, 0];
        own.set(number, [sum[0] + a, sum[1] + b]);
      };
      add(one[3], one[4], one[5]);
      if (above) add(above[3], -one[4], -one[5]);
      open[one[2]] = one;
    }
    const two = last.kind === "difference";
    const rows = [...own].filter(([, sum]) => sum[0] || sum[1])
      .sort((x, y) => two ? Math.abs(y[1][1] - y[1][0]) - Math.abs(x[1][1] - x[1][0]) : y[1][0] - x[1][0]).slice(0, 40);
    const heads = two ? [...data.names, "difference"] : ["itself"];
    const head = made("tr", {}, ...heads.map((text) => made("th", { class: "n", scope: "col" }, text)),
      made("th", { scope: "col" }, "layer"), made("th", { scope: "col" }, "what"));
    const lines = rows.map(([number, [a, b]]) => {
      const [name, layer, , where] = data.steps[number];
      const cells = two ? [a, b, b - a] : [a];
      return made("tr", {}, ...cells.map((ns) => made("td", { class: "n" }, ms(ns))),
        made("td", {}, (data.layers[layer] || {}).name || layer), made("td", {}, where ? `${name}  ${where}` : name));
    });
    table.replaceChildren(made("thead", {}, head), made("tbody", {}, ...lines));
  }

  data.views.forEach((one, place) => {
    const tab = made("button", { type: "button", role: "tab", "aria-selected": String(!place) }, one.name);
    tab.addEventListener("click", () => {
      state.view = place; state.chosen = state.over = -1;
      [...tabs.children].forEach((other) => other.setAttribute("aria-selected", String(other === tab)));
      explain(); whole();
    });
    tabs.append(tab);
  });
  explain();
  tabulate();
  whole();
})();
