// What is shown (told by the part after # of the address), the keyboard, the theme, and following a run.

const go = (hash) => { if (location.hash === hash) route(); else location.hash = hash; };
const wide = () => matchMedia("(min-width: 761px)").matches;
const row_of = (run, position) => store.runs[run] && store.runs[run].rows[position];

// #d/RUN/PLACE, where the place is that in the run's file.
const open = (row) => go(`#d/${row.run}/${row.position}`);

function route() {
  const [part, run, position] = location.hash.slice(1).split("/");
  const talks = part === "dialogues" || part === "d";
  at("overview").hidden = talks;
  at("dialogues").hidden = !talks;
  at("tab-overview").toggleAttribute("aria-current", !talks);
  at("tab-dialogues").toggleAttribute("aria-current", talks);
  tip.hide();
  if (!talks || !store.runs.length) return;
  const row = part === "d" ? row_of(Number(run), Number(position)) : null;
  if (row && row.run !== filter.run) {
    Object.assign(filter, { run: row.run, ended: "", name: "", mean: null, messages: null, points: null, label: "" });
    list.options();
    list.search();
  }
  if (row && !reader.is(row)) reader.open(row).catch(failed);
  else if (!row && !wide()) reader.close();
  else if (!row && !reader.row && list.rows.length) reader.open(list.rows[0]).catch(failed);
  list.draw();
}

// Show the dialogues that a chart or a count speaks of.
function browse({ run, ended = "", name = "", mean = null, messages = null, points = null, label = "" }) {
  tip.hide();
  Object.assign(filter, { run, ended, mean, messages, points, label, name, text: "" });
  at("search").value = "";
  list.found = null;
  list.options();
  list.sift();
  reader.row = null;
  list.rowsNode.scrollTop = 0;
  go("#dialogues");
}

function step(by) {
  const rows = list.rows;
  if (!rows.length) return;
  const now = reader.row ? rows.findIndex((r) => reader.is(r)) : -1;
  open(rows[Math.max(0, Math.min(rows.length - 1, now < 0 ? 0 : now + by))]);
}

function theme(next) {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  if (next) { root.dataset.theme = next; return; }
  root.dataset.theme = dark ? "light" : "dark";
  remember.set("theme", root.dataset.theme);
}

const KEYS = [
  ["j  k", "next, previous dialogue (also → ←)"],
  ["↓  ↑", "next, previous turn"],
  ["m", "the turn where most was won or lost"],
  ["p", "private values, what offers were worth"],
  ["/", "search what was said"],
  ["o  d", "overview, dialogues"],
  ["t", "dark or light"],
  ["Esc", "out of the search, the filter, the dialogue"],
];

function help() {
  const node = at("keys");
  if (node.open) { node.close(); return; }
  show(node, h("h2", null, "Keyboard"), h("dl", null, KEYS.map(([k, what]) => [h("dt", null, k), h("dd", null, what)])));
  node.showModal();
}

function escape() {
  const search = at("search");
  if (document.activeElement === search) { search.blur(); return; }
  if (filter.text || filter.label) {
    search.value = "";
    Object.assign(filter, { text: "", mean: null, messages: null, points: null, label: "" });
    list.search();
  } else if (location.hash.startsWith("#d/") && !wide()) go("#dialogues");
  else go("#overview");
}

function talks(then) {
  if (at("dialogues").hidden) go("#dialogues");
  else then();
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || at("keys").open) return;
  const typing = event.target.matches && event.target.matches("input, select");
  if (event.key === "Escape") { escape(); event.preventDefault(); return; }
  if (typing) return;
  const acts = {
    j: () => talks(() => step(1)), k: () => talks(() => step(-1)),
    ArrowRight: () => step(1), ArrowLeft: () => step(-1),
    ArrowDown: () => reader.turn(reader.at + 1), ArrowUp: () => reader.turn(reader.at < 0 ? 0 : reader.at - 1),
    m: () => { if (reader.told && reader.told.swing !== undefined) reader.turn(reader.told.swing); },
    p: () => reader.toggle(),
    "/": () => { if (at("dialogues").hidden) go("#dialogues"); at("dialogues").classList.remove("open"); setTimeout(() => at("search").focus()); },
    o: () => go("#overview"), d: () => go("#dialogues"), t: () => theme(), "?": help,
  };
  const act = acts[event.key];
  if (!act || (event.key.startsWith("Arrow") && at("dialogues").hidden)) return;
  act();
  event.preventDefault();
}

function failed(error) {
  console.error(error);
  show(at("reader") || at("overview"), h("p", { class: "hint" }, words(`That could not be read: ${error.message}`)));
}

function title() {
  const { report } = store;
  at("what").textContent = report.title;
  if (!LIVE) return;
  const node = at("following"), done = store.runs.reduce((n, r) => n + r.episodes, 0), wanted = store.runs.reduce((n, r) => n + (r.wanted || 0), 0);
  node.hidden = false;
  node.classList.remove("lost");
  node.textContent = done < wanted ? `following, ${done.toLocaleString("en")} of ${wanted.toLocaleString("en")}` : `${plural(done, "dialogue")}, all played`;
}

async function follow() {
  try {
    if (await store.load()) {
      if (reader.row) reader.row = row_of(reader.row.run, reader.row.position) || null;
      overview();
      list.options();
      await list.search();
      route();
    }
    title();
  } catch (error) {
    at("following").hidden = false;
    at("following").classList.add("lost");
    at("following").textContent = "the server does not answer";
  }
  setTimeout(follow, EVERY);
}

async function start() {
  const kept = remember.get("theme");
  if (kept === "dark" || kept === "light") theme(kept);
  at("theme").addEventListener("click", () => theme());
  at("help").addEventListener("click", help);
  addEventListener("keydown", pressed);
  addEventListener("hashchange", route);
  if (typeof DecompressionStream === "undefined") {
    show(at("overview"), h("p", { class: "hint" }, "This browser cannot unpack the report; any of the last three years can."));
    return;
  }
  try {
    await store.load();
    list.build();
    overview();
    if (store.runs.length) { list.options(); list.sift(); }
    title();
    route();
  } catch (error) {
    console.error(error);
    show(at("overview"), h("p", { class: "hint" }, words(`This report could not be opened: ${error.message}`)));
  }
  document.documentElement.dataset.ready = "yes";
  if (LIVE) setTimeout(follow, EVERY);
}

start();
