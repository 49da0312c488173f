// One request as lanes: on which thread each moment lies, where it crosses, in which hand-off it is.

const PHASES = data.tables.columns.hop.slice(8);
const COSTLY = PHASES.filter((phase) => phase !== "run");

function model(request) {
  const found = {
    request,
    lanes: [],
    track: [...moments(request.segments, "main"), ...moments(request.after_response, "after")],
    beside: moments(request.overlapped, "beside"),
    hops: request.hops.map(hopOf),
    crossings: [],
  };
  placeInLanes(found, request);
  found.crossings = [...crossings(found.track), ...crossingsBeside(found)].sort((one, other) => one.right - other.right);
  found.all = [...found.track, ...found.beside].sort((one, other) => one.at - other.at || one.ns - other.ns);
  found.all.forEach((one, place) => (one.place = place));
  placeInHops(found.track, found.hops.filter((hop) => !hop.overlapped));
  const client = request.client;
  found.from = Math.min(0, client?.send_ns ?? 0);
  found.to = Math.max(request.duration_ns, ...found.all.slice(-1).map(endOf), ...found.track.slice(-1).map(endOf), 1);
  return found;
}

function moments(rows, kind) {
  return rows.map(([at, ns, owner, state, thread, certainty]) => ({
    at, ns, kind, thread,
    owner: data.tables.owners[owner],
    layer: data.tables.owners[owner][0],
    waits: data.tables.states[state] === "wait",
    certainty: data.tables.certainties[certainty],
    lane: null,
    hop: null,
  }));
}

function hopOf([site, direction, at, eventLoop, started, after, overlapped, parent, ...phases], place) {
  const spent = Object.fromEntries(PHASES.map((phase, index) => [phase, phases[index]]));
  const ns = phases.reduce((sum, one) => sum + (one ?? 0), 0);
  return { place, site: data.tables.sites[site], direction, at, ns, phases: spent, event_loop_ns: eventLoop,
    thread_started: Boolean(started), after: Boolean(after), overlapped: Boolean(overlapped), parent };
}

// Who waits is drawn where it goes on: a wake-up in the thread that wakes, a return on the loop.
function placeInLanes(found, request) {
  const order = [];
  const laneOf = new Map();
  const lane = (key, name, note) => {
    if (!laneOf.has(key)) {
      laneOf.set(key, { name, note });
      order.push(laneOf.get(key));
    }
    return laneOf.get(key);
  };
  const isClient = (one) => one.layer === "network";
  if (found.track.some(isClient)) lane("client", "client", "the load client, on the same clock");
  const own = found.track.find((one) => one.thread !== null)?.thread ?? null;
  const threadLane = (thread) => {
    const id = thread === null ? "" : `thread ${request.threads[thread]}`;
    if (thread === own) return lane(thread, request.interface === "asgi" ? "event loop" : "server thread", id);
    return lane(thread, `worker thread ${[...laneOf.keys()].filter((key) => key !== "client" && key !== own).length + (laneOf.has(thread) ? 0 : 1)}`, id);
  };
  threadLane(own);
  for (const one of [...found.track, ...found.beside]) if (one.thread !== null) threadLane(one.thread);
  for (const row of [found.track, found.beside]) {
    let next = null;
    for (const one of [...row].reverse()) {
      if (one.thread !== null) next = one.thread;
      if (isClient(one)) one.lane = laneOf.get("client");
      else if (next !== null) one.lane = threadLane(next);
    }
    let last = threadLane(own);
    for (const one of row) {
      one.lane ??= last;
      if (!isClient(one)) last = one.lane;
    }
  }
  for (const one of found.track) one.lane.main = true;
  for (const one of found.beside) one.lane.beside = true;
  found.own = threadLane(own);
  found.lanes = order;
  order.forEach((one, place) => (one.place = place));
}

function crossings(track) {
  const found = [];
  let before = null;
  for (const one of track) {
    if (one.thread === null && one.layer !== "network") continue;
    if (before && before.lane !== one.lane) {
      found.push({ from: before.lane.place, to: one.lane.place, left: endOf(before), right: one.at });
    }
    before = one;
  }
  return found;
}

// Several hand-offs may go on beside the main track at once: what each ran is found by when it began.
function crossingsBeside({ hops, beside, own }) {
  const began = new Map(beside.filter((one) => one.thread !== null && one.lane !== own).map((one) => [one.at, one]));
  return hops.filter((hop) => hop.overlapped).flatMap((hop) => {
    const { prepare, submit, queue, wake, run, notify, return: back } = hop.phases;
    const ready = hop.at + prepare + submit + queue + wake;
    const one = began.get(ready);
    if (!one) return [];
    const done = ready + run + notify;
    return [
      { from: own.place, to: one.lane.place, left: hop.at + prepare + submit, right: ready, beside: true },
      { from: one.lane.place, to: own.place, left: done, right: done + back, beside: true },
    ];
  });
}

// The innermost hand-off that was going on.
function placeInHops(track, hops) {
  const waiting = [...hops].sort((one, other) => other.at - one.at);
  const open = [];
  for (const one of track) {
    while (open.length && open.at(-1).at + open.at(-1).ns <= one.at) open.pop();
    while (waiting.length && waiting.at(-1).at <= one.at) {
      const hop = waiting.pop();
      if (hop.at + hop.ns > one.at) open.push(hop);
    }
    one.hop = open.at(-1) ?? null;
  }
}

function momentWords(one) {
  const hop = one.hop;
  return [
    `${ownerWords(one.owner)}: ${duration(one.ns)}`,
    `at ${duration(one.at)}, ${one.waits ? "waiting" : "running"}, ${one.lane.name}${one.kind === "main" ? "" : one.kind === "after" ? ", after the response" : ", beside the main track"}`,
    one.certainty === "exact" ? null : `its place is ${one.certainty === "bound" ? "bounded, not measured" : "an estimate"}`,
    hop ? hopLine(one) : null,
  ].filter(Boolean);
}

// What a search looks in.
function wordsOfMoment(one) {
  one.words ??= [...one.owner, layerName(one.layer), one.waits ? "wait" : "run", one.lane.name, one.kind, one.certainty,
    one.hop?.site].filter(Boolean).join(" ").toLowerCase();
  return one.words;
}

function hopLine({ hop }) {
  if (!hop) return null;
  const phases = COSTLY.filter((phase) => hop.phases[phase]).map((phase) => `${phase} ${duration(hop.phases[phase])}`);
  return `in the hand-off to ${short(ranThere(hop.site))}: ${phases.join(" · ")}`;
}
