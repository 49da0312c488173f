// What these figures stand on: environment, versions, seams, drops, and how to get them again.

function evidenceSection(view) {
  const { document: told } = view;
  return section("evidence", "Evidence", null,
    h("h3", {}, "To measure it again"),
    view.repeat.length ? view.repeat.map(commandLine) : h("p", {}, "The recording doesn't say by which command it was made."),
    h("h3", {}, "Environment"), environment(told),
    h("h3", {}, "What was measured"), configurationsTable(told),
    told.configurations.flatMap((entry) => entry.notes.map((note) => h("p", { class: "remark" }, `${entry.name}: ${note}`))),
    told.configurations.some((entry) => entry.layers.some((one) => one.layer === "network" && one.mean_ns)) ? null
      : h("p", { class: "remark" }, "No network layer: tracer’s own client did not drive this load, so nothing is known from before the server touched a request."),
    h("h3", {}, "Seams"), seamsTable(told.seams));
}

function commandLine(text) {
  const copy = button("Copy", () => copyText(text, copy), { class: "copy" });
  return h("div", { class: "repeat" }, h("pre", {}, text), copy);
}

function environment(told) {
  const { servers, ...rest } = told.environment;
  const pairs = [...Object.entries(rest), ...Object.entries(servers ?? {})].filter(([, value]) => value !== null && value !== undefined);
  return h("dl", { class: "environment" }, pairs.map(([name, value]) => {
    const said = name.endsWith("_ns") && typeof value === "number" ? duration(value) : typeof value === "object" ? JSON.stringify(value) : String(value);
    return h("div", {}, h("dt", {}, name.replace(/_ns$/, "").replaceAll("_", " ")), h("dd", {}, said));
  }), told.load ? Object.entries(told.load).filter(([, value]) => value !== null).map(([name, value]) =>
    h("div", {}, h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, Array.isArray(value) ? value.join(", ") : String(value)))) : null);
}

function configurationsTable(told) {
  const seen = (entry) => entry.requests_seen?.seen ?? null;
  const differs = (entry) => Object.entries(entry.environment).map(([name, value]) => `${name} ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", ");
  const some = (value) => told.configurations.some(value);
  return table({ id: "configurations-table", caption: "Configurations", rows: told.configurations, columns: [
    { title: "name", left: true, value: (entry) => entry.name },
    { title: "command", left: true, value: (entry) => entry.command, show: (entry) => h("code", {}, entry.command) },
    { title: "requests", value: (entry) => entry.requests },
    ...(some(seen) ? [{ title: "seen", value: seen, show: (entry) => String(seen(entry) ?? "–") }] : []),
    { title: "errors", value: (entry) => entry.errors },
    { title: "dropped", value: (entry) => entry.dropped_timelines },
    { title: "unattributed", value: (entry) => entry.unattributed_share, show: (entry) => percent(entry.unattributed_share) },
    { title: "rounds", left: true, value: (entry) => `${entry.rounds.traced} traced, ${entry.rounds.control} control` },
    ...(some((entry) => differs(entry)) ? [{ title: "differs in", left: true, value: differs }] : []),
  ] });
}

function seamsTable(seams) {
  const missing = seams.filter((one) => one.status !== "installed");
  const show = (rows, caption) => table({ caption, rows, columns: [
    { title: "seam", left: true, value: (row) => row.seam, show: (row) => h("code", {}, row.seam) },
    { title: "status", left: true, value: (row) => row.status },
    { title: "why", left: true, value: (row) => row.reason ?? "" },
    ...(rows.some((row) => row.configurations) ? [{ title: "in", left: true, value: (row) => (row.configurations ?? []).join(", ") }] : []),
  ] });
  return [
    h("p", {}, missing.length
      ? `${plural(missing.length, "seam")} absent or refused: what they would show is in the layer around, or unattributed.`
      : `All ${seams.length} seams are installed.`),
    missing.length ? show(missing, "Seams absent or refused") : null,
    seams.length > missing.length ? h("details", {}, h("summary", {}, `${plural(seams.length - missing.length, "seam")} installed`),
      show(seams.filter((one) => one.status === "installed"), "Seams installed")) : null,
  ];
}
