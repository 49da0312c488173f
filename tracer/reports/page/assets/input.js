// What hands do to the waterfall: wheel, drag, pinch, keys.

function waterfallInput(fall) {
  const canvas = fall.element;
  const pointers = new Map();
  let moved = false;

  canvas.addEventListener("wheel", (event) => {
    const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey;
    const meant = event.ctrlKey || event.metaKey || document.activeElement === canvas;
    if (!sideways && !meant) return;  // the page scrolls on, until somebody means the waterfall
    event.preventDefault();
    if (sideways) fall.pan((event.deltaX || event.deltaY) / canvas.clientWidth);
    else fall.zoom(Math.exp(event.deltaY * 0.002), at(event));
  }, { passive: false });

  canvas.addEventListener("pointerdown", (event) => {
    pointers.set(event.pointerId, event);
    moved = false;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return hover(event);
    if (Math.abs(event.clientX - before.clientX) > 2) moved = true;
    if (pointers.size === 1) fall.pan((before.clientX - event.clientX) / canvas.clientWidth);
    else pinch(before, event);
    pointers.set(event.pointerId, event);
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(kind, (event) => {
      pointers.delete(event.pointerId);
      if (kind === "pointerup" && !moved) fall.choose(fall.under(event), { reveal: false });
    });
  }
  canvas.addEventListener("pointerleave", () => hoverOver(null));
  canvas.addEventListener("dblclick", (event) => {
    const one = fall.under(event);
    if (one) fall.zoomTo(one);
  });

  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act = keys[event.shiftKey && event.key.startsWith("Arrow") ? `Shift+${event.key}` : event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  const keys = {
    ArrowRight: () => step(1),
    ArrowLeft: () => step(-1),
    "Shift+ArrowRight": () => fall.pan(0.2),
    "Shift+ArrowLeft": () => fall.pan(-0.2),
    ArrowUp: () => fall.zoom(0.7),
    ArrowDown: () => fall.zoom(1 / 0.7),
    "+": () => fall.zoom(0.7),
    "=": () => fall.zoom(0.7),
    "-": () => fall.zoom(1 / 0.7),
    0: () => fall.fit(),
    Home: () => step(-Infinity),
    End: () => step(Infinity),
    Enter: () => fall.state.chosen && fall.zoomTo(fall.state.chosen),
    Escape: () => fall.choose(null),
  };

  function step(by) {
    const { all } = fall.found;
    if (!all.length) return;
    const first = all.find((one) => endOf(one) > fall.view.from)?.place ?? 0;
    const next = fall.state.chosen ? fall.state.chosen.place + by : Number.isFinite(by) ? first : by;
    fall.choose(all[Math.min(Math.max(next, 0), all.length - 1)]);
  }

  function pinch(before, event) {
    const [other] = [...pointers.values()].filter((one) => one.pointerId !== event.pointerId);
    const was = Math.abs(before.clientX - other.clientX);
    const is = Math.abs(event.clientX - other.clientX);
    if (was > 8 && is > 8) fall.zoom(was / is, (at(event) + at(other)) / 2);
  }

  function at(event) {
    return fall.instant(event.clientX - canvas.getBoundingClientRect().left);
  }

  function hover(event) {
    const one = event.pointerType === "touch" ? null : fall.under(event);
    hoverOver(one);
    if (one) showTip(momentWords(one), event.clientX, event.clientY);
  }

  function hoverOver(one) {
    if (!one) hideTip();
    if (fall.state.hovered === one) return;
    fall.state.hovered = one;
    fall.request();
  }
}
