"use strict";
// Elements are made from names and text, never from HTML: what models wrote stays text.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(3)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
const at = (id) => document.getElementById(id);
const words = (text) => h("bdi", null, text); // its direction is its own affair

// A name that may break after its slashes and underscores.
const breakable = (text) => h("bdi", null, text.split(/(?<=[/_])/).flatMap((part, i) => (i ? [h("wbr"), part] : [part])));

function show(node, ...children) {
  node.replaceChildren();
  return fill(node, null, children);
}

// About as many digits as a number of this size deserves.
function number(value, like = value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(like);
  if (size > 0 && size < 0.001) return value.toExponential(1);
  const digits = size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : 3;
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

// As few digits as it takes: 5, 0.25, 1,200.
const plainly = new Intl.NumberFormat("en", { maximumFractionDigits: 6 });
const short = (value) => (value === null || value === undefined ? "–" : plainly.format(Number(value.toPrecision(4))));

const percent = (value) => `${short(Math.round(value * 1000) / 10)} %`;
const plural = (n, what) => `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;
const colour = (i) => `k${i % 8}`;
const dot = (i) => h("span", { class: `dot ${colour(i)}` });

// A value as a phrase: book 1, hat 0.
function phrase(value) {
  if (Array.isArray(value)) return value.map(phrase).join(", ") || "none";
  if (value && typeof value === "object") return Object.entries(value).map(([k, v]) => `${k} ${phrase(v)}`).join(", ");
  if (typeof value === "number") return short(value);
  return String(value);
}

// A typed content: each field's name, then a chip for each of its parts.
function typed(content) {
  const parts = [];
  for (const [name, value] of Object.entries(content)) {
    parts.push(h("span", { class: "of" }, words(name.replaceAll("_", " "))));
    const entries = Array.isArray(value)
      ? value.map((v) => [phrase(v), null])
      : value && typeof value === "object" ? Object.entries(value) : [[phrase(value), null]];
    for (const [k, v] of entries) {
      const text = v === null ? k : `${k} ${phrase(v)}`;
      parts.push(h("span", { class: v === 0 ? "pair none" : "pair" }, words(text)));
    }
    if (!entries.length) parts.push(h("span", { class: "pair none" }, "none"));
  }
  return h("div", { class: "pairs" }, parts);
}

const tip = {
  show(event, text) {
    const node = at("tip");
    node.textContent = text;
    node.hidden = false;
    const box = node.getBoundingClientRect();
    const x = Math.min(event.clientX + 14, innerWidth - box.width - 8);
    const y = event.clientY + 18 + box.height > innerHeight ? event.clientY - box.height - 12 : event.clientY + 18;
    node.style.left = `${Math.max(8, x)}px`;
    node.style.top = `${Math.max(8, y)}px`;
  },
  hide() { at("tip").hidden = true; },
};

// Says `text` while the pointer is over the node.
const says = (text) => ({
  pointermove: (e) => tip.show(e, text),
  pointerdown: (e) => tip.show(e, text),
  pointerleave: () => tip.hide(),
});

const remember = {
  get(key) { try { return localStorage.getItem(`moot-${key}`); } catch { return null; } },
  set(key, value) { try { localStorage.setItem(`moot-${key}`, value); } catch { /* private windows keep nothing */ } },
};
