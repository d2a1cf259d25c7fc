// Links and forms of the dashboard without loading everything anew. Without this file they work all the same.
import { fetchPage, morph } from "./morph.js";
import { follow, togglePause } from "./live.js";
import { keys } from "./keys.js";

let visit = 0;

/** Shows the page at `url`; `push` makes an entry in the history. */
export async function show(url, push = true) {
  const mine = ++visit;
  let fetched;
  try {
    fetched = await fetchPage(url);
  } catch {
    location.assign(url);
    return;
  }
  if (mine !== visit) return;
  const moved = new URL(fetched.url).pathname !== location.pathname;
  if (push) history.pushState(null, "", fetched.url);
  document.title = fetched.page.title;
  morph(document.body, document.importNode(fetched.page.body, true));
  dress();
  follow(put);
  if (moved) {
    scrollTo(0, 0);
    document.getElementById("page")?.focus({ preventScroll: true });
  }
}

/** Fetches the page that is shown once more, and puts what is live in it in its place. */
async function put() {
  const mine = visit;
  const { page } = await fetchPage(location.href);
  if (mine !== visit) return;
  for (const part of document.querySelectorAll("[data-live]")) {
    const fresh = page.getElementById(part.id);
    if (fresh) morph(part, document.importNode(fresh, true), true);
  }
  dress();
}

/** Says something to whoever looks or listens. */
export function say(text) {
  const said = document.getElementById("said");
  said.textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => (said.textContent = ""), 2500);
}

export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    say(`Copied ${what}`);
  } catch {
    say("The browser does not let this page copy");
  }
}

const THEMES = ["system", "light", "dark"];

function theme() {
  return document.documentElement.dataset.theme ?? "system";
}

/** What only works with scripts is shown, and times are written in the zone that was chosen. */
function dress() {
  for (const button of document.querySelectorAll("[data-act][hidden], [data-copy][hidden]")) button.hidden = false;
  const name = document.querySelector("[data-theme-name]");
  if (name) name.textContent = theme();
  zone();
}

function zone() {
  const local = store("zone") === "local";
  const name = document.querySelector("[data-zone-name]");
  if (name) name.textContent = local ? "local" : "UTC";
  for (const time of document.querySelectorAll("time[datetime]:not([data-ago])")) {
    time.dataset.utc ??= time.textContent;
    if (!local) {
      if (time.textContent !== time.dataset.utc) time.textContent = time.dataset.utc;
      continue;
    }
    const at = new Date(time.dateTime);
    const two = (n, width = 2) => String(n).padStart(width, "0");
    const clock = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${two(at.getMilliseconds(), 3)}`;
    const today = at.toDateString() === new Date().toDateString();
    time.textContent = today ? clock : `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock}`;
  }
}

export function store(key, value) {
  try {
    if (value === undefined) return localStorage.getItem(`tollhouse.${key}`);
    localStorage.setItem(`tollhouse.${key}`, value);
  } catch {
    // No storage: the choice lasts as long as the page.
  }
  return value ?? null;
}

const ACTS = {
  theme() {
    const next = THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length];
    if (next === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    store("theme", next);
    dress();
  },
  zone() {
    store("zone", store("zone") === "local" ? "utc" : "local");
    zone();
  },
  help: () => document.getElementById("keys")?.showModal(),
  close: (button) => button.closest("dialog")?.close(),
  pause: () => togglePause(),
  keys(button) {
    store("keys", store("keys") === "off" ? "on" : "off");
    button.querySelector("[data-keys-name]").textContent = store("keys") === "off" ? "off" : "on";
  },
};

document.addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const button = event.target.closest("[data-act], [data-copy]");
  if (button) {
    if (button.dataset.act) ACTS[button.dataset.act]?.(button);
    else copy(document.getElementById(button.dataset.copy)?.textContent ?? "", button.dataset.what ?? "");
    return;
  }
  const link = event.target.closest("a[href]");
  if (link && ours(link) && !link.closest("[data-plain]") && !link.hash) {
    event.preventDefault();
    show(link.href);
    return;
  }
  // A click anywhere in a row of a list shows what the row is about.
  const row = event.target.closest("tr[data-href]");
  if (row && !getSelection().toString()) show(row.dataset.href);
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "get" || form.closest("[data-plain]")) return;
  event.preventDefault();
  const url = new URL(form.action);
  url.search = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== "")).toString();
  if (form.contains(document.activeElement)) document.activeElement.blur();
  show(url.href);
});

function ours(link) {
  return link.origin === location.origin && !link.pathname.startsWith("/api/") && !link.pathname.startsWith("/assets/") && !link.target;
}

// From one slot of a chart to another: their time alone is shown.
let from = null;
document.addEventListener("pointerdown", (event) => {
  from = event.button === 0 ? event.target.closest(".zooms a") : null;
  if (from) from.parentElement.dataset.drag = "";
});
document.addEventListener("dragstart", (event) => event.target.closest?.(".zooms") && event.preventDefault());
document.addEventListener("pointermove", (event) => {
  const at = from && event.target.closest?.(".zooms a");
  if (!at || at.parentElement !== from.parentElement) return;
  const [first, last] = ends(from, at);
  [...from.parentElement.children].forEach((slot, nth) => slot.classList.toggle("chosen", nth >= first && nth <= last));
});
document.addEventListener("pointerup", (event) => {
  const [begin, at] = [from, event.target.closest?.(".zooms a")];
  from = null;
  if (!begin) return;
  for (const slot of begin.parentElement.children) slot.classList.remove("chosen");
  if (!at || at === begin || at.parentElement !== begin.parentElement) return;
  const [first, last] = ends(begin, at).map((nth) => begin.parentElement.children[nth]);
  const url = new URL(location.href);
  url.searchParams.set("range", `${first.dataset.from}..${last.dataset.to}`);
  url.searchParams.delete("before");
  show(url.href);
});

function ends(one, other) {
  const slots = [...one.parentElement.children];
  return [slots.indexOf(one), slots.indexOf(other)].sort((a, b) => a - b);
}

addEventListener("popstate", () => show(location.href, false));
keys({ show, say, copy, store });
dress();
follow(put);
