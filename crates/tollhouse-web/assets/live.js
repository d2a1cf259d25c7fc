// One stream per page says that something has changed; the page is then fetched again. Nothing moves under the pointer or while the
// keyboard is in a list: what comes meanwhile is counted and put in when it is free, or when it is asked for.

let stream = null;
let address = null;
let last = null;
let apply = () => Promise.resolve();
let waiting = 0;
let paused = false;
let busy = false;
let again = false;

/** Opens the stream that the page names, unless it is the one that is open. */
export function follow(put) {
  apply = put;
  const wanted = document.body.dataset.stream ?? null;
  const kind = wanted && new URL(wanted, location.href).searchParams;
  kind?.delete("after");
  const name = kind && kind.toString();
  if (name !== address) {
    close();
    address = name;
    last = null;
    waiting = 0;
  }
  if (wanted && !stream && !document.hidden) open(wanted);
  state();
}

function open(wanted) {
  const url = new URL(wanted, location.href);
  if (last) url.searchParams.set("after", last);
  stream = new EventSource(url);
  stream.onmessage = (event) => {
    last = event.lastEventId;
    changed(JSON.parse(event.data).calls ?? 1);
  };
  // What was missed is not told any more: all is fetched again.
  stream.addEventListener("reset", (event) => {
    last = event.lastEventId || last;
    changed(1);
  });
  stream.addEventListener("login", () => {
    close();
    location.reload();
  });
  stream.onopen = stream.onerror = state;
}

function close() {
  stream?.close();
  stream = null;
}

function changed(count) {
  waiting += count;
  if (paused || held()) state();
  else refresh();
}

/** Is somebody about to point at, or in, a list? */
function held() {
  return [...document.querySelectorAll("[data-hold]")].some((list) => list.matches(":hover") || list.contains(document.activeElement));
}

async function refresh() {
  if (busy) {
    again = true;
    return;
  }
  busy = true;
  waiting = 0;
  try {
    await apply();
  } catch {
    // The stream tells when the gateway is there again.
  }
  busy = false;
  state();
  if (again) {
    again = false;
    setTimeout(() => (paused || held() ? state() : refresh()), 250);
  }
}

export function togglePause() {
  if (!document.body.dataset.stream) return;
  paused = !paused;
  if (!paused && waiting) refresh();
  else state();
}

/** Puts in what waits. */
export function catchUp() {
  if (waiting) refresh();
}

function state() {
  const on = stream && stream.readyState !== EventSource.CLOSED;
  const open = stream && stream.readyState === EventSource.OPEN;
  const name = paused ? "paused" : waiting && held() ? "held" : open ? "on" : "off";
  for (const part of document.querySelectorAll("[data-live-bar]")) {
    part.dataset.liveState = name;
    const pulse = part.querySelector(".pulse");
    const text = paused ? "paused" : open ? "live" : on ? "connecting" : "not live";
    if (pulse && pulse.textContent !== text) pulse.textContent = text;
    const fresh = part.querySelector("[data-new]");
    if (fresh) {
      fresh.hidden = waiting === 0;
      fresh.textContent = `${waiting.toLocaleString("en")} new`;
    }
    const pause = part.querySelector("[data-act='pause']");
    if (pause) pause.setAttribute("aria-pressed", String(paused));
  }
}

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-new]")) catchUp();
});
document.addEventListener("pointerout", (event) => {
  const list = event.target.closest?.("[data-hold]");
  if (list && !list.contains(event.relatedTarget)) setTimeout(() => !paused && !held() && catchUp(), 150);
});
document.addEventListener("focusout", () => setTimeout(() => !paused && !held() && catchUp(), 150));
// A hidden page needs no stream, and a browser opens few of them; it goes on where it was.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) close();
  else follow(apply);
});
addEventListener("pagehide", close);
addEventListener("pageshow", (event) => event.persisted && follow(apply));
