// Turns one tree into another and touches only what differs: what has the focus keeps it, and what is selected stays so.

/** Fetches a page of ours. No text is ever made markup here: the browser's own reader makes the document, and scripts in it do not run. */
export function fetchPage(url) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("GET", url);
    request.responseType = "document";
    request.timeout = 15000;
    request.onload = () => {
      const page = request.response;
      if (page && page.getElementById("page")) resolve({ page, url: request.responseURL });
      else reject(new Error(`no page: ${request.status}`));
    };
    request.onerror = request.ontimeout = () => reject(new Error("the gateway does not answer"));
    request.send();
  });
}

/** Makes `from`, which stays in the document, like `to`; with `mark`, what was not there before is marked. */
export function morph(from, to, mark = false) {
  if (from.isEqualNode(to)) return;
  attributes(from, to);
  // What somebody is typing is theirs.
  if (from instanceof HTMLInputElement && from === document.activeElement) return;
  if (from instanceof HTMLInputElement && to.hasAttribute("value")) from.value = to.getAttribute("value");
  const known = new Map();
  for (const child of from.children) if (child.id) known.set(child.id, child);
  const wanted = new Set();
  for (const child of to.children) if (child.id) wanted.add(child.id);
  let at = from.firstChild;
  for (const next of [...to.childNodes]) {
    const same = next.id ? known.get(next.id) : undefined;
    if (same) {
      if (same === at) at = at.nextSibling;
      else from.insertBefore(same, at);
      morph(same, next, mark);
      continue;
    }
    if (next.id) {
      const added = from.insertBefore(document.importNode(next, true), at);
      if (mark) added.classList.add("fresh");
      continue;
    }
    while (at && at.id && !wanted.has(at.id)) at = gone(at);
    if (at && !at.id && at.nodeType === next.nodeType && at.nodeName === next.nodeName) {
      if (at.nodeType === Node.ELEMENT_NODE) morph(at, next, mark);
      else if (at.nodeValue !== next.nodeValue) at.nodeValue = next.nodeValue;
      at = at.nextSibling;
    } else {
      from.insertBefore(document.importNode(next, true), at);
    }
  }
  while (at) at = gone(at);
}

function gone(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

function attributes(from, to) {
  for (const { name } of [...from.attributes]) {
    // What scripts opened or showed stays so; templates do not say anything of it.
    if (!to.hasAttribute(name) && !["open", "class", "hidden", "data-live-state"].includes(name)) from.removeAttribute(name);
  }
  if (from.className !== (to.getAttribute("class") ?? "") && from.namespaceURI === document.documentElement.namespaceURI) {
    from.className = to.getAttribute("class") ?? "";
  }
  for (const { name, value } of [...to.attributes]) {
    if (name === "hidden" && from.dataset?.act) continue;
    if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
}
