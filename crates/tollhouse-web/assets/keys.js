// The keyboard. Single keys do nothing while somebody types, and can be switched off altogether.
import { togglePause } from "./live.js";

let leader = 0;
/** Rows that lead somewhere: by themselves, or by a link in them. */
const ROWS = "tr[data-href], tr:has(a[data-row])";
const target = (row) => row.dataset.href ?? row.querySelector("a[data-row]").href;

export function keys({ show, say, copy, store }) {
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
    if (typing && event.key === "Escape") typing.blur();
    if (typing || event.metaKey || event.ctrlKey || event.altKey || store("keys") === "off") return;
    if (document.querySelector("dialog[open]")) return;
    if (press(event.key)) event.preventDefault();
  });

  function press(key) {
    const led = leader && Date.now() - leader < 1500;
    leader = 0;
    if (led) {
      const link = [...document.querySelectorAll(".side a[data-key]")].find((link) => link.dataset.key === key);
      if (link) show(link.href);
      return Boolean(link);
    }
    switch (key) {
      case "g":
        leader = Date.now();
        return true;
      case "/":
        return focus(document.querySelector("[data-filter]"));
      case "j":
        return step(1);
      case "k":
        return step(-1);
      case "Enter":
        return enter();
      case "Escape":
        return leave();
      case ".":
        togglePause();
        return true;
      case "y":
        copy(location.href, "the link of this page");
        return true;
      case "?":
        document.getElementById("keys")?.showModal();
        return true;
      default:
        return false;
    }
  }

  /** The next or previous row: shown at once where one is shown already, else only gone to. */
  function step(by) {
    const rows = [...document.querySelectorAll(ROWS)];
    if (rows.length === 0) return false;
    const open = rows.findIndex((row) => row.matches("[aria-current], [aria-selected='true']"));
    const at = rows.findIndex((row) => row.contains(document.activeElement));
    const from = at >= 0 ? at : open;
    const row = rows[from < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, from + by))];
    focus(row.querySelector("a"));
    row.scrollIntoView({ block: "nearest" });
    if (open >= 0) show(target(row));
    else if (from + by >= rows.length) say("This is the last row");
    return true;
  }

  function enter() {
    const row = document.activeElement?.closest(ROWS);
    // On a link of its own, Enter follows that.
    if (!row || document.activeElement !== row.querySelector("a")) return false;
    show(target(row));
    return true;
  }

  function leave() {
    const close = document.querySelector(".peek [data-close]");
    if (close) show(close.href);
    else if (document.activeElement?.closest("[data-hold]")) document.activeElement.blur();
    return Boolean(close);
  }

  function focus(element) {
    element?.focus();
    return Boolean(element);
  }
}
