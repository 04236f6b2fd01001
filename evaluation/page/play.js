// A seat at the table: the card, the talk so far, and a form made from the JSON Schema of what may be said.
// A field of a form is {node, value()}; value() throws the words to show when what was typed is not legal.

const EVERY = 700; // milliseconds between looks at the game
const game = { version: "", over: false, card: true };

// The text that the worth of an offer is kept under: keys in order.
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value && typeof value === "object") return `{${Object.keys(value).sort().map((k) => `${JSON.stringify(k)}:${canonical(value[k])}`).join(",")}}`;
  return JSON.stringify(value);
}

const label = (name, node) => h("label", { class: "field" }, h("span", null, words(name.replaceAll("_", " "))), node);

function field(name, schema, changed) {
  const on = { input: changed, change: changed };
  if ("const" in schema) return { node: null, value: () => schema.const };
  if (schema.enum) {
    const node = h("select", on, schema.enum.map((v, i) => h("option", { value: i }, phrase(v))));
    return { node: label(name, node), value: () => schema.enum[Number(node.value)] };
  }
  if (schema.type === "object" && schema.properties) {
    const parts = Object.entries(schema.properties).map(([k, v]) => [k, field(k, v, changed)]);
    return {
      node: h("div", { class: "fields" }, name && h("span", { class: "of" }, words(name)), parts.map(([, f]) => f.node)),
      value: () => Object.fromEntries(parts.map(([k, f]) => [k, f.value()])),
    };
  }
  if (schema.type === "integer" || schema.type === "number") {
    const { minimum: low, maximum: high } = schema;
    const step = schema.multipleOf ?? (schema.type === "integer" ? 1 : "any");
    const node = h("input", { type: "number", min: low, max: high, step, value: low ?? 0, required: true, ...on });
    const range = low !== undefined && high !== undefined ? `${name} (${short(low)} to ${short(high)})` : name;
    return { node: label(range, node), value() {
      if (node.value === "" || !node.checkValidity()) throw new Error(`${range}: ${node.validationMessage || "type a number"}`);
      return Number(node.value);
    } };
  }
  if (schema.type === "boolean") {
    const node = h("input", { type: "checkbox", ...on });
    return { node: label(name, node), value: () => node.checked };
  }
  if (schema.type === "string") {
    const node = h("input", { type: "text", maxlength: schema.maxLength, autocomplete: "off", ...on });
    return { node: label(name, node), value: () => node.value };
  }
  if (schema.type === "array" && schema.items && schema.items.enum) return listed(name, schema, changed);
  const node = h("textarea", { rows: 3, spellcheck: "false", ...on });
  return { node: label(`${name} (JSON)`, node), value() {
    try { return JSON.parse(node.value); } catch { throw new Error(`${name}: that is not JSON`); }
  } };
}

// A list of known words, in the order in which they are added.
function listed(name, schema, changed) {
  let chosen = [];
  const shown = h("span", { class: "pairs" });
  const draw = () => {
    show(shown, chosen.map((v, i) => h("button", { type: "button", class: "chip", title: "Take out", click: () => { chosen = chosen.filter((_, k) => k !== i); draw(); changed(); } }, words(phrase(v)), " ×")),
      chosen.length ? null : h("span", { class: "pair none" }, "none yet"));
  };
  const add = schema.items.enum.map((v) => h("button", { type: "button", class: "chip", click: () => {
    const full = schema.maxItems !== undefined && chosen.length >= schema.maxItems;
    if (!full && !(schema.uniqueItems && chosen.includes(v))) { chosen.push(v); draw(); changed(); }
  } }, "+ ", words(phrase(v))));
  draw();
  return { node: h("div", { class: "field" }, h("span", null, words(name)), h("span", { class: "pairs" }, add), shown), value() {
    if (chosen.length < (schema.minItems || 0)) throw new Error(`${name}: at least ${schema.minItems}`);
    return chosen;
  } };
}

// One line of the menu for each move, with the receivers it may have.
function menu(state) {
  const found = new Map();
  for (const { properties: p } of state.schema.anyOf) {
    const move = `${p.act.const} ${Boolean(p.content)}`;
    const key = `${p.act.const} ${p.content ? "True" : "False"}`;
    if (!found.has(move)) found.set(move, { act: p.act.const, says: state.says[key] || "", to: new Map() });
    found.get(move).to.set(p.to ? p.to.const : "", p.content || null);
  }
  return [...found.values()];
}

