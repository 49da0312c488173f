// How figures and names are said: as `tracer/analysis/wording.py` says them.

const LAYERS = new Map(data.layers.map((one) => [one.layer, one]));

function duration(ns) {
  if (ns === null || ns === undefined) return "–";
  const sign = ns < 0 ? "-" : "";
  const size = Math.abs(ns);
  if (size < 1e3) return `${sign}${size.toFixed(0)} ns`;
  if (size < 1e5) return `${sign}${digits(size / 1e3, 1)} µs`;
  if (size < 1e9) return `${sign}${digits(size / 1e6, 2)} ms`;
  return `${sign}${digits(size / 1e9, 2)} s`;
}

function digits(value, small) {
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(small - 1) : value.toFixed(small);
}

function signed(ns) {
  return `${ns > 0 ? "+" : ""}${duration(ns)}`;
}

function times(value) {
  if (value === null || value === undefined) return "–";
  const nearest = Math.round(value);
  if (Math.abs(value - nearest) < 0.01) return String(nearest);
  return value >= 1 ? value.toFixed(1) : value.toFixed(2);
}

function percent(share) {
  if (share === null || share === undefined) return "–";
  const points = Math.abs(share) * 100;
  return points > 0 && points < 1 ? `${(share * 100).toFixed(1)} %` : `${(share * 100).toFixed(0)} %`;
}

function plural(number, noun, many) {
  const said = times(number);
  return said === "1" ? `1 ${noun}` : `${said} ${many ?? `${noun}s`}`;
}

function interval(ends) {
  return ends ? `${duration(ends[0])} to ${duration(ends[1])}` : "";
}

function askedBy(site) {
  return site.split(" → ")[0];
}

function ranThere(site) {
  const place = site.indexOf(" → ");
  return place < 0 ? site : site.slice(place + 3) || site;
}

function short(path, keep = 2) {
  const plain = path.replaceAll(":", ".").replaceAll(".<locals>", "");
  const space = plain.lastIndexOf(" ");
  const words = space < 0 ? "" : plain.slice(0, space).replaceAll("_", " ");
  const last = plain.slice(space + 1).split(".").slice(-keep).join(".");
  return words ? `${words} ${last}` : last;
}

function layerName(layer) {
  return LAYERS.get(layer).name;
}

function swatch(layer) {
  return h("span", { class: "swatch", "aria-hidden": "true", vars: { "--c": LAYERS.get(layer).colour } });
}

function layerLabel(layer) {
  return h("span", { class: "layer" }, swatch(layer), layerName(layer));
}

// Time by layer, as figures: what `layers` says, layer by layer in their order.
function layerSums(layers, label = "This request by layer") {
  const rows = data.layers.filter(({ layer }) => layers[layer]).map(({ layer }) => ({ layer, ns: layers[layer] }));
  return h("ul", { class: "sums", "aria-label": label }, rows.map((row) =>
    h("li", { "data-layer": row.layer, "data-value": row.ns }, layerLabel(row.layer), ` ${duration(row.ns)}`)));
}

function ownerWords([layer, detail, part, phase]) {
  const named = detail === null ? "" : ` ${short(layer === "handoff" ? ranThere(detail) : detail)}`;
  return [`${layerName(layer)}${named}`, part, phase].filter(Boolean).join(" · ");
}

function totalOf(entry) {
  return entry.layers.reduce((sum, one) => sum + one.mean_ns, 0);
}

function pairsOf(view) {
  const found = view.document.comparison ?? [];
  return Array.isArray(found) ? found : [found];
}
