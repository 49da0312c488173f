// Light and dark: as the system has it until somebody chooses. What is drawn on a canvas is redrawn.

const THEMES = ["auto", "light", "dark"];
const redraws = new Set();

function onTheme(redraw) {
  redraws.add(redraw);
  return () => redraws.delete(redraw);
}

function redrawAll() {
  for (const redraw of [...redraws]) redraw();
}

function ink(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function themeButton() {
  let chosen = 0;
  const shown = button("Theme: auto", () => {
    chosen = (chosen + 1) % THEMES.length;
    if (chosen) document.documentElement.dataset.theme = THEMES[chosen];
    else delete document.documentElement.dataset.theme;
    shown.textContent = `Theme: ${THEMES[chosen]}`;
    redrawAll();
  }, { id: "theme" });
  return shown;
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawAll);
matchMedia("print").addEventListener("change", redrawAll);

// Paper is white: what is drawn must be drawn for it before the page is taken.
let beforePrint = null;
addEventListener("beforeprint", () => {
  beforePrint = document.documentElement.dataset.theme ?? "";
  document.documentElement.dataset.theme = "light";
  redrawAll();
});
addEventListener("afterprint", () => {
  if (beforePrint) document.documentElement.dataset.theme = beforePrint;
  else delete document.documentElement.dataset.theme;
  redrawAll();
});
