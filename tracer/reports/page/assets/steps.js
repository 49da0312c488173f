// The same request in words: what is chosen, and all of its steps and hand-offs as tables.

const STEPS_SHOWN = 3000;

function chosenPanel() {
  const panel = h("div", { class: "chosen", id: "chosen" });
  function show(one) {
    if (!one) {
      panel.replaceChildren(h("p", { class: "hint" },
        "Point at a step, or focus the waterfall and press → for the first. Double click or Enter zooms to it; / searches."));
      return;
    }
    const lines = momentWords(one);
    panel.replaceChildren(
      h("p", {}, swatch(one.layer), h("strong", {}, lines[0])),
      one.owner[1] ? h("p", {}, h("code", {}, one.owner[1])) : null ?? "",
      ...lines.slice(1).filter((line) => line !== hopLine(one)).map((line) => h("p", {}, line)),
      one.hop ? hopPanel(one.hop) : "");
    say(lines.slice(0, 2).join(", "));
  }
  show(null);
  return { element: panel, show };
}

function hopPanel(hop) {
  return h("div", { class: "hop" },
    h("p", {}, "Hand-off to ", h("code", {}, ranThere(hop.site)), askedBy(hop.site) ? [" asked by ", h("code", {}, askedBy(hop.site))] : null,
      hop.thread_started ? ", a thread was started for it" : ""),
    h("div", { class: "phases" }, PHASES.filter((phase) => hop.phases[phase]).map((phase) =>
      h("span", { class: phase === "run" ? "phase run" : "phase", vars: { "--g": String(Math.max(hop.phases[phase], 1)) } },
        `${phase} ${duration(hop.phases[phase])}`))));
}

function stepsTables(fall) {
  const { found } = fall;
  const steps = found.all.slice(0, STEPS_SHOWN);
  const pick = (one) => button(duration(one.at), () => {
    fall.choose(one);
    fall.element.scrollIntoView({ block: "nearest" });
  }, { class: "plain", "aria-label": `Show the step at ${duration(one.at)}` });
  return [
    layerSums(found.request.layers),
    h("details", { class: "steps" }, h("summary", {}, `All ${plural(found.all.length, "step")} as a table`),
      found.all.length > STEPS_SHOWN ? h("p", { class: "remark" }, `The first ${STEPS_SHOWN} of ${found.all.length}; search and zoom reach the others.`) : null,
      table({ id: "steps-table", caption: "Steps of this request", rows: steps, limit: 30, columns: [
        { title: "at", value: (one) => one.at, show: pick, text: (one) => duration(one.at) },
        { title: "took", value: (one) => one.ns, show: (one) => duration(one.ns) },
        { title: "layer", left: true, value: (one) => layerName(one.layer), show: (one) => layerLabel(one.layer), text: (one) => layerName(one.layer) },
        { title: "what", left: true, value: (one) => one.owner[1] ?? "", show: (one) => (one.owner[1] ? h("code", {}, one.owner[1]) : "") },
        { title: "part, phase", left: true, value: (one) => one.owner.slice(2).filter(Boolean).join(" · ") },
        { title: "state", left: true, value: (one) => (one.waits ? "wait" : "run") },
        { title: "lane", left: true, value: (one) => one.lane.name },
        { title: "certainty", left: true, value: (one) => one.certainty },
      ] })),
    found.hops.length ? h("details", { class: "steps" }, h("summary", {}, `Its ${plural(found.hops.length, "hand-off")} with their phases`), hopsTable(found.hops)) : null,
  ];
}

function hopsTable(hops) {
  return table({ id: "hops-table", caption: "Hand-offs of this request", rows: hops, columns: [
    { title: "at", value: (hop) => hop.at, show: (hop) => duration(hop.at) },
    { title: "what ran there", left: true, value: (hop) => ranThere(hop.site), show: (hop) => h("code", { title: hop.site }, short(ranThere(hop.site))) },
    { title: "direction", left: true, value: (hop) => hop.direction.replace("_", " ") },
    ...PHASES.map((phase) => ({ title: phase, value: (hop) => hop.phases[phase], show: (hop) => (hop.phases[phase] === null ? "–" : duration(hop.phases[phase])) })),
    { title: "loop’s", value: (hop) => hop.event_loop_ns, show: (hop) => duration(hop.event_loop_ns), hint: "what of these phases the event loop owns" },
    { title: "", left: true, value: (hop) => [hop.thread_started ? "starts a thread" : "", hop.after ? "after the response" : "", hop.overlapped ? "beside" : ""].filter(Boolean).join(", ") },
  ] });
}
