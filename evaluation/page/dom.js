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
const colour = (i) => (i === COACH ? "coach" : `k${i % 8}`);
const COACH = -2; // whose colour no seat has
const dot = (i) => h("span", { class: `dot ${colour(i)}` });

// A value as a phrase: book 1, hat 0.
function phrase(value) {
  if (Array.isArray(value)) return value.map(phrase).join(", ") || "none";
  if (value && typeof value === "object") return Object.entries(value).map(([k, v]) => `${k} ${phrase(v)}`).join(", ");
  if (value === null || value === undefined) return "–";
  if (typeof value === "number") return short(value);
  return String(value);
}

// A typed content: each field's name, then a chip for each of its parts.
const typed = (content) => h("div", { class: "pairs" }, Object.entries(content).map(([name, value]) => [called(name), chips(value)]));
const called = (name) => h("span", { class: "of" }, words(name.replaceAll("_", " ")));

function chips(value) {
  const chip = (text, v) => h("span", { class: v === 0 ? "pair none" : "pair" }, words(text));
  const found = Array.isArray(value) ? value.map((v) => chip(phrase(v)))
    : value && typeof value === "object" ? Object.entries(value).map(([k, v]) => chip(`${k} ${phrase(v)}`, v)) : [chip(phrase(value))];
  return found.length ? found : h("span", { class: "pair none" }, "none");
}

// What is on a card, which may be deep: flat values as chips, a level more as lines, maps as they are, the rest folded.
function card(content, inner = 0) {
  const flat = [], below = [], open = inner > 1;
  for (const [name, value] of Object.entries(content)) {
    const levels = depth(value);
    if (drawn(value, name)) below.push(h("div", { class: "below" }, called(name), h("pre", { class: "map" }, value.join("\n"))));
    else if (levels < 2 || (levels === 2 && Array.isArray(value))) flat.push([called(name), chips(value)]);
    else if (levels === 2) below.push(h("div", { class: "below" }, called(name), h("div", { class: "inner" }, card(value, Math.max(1, inner)))));
    else below.push(h("details", { class: "fold", open }, h("summary", null, words(name.replaceAll("_", " "))), h("div", { class: "inner" }, card(value, 2))));
  }
  return h("div", { class: "facts-of" }, inner ? flat.map((pair) => h("div", { class: "pairs" }, pair)) : flat.length ? h("div", { class: "pairs" }, flat) : null, below);
}

// Levels of lists and objects: 0 for a number, 1 for a list of words.
const depth = (value) => (value && typeof value === "object" ? 1 + Math.max(0, ...Object.values(value).map(depth)) : 0);

// A map: lines of one length, with a run of the same filler in them, or called so.
function drawn(value, name) {
  if (!Array.isArray(value) || value.length < 2 || !value.every((v) => typeof v === "string" && v.length > 1 && v.length === value[0].length)) return false;
  return /^(map|grid|board|layout|maze)$/.test(name) || value.some((v) => /([ .#_*-])\1/.test(v));
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