function form(state) {
  const choices = menu(state);
  let chosen = null;
  let content = null;
  const problem = h("p", { class: "lost", "aria-live": "polite" });
  const worth = h("p", { class: "dim small" });
  const place = h("div", { class: "fields" });
  const to = h("select", { change: () => fields() });
  const receiver = label("to", to);
  const text = h("textarea", { rows: 2, maxlength: state.most, id: "words" });
  const weigh = () => {
    problem.textContent = "";
    let known;
    try { known = content && state.worth[canonical(content.value())]; } catch { known = undefined; }
    worth.textContent = chosen && chosen.act === "propose" && known !== undefined && known !== null ? `worth ${short(known)} to you` : "";
  };
  const fields = () => {
    const schema = chosen.to.get(to.value);
    content = schema ? field("", schema, weigh) : null;
    show(place, content && content.node);
    weigh();
  };
  const pick = (choice) => {
    chosen = choice;
    show(to, [...choice.to.keys()].map((name) => h("option", { value: name }, name)));
    receiver.hidden = choice.to.size < 2;
    fields();
  };
  const send = async (event) => {
    event.preventDefault();
    try {
      const reply = { version: state.version, act: chosen.act, text: state.most ? text.value : "" };
      if (to.value) reply.to = to.value;
      if (content) reply.content = content.value();
      const answer = await fetch("reply", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(reply) });
      if (!answer.ok) throw new Error(await answer.text());
      look();
    } catch (error) { problem.textContent = error.message; }
  };
  const node = h("form", { class: "move", novalidate: true, submit: send },
    state.error && h("p", { class: "lost" }, words(`That was not legal. Legal is: ${state.error}`)),
    h("h3", null, "Your turn", state.left !== null && h("span", { class: "dim" }, state.left === 1 ? ": the last message" : `: ${state.left} messages left`)),
    h("fieldset", { class: "acts" }, choices.map((choice, i) => h("label", null,
      h("input", { type: "radio", name: "act", checked: i === 0, change: () => pick(choice) }), h("b", null, choice.act.replaceAll("-", " ")), h("span", { class: "dim" }, words(choice.says))))),
    receiver, place, worth,
    state.most ? label(`words (at most ${state.most} characters, or none)`, text) : null,
    problem,
    h("button", { type: "submit", class: "send" }, "Say it"));
  pick(choices[0]);
  return node;
}

function said(m, state) {
  const own = m.agent === state.agent;
  const i = state.agents.indexOf(m.agent);
  if (i < 0) return h("li", { class: "turn notice" }, h("div", null, m.agent !== "world" && h("span", { class: "small" }, dot(COACH), words(`${m.agent} whispers to you`)), m.text ? h("p", null, words(m.text)) : m.content && typed(m.content)));
  return h("li", { class: `turn${own ? " second" : ""}` },
    h("div", { class: "who" }, dot(i), h("b", null, words(own ? "you" : m.agent)), h("span", { class: "act" }, m.act.replaceAll("-", " ")), m.to.length ? words(`to ${m.to.join(", ")} only`) : null),
    h("div", { class: "bubble" }, m.content && typed(m.content), m.text && h("p", null, words(m.text)), !m.content && !m.text && h("p", { class: "dim" }, "(no words)")),
    m.worth !== undefined && h("div", { class: "meta" }, `worth ${short(m.worth)} to you`));
}

function over(state) {
  const you = (name) => (state.you.includes(name) ? `${name} (you)` : name);
  return h("article", { class: "talk" },
    h("div", { class: "head" }, h("h2", null, "The game is over"), h("span", { class: `tag ${state.completed ? "yes" : "no"}` }, state.over.replaceAll("-", " "))),
    h("div", { class: "seats" }, state.points.map((p, i) => h("div", { class: "seat" }, h("div", { class: "name" }, dot(i), words(you(p.name)), h("span", { class: "points" }, p.points === null ? "–" : `${short(p.points)} points`))))),
    state.why && h("p", { class: "lost" }, words(state.why)),
    state.best !== null && h("p", { class: "dim" }, `Together they could have had at most ${short(state.best)} points.`),
    h("p", { class: "dim" }, "The terminal says how to read what the others thought. You may close this page."));
}

function table(state) {
  const node = at("table");
  if (state.waiting) { at("following").textContent = "the others are thinking"; for (const b of node.querySelectorAll("form button, form input, form select, form textarea")) b.disabled = true; return; }
  at("following").textContent = state.over ? "over" : "your turn";
  if (state.over) { show(node, over(state)); return; }
  at("what").textContent = `${state.world.replaceAll("_", " ")}, game ${state.episode}: you are ${state.agent}`;
  show(node, h("article", { class: "talk" },
    state.last && h("p", { class: "dim" }, words(`The last game ended ${state.last.over.replaceAll("-", " ")}: ${state.last.points.map((p) => `${p.name} ${short(p.points)}`).join(", ")}.`)),
    h("details", { class: "card", open: game.card, toggle: (e) => { game.card = e.target.open; } }, h("summary", null, "Your card"), h("p", null, words(state.card))),
    h("ol", { class: "turns" }, state.heard.map((m) => said(m, state))),
    form(state)));
  node.scrollTop = node.scrollHeight;
}

async function look() {
  try {
    const answer = await fetch(`state?have=${game.version}`, { cache: "no-store" });
    if (answer.status === 200) {
      const state = await answer.json();
      game.version = state.version;
      game.over = Boolean(state.over);
      table(state);
    }
    at("following").classList.remove("lost");
  } catch {
    if (game.over) return; // the last game of all
    at("following").classList.add("lost");
    at("following").textContent = "the game does not answer";
  }
}

look().then(() => { document.documentElement.dataset.ready = "yes"; setInterval(look, EVERY); });
