// A table that sorts by a click or a key on its heads, and copies itself as Markdown.
// A column: {title, value: row -> what it sorts by, show: row -> what stands there, text, left, hint}.

function table({ id, caption, columns, rows, foot, limit = 0, sorted, className = "" }) {
  let order = sorted ?? null;
  let all = !limit || rows.length <= limit;
  const body = h("tbody");
  const heads = columns.map((column, place) =>
    h("th", { scope: "col", class: column.left ? "" : "right", title: column.hint },
      button(column.title || " ", () => sort(place), { "aria-label": `Sort by ${column.title || "name"}` })));
  const more = button("", () => { all = !all; fill(); }, { class: "more" });

  function sort(place) {
    const descending = order?.place === place ? !order.descending : !columns[place].left;
    order = { place, descending };
    fill();
    say(`${caption}: sorted by ${columns[place].title}, ${descending ? "largest" : "smallest"} first`);
  }

  function ordered() {
    if (!order) return rows;
    const { place, descending } = order;
    const value = columns[place].value;
    return [...rows].sort((one, other) => {
      const [a, b] = [value(one), value(other)];
      const found = typeof a === "string" ? a.localeCompare(b) : (a ?? -Infinity) - (b ?? -Infinity);
      return descending ? -found : found;
    });
  }

  function shown() {
    const found = ordered();
    return all ? found : found.slice(0, limit);
  }

  function cell(column, row) {
    const what = column.show ? column.show(row) : column.value(row);
    return h("td", { class: column.left ? "left" : "right", "data-value": column.value(row) }, what);
  }

  function fill() {
    body.replaceChildren(...shown().map((row) => h("tr", {}, columns.map((column) => cell(column, row)))));
    heads.forEach((head, place) => {
      if (order?.place === place) head.setAttribute("aria-sort", order.descending ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    more.textContent = all ? "Show fewer" : `Show all ${rows.length}`;
    more.hidden = !limit || rows.length <= limit;
  }

  function markdown() {
    const words = (column, row) => (column.text ? column.text(row) : cell(column, row).textContent);
    const line = (cells) => `| ${cells.map((one) => one.replaceAll("|", "\\|").replaceAll("\n", " ")).join(" | ")} |`;
    const lines = [
      line(columns.map((column) => column.title)),
      line(columns.map((column) => (column.left ? "---" : "---:"))),
      ...shown().map((row) => line(columns.map((column) => words(column, row)))),
    ];
    if (foot) lines.push(line(foot));
    return `${lines.join("\n")}\n`;
  }

  fill();
  const copy = button("Copy as Markdown", () => copyText(markdown(), copy), { class: "copy" });
  return h("div", { class: `table ${className}`, id },
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
      h("table", {}, h("caption", {}, caption), h("thead", {}, h("tr", {}, heads)), body,
        foot ? h("tfoot", {}, h("tr", {}, foot.map((one, place) =>
          h(place ? "td" : "th", { class: columns[place].left ? "left" : "right", scope: place ? null : "row" }, one)))) : null)),
    h("div", { class: "under" }, more, copy));
}
