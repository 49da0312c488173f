// The answer in a sentence, its figures, and what to do about it.

function answerSection(view) {
  const entries = view.document.configurations;
  const { doubts, answers, certainty } = view.said;
  return h("section", { id: "answer", "aria-labelledby": "answer-title" },
    h("h2", { id: "answer-title", class: "unseen" }, "The answer"),
    answers.map((said, place) => [
      h("p", { class: "answer" }, unbroken(said)),
      certainty[place] ? h("p", { class: "certainty" }, certainty[place]) : null,
    ]),
    doubts.map((one) => h("p", { class: "doubt", "data-finding": one.id }, h("strong", {}, "Mind: "), `${unbroken(one.title)}. `, prose(one.advice))),
    view.remarks.map((said) => h("p", { class: "remark" }, said)),
    h("div", { class: "cards" }, entries.map((entry, place) => card(entry, place, entries.length > 1))),
    findings(view));
}

// A figure and its unit stay on one line.
function unbroken(said) {
  return said.replace(/(\d) (%|ns|µs|ms|s)\b|(\d) %/g, (found) => found.replace(" ", "\u00a0"));
}

function card(entry, place, several) {
  const figure = (name, shown, value) =>
    h("div", {}, h("dt", {}, name), h("dd", { "data-figure": `${entry.name}.${name}`, "data-value": value }, shown));
  const { latency_ns: latency, untraced_latency_ns: untraced, handoffs } = entry;
  return h("div", { class: several ? `card side${place % 4}` : "card" },
    h("h3", {}, entry.name),
    h("dl", {},
      figure("p50", duration(latency.p50), latency.p50),
      figure("p99", duration(latency.p99), latency.p99),
      untraced ? figure("untraced", duration(untraced.p50), untraced.p50) : null,
      figure("requests", String(entry.requests), entry.requests),
      figure("hand-offs", times(handoffs.per_request), handoffs.per_request),
      figure("threads", times(handoffs.threads_started_per_request), handoffs.threads_started_per_request)),
    h("p", { class: "command" }, h("code", {}, entry.command)));
}

function findings(view) {
  const found = view.document.findings.filter((one) => !view.said.doubts.some((doubt) => doubt.title === one.title));
  if (!found.length) return h("p", { class: "none" }, "Findings: nothing that would be worth a change.");
  const most = Math.max(...found.map((one) => one.predicted_saving_ns), 1);
  return h("div", { class: "findings" },
    h("h3", {}, "Findings"),
    h("p", { class: "intro" }, "Savings are estimates from these measurements, and overlap."),
    h("ol", {}, found.map((one) => finding(one, most, view.document.configurations.length > 1))));
}

function finding(one, most, several) {
  const { configuration, ...evidence } = one.evidence;
  const saving = one.predicted_saving_ns;
  return h("li", { "data-finding": one.id },
    h("div", { class: "head" },
      h("h4", {}, several ? h("span", { class: "badge" }, configuration) : null, prose(one.title)),
      saving > 0 ? h("span", { class: "saving", "data-value": saving }, `saves about ${duration(saving)} a request`) : null),
    saving > 0 ? h("div", { class: "meter", "aria-hidden": "true" }, h("i", { vars: { "--w": `${(100 * saving) / most}%` } })) : null,
    h("p", {}, prose(one.advice)),
    Object.keys(evidence).length
      ? h("details", {}, h("summary", {}, "Evidence"), h("pre", {}, JSON.stringify(evidence, null, 2)))
      : null);
}
