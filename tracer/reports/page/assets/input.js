// What hands do to a picture drawn over time: wheel, drag, pinch, keys; what a click means there is its own.

function handsOn(picture, { keys, words, clicked, doubled }) {
  const canvas = picture.element;
  const pointers = new Map();
  let moved = false;

  canvas.addEventListener("wheel", (event) => {
    const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey;
    const meant = event.ctrlKey || event.metaKey || document.activeElement === canvas;
    if (!sideways && !meant) return;  // the page scrolls on, until somebody means the picture
    event.preventDefault();
    if (sideways) picture.pan((event.deltaX || event.deltaY) / canvas.clientWidth);
    else picture.zoom(Math.exp(event.deltaY * 0.002), at(event));
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
    if (pointers.size === 1) picture.pan((before.clientX - event.clientX) / canvas.clientWidth);
    else pinch(before, event);
    pointers.set(event.pointerId, event);
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(kind, (event) => {
      pointers.delete(event.pointerId);
      if (kind === "pointerup" && !moved) clicked(picture.under(event));
    });
  }
  canvas.addEventListener("pointerleave", () => hoverOver(null));
  canvas.addEventListener("dblclick", (event) => {
    const one = picture.under(event);
    if (one) doubled?.(one);
  });

  const every = {
    "Shift+ArrowRight": () => picture.pan(0.2),
    "Shift+ArrowLeft": () => picture.pan(-0.2),
    "+": () => picture.zoom(0.7),
    "=": () => picture.zoom(0.7),
    "-": () => picture.zoom(1 / 0.7),
    0: () => picture.fit(),
    Enter: () => picture.state.chosen && picture.zoomTo(picture.state.chosen),
    ...keys,
  };
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act = every[event.shiftKey && event.key.startsWith("Arrow") ? `Shift+${event.key}` : event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });

  function pinch(before, event) {
    const [other] = [...pointers.values()].filter((one) => one.pointerId !== event.pointerId);
    const was = Math.abs(before.clientX - other.clientX);
    const is = Math.abs(event.clientX - other.clientX);
    if (was > 8 && is > 8) picture.zoom(was / is, (at(event) + at(other)) / 2);
  }

  function at(event) {
    return picture.instant(event.clientX - canvas.getBoundingClientRect().left);
  }

  function hover(event) {
    const one = event.pointerType === "touch" ? null : picture.under(event);
    hoverOver(one);
    if (one) showTip(words(one), event.clientX, event.clientY);
  }

  function hoverOver(one) {
    if (!one) hideTip();
    if (picture.state.hovered === one) return;
    picture.state.hovered = one;
    picture.request();
  }
}

function waterfallInput(fall) {
  const choose = (one) => fall.choose(one, { reveal: false });
  handsOn(fall, { words: momentWords, clicked: choose, doubled: fall.zoomTo, keys: {
    ArrowRight: () => step(1),
    ArrowLeft: () => step(-1),
    ArrowUp: () => fall.zoom(0.7),
    ArrowDown: () => fall.zoom(1 / 0.7),
    Home: () => step(-Infinity),
    End: () => step(Infinity),
    Escape: () => fall.choose(null),
  } });

  function step(by) {
    const { all } = fall.found;
    if (!all.length) return;
    const first = all.find((one) => endOf(one) > fall.view.from)?.place ?? 0;
    const next = fall.state.chosen ? fall.state.chosen.place + by : Number.isFinite(by) ? first : by;
    fall.choose(all[Math.min(Math.max(next, 0), all.length - 1)]);
  }
}
