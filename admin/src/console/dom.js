// Elements: made, filled and patched in place, so that nothing jumps and no focus is lost.

const SVG = "http://www.w3.org/2000/svg";

/** Makes an HTML element; a property that is a function listens, anything else is an attribute. */
export function el(name, properties = {}, ...children) {
  return furnish(document.createElement(name), properties, children);
}

/** Makes an SVG element. */
export function svg(name, properties = {}, ...children) {
  return furnish(document.createElementNS(SVG, name), properties, children);
}

function furnish(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== undefined && value !== null && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** The element of the page with this id. */
export function byId(id) {
  return document.getElementById(id);
}

/** Writes a text only where it differs. */
export function write(element, text) {
  const wanted = String(text);
  if (element.textContent !== wanted) element.textContent = wanted;
}

/** Sets an attribute only where it differs; null takes it away. */
export function mark(element, name, value) {
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/** Brings a parent's children in line with items, by key: what stays is patched, not made anew. */
export function reconcile(parent, items, keyOf, make, patch) {
  const known = new Map();
  for (const child of parent.children) known.set(child.dataset.key, child);
  let at = parent.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let child = known.get(key);
    if (child) {
      known.delete(key);
    } else {
      child = make(item);
      child.dataset.key = key;
    }
    if (child === at) at = at.nextElementSibling;
    else parent.insertBefore(child, at);
    patch(child, item);
  }
  for (const gone of known.values()) gone.remove();
}

/** Fetches an SVG of our own server and takes it into the page, so that the page's styles hold for it. */
export async function fetchSvg(path, ask = fetch) {
  const response = await ask(path);
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  const parsed = new DOMParser().parseFromString(await response.text(), "image/svg+xml");
  const root = parsed.documentElement;
  if (root.localName !== "svg") throw new Error(`${path} is no SVG`);
  return document.importNode(root, true);
}
