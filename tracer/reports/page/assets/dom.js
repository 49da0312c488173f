// Elements and what is said about them. Texts only ever become text nodes: no name is markup.

const data = JSON.parse(document.getElementById("data").textContent);

function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [kind, act] of Object.entries(value)) element.addEventListener(kind, act);
    else if (name === "vars") for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
    else if (name === "tip") withTip(element, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((one) => one !== null && one !== undefined && one !== false));
  return element;
}

function button(text, act, properties = {}) {
  return h("button", { type: "button", ...properties, on: { click: act } }, text);
}

// Advice is written with `code` in it.
function prose(text) {
  return text.split("`").map((part, place) => (place % 2 ? h("code", {}, part) : part));
}

function say(text) {
  document.getElementById("spoken").textContent = text;
}

// What an element says when it is pointed at or reached by keyboard: lines, or a function of them.
function withTip(element, lines) {
  const show = (event) => {
    const told = typeof lines === "function" ? lines() : lines;
    const box = element.getBoundingClientRect();
    showTip(told, event.clientX ?? box.left + box.width / 2, event.clientY ?? box.bottom);
  };
  element.addEventListener("pointermove", show);
  element.addEventListener("pointerleave", hideTip);
  element.addEventListener("focus", show);
  element.addEventListener("blur", hideTip);
}

function showTip(lines, x, y) {
  const tip = document.getElementById("tip");
  tip.replaceChildren(...lines.filter(Boolean).map((line, place) => h("div", { class: place ? "" : "strong" }, line)));
  tip.hidden = false;
  const left = Math.min(x + 14, document.documentElement.clientWidth - tip.offsetWidth - 8);
  const below = y + 18 + tip.offsetHeight < window.innerHeight;
  tip.style.left = `${Math.max(8, left)}px`;
  tip.style.top = `${Math.max(8, below ? y + 18 : y - tip.offsetHeight - 12)}px`;
}

function hideTip() {
  document.getElementById("tip").hidden = true;
}

async function copyText(text, origin) {
  let copied = false;
  try {
    await navigator.clipboard.writeText(text);
    copied = true;
  } catch {
    const area = h("textarea", { class: "unseen", readonly: true }, text);
    origin.after(area);
    area.select();
    copied = document.execCommand("copy");
    area.remove();
  }
  const before = origin.textContent;
  origin.textContent = copied ? "Copied" : "Could not copy";
  say(origin.textContent);
  setTimeout(() => (origin.textContent = before), 1500);
}

function section(id, title, intro, ...children) {
  return h("section", { id, "aria-labelledby": `${id}-title` },
    h("h2", { id: `${id}-title` }, title),
    intro ? h("p", { class: "intro" }, intro) : null,
    ...children);
}
