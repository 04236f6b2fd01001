// The dialogues: a list that draws only the rows in sight, and a reader.

const ROW = 54.4; // pixels, 3.4rem of 16
const SORTS = {
  "number": (a, b) => a.id - b.id || a.position - b.position,
  "most points": (a, b) => total(b) - total(a),
  "fewest points": (a, b) => total(a) - total(b),
  "largest swing": (a, b) => b.swing - a.swing,
  "longest": (a, b) => b.messages - a.messages,
  "most illegal replies": (a, b) => b.illegal - a.illegal,
};
const total = (row) => row.points.reduce((a, b) => a + (b ?? 0), 0);
const mean = (row) => (row.points.length && row.points.every((p) => p !== null) ? total(row) / row.points.length : null);

const filter = { run: 0, ended: "", name: "", text: "", sort: "number", mean: null, messages: null, points: null, label: "" };

const list = {
  rows: [],
  found: null, // positions whose text matches; null where no text is asked for
  asked: 0,

  build() {
    const input = h("input", { type: "search", class: "all", id: "search", placeholder: "Search what was said  ( / )", "aria-label": "Search what was said", autocomplete: "off", spellcheck: "false" });
    let wait;
    input.addEventListener("input", () => {
      clearTimeout(wait);
      wait = setTimeout(() => { filter.text = input.value.trim().toLowerCase(); this.search(); }, 150);
    });
    const choose = (id, label) => h("select", { id, "aria-label": label, change: (e) => {
      filter[id] = id === "run" ? Number(e.target.value) : e.target.value;
      if (id === "run") Object.assign(filter, { ended: "", name: "", mean: null, messages: null, points: null, label: "" });
      this.options(); this.search();
    } });
    this.rowsNode = h("div", { class: "rows", id: "rows", scroll: () => this.draw() }, h("div", { class: "space" }));
    show(at("dialogues"),
      h("section", { class: "list", "aria-label": "Dialogues" },
        h("div", { class: "filters" }, h("label", { class: "all", hidden: true, id: "run-line" }, choose("run", "Run")), input, choose("ended", "Ended"), choose("sort", "Order"),
          h("label", { class: "all", hidden: true, id: "name-line" }, choose("name", "Scenario")), h("div", { class: "count", id: "count", "aria-live": "polite" })),
        this.rowsNode),
      h("section", { class: "reader", id: "reader", tabindex: "-1", "aria-label": "Dialogue" }, h("p", { class: "hint" }, "Choose a dialogue.")));
    new ResizeObserver(() => this.draw()).observe(this.rowsNode);
  },

  options() {
    const fill = (id, pairs) => {
      const node = at(id);
      show(node, pairs.map(([value, label]) => h("option", { value }, label)));
      node.value = String(filter[id]);
    };
    const run = store.runs[filter.run];
    at("run-line").hidden = store.runs.length < 2;
    fill("run", store.runs.map((r) => [r.number, `${r.title} (${r.episodes.toLocaleString("en")})`]));
    const count = (test) => run.rows.reduce((n, row) => n + test(row), 0).toLocaleString("en");
    fill("ended", [
      ["", "all endings"],
      ["completed", `completed (${count((r) => r.completed)})`],
      ["not", `not completed (${count((r) => !r.completed)})`],
      ["illegal", `with illegal replies (${count((r) => r.illegal > 0)})`],
      ...Object.entries(run.ended).map(([reason, n]) => [reason, `${reason.replaceAll("-", " ")} (${n.toLocaleString("en")})`]),
    ]);
    fill("sort", Object.keys(SORTS).map((name) => [name, `by ${name}`]));
    at("name-line").hidden = run.names.length < 2 || run.names.length > 500;
    fill("name", [["", "all scenarios"], ...run.names.map((n) => [n, n])]);
  },

  async search() {
    const ticket = ++this.asked, run = store.runs[filter.run];
    if (!filter.text) { this.found = null; this.sift(); return; }
    try {
      const texts = await store.texts(run, (share) => {
        if (ticket === this.asked && share < 1) at("count").textContent = `Searching… ${Math.round(share * 100)} %`;
      });
      if (ticket !== this.asked) return;
      const parts = filter.text.split(/\s+/);
      this.found = texts.map((text) => parts.every((p) => text.includes(p)));
      this.sift();
    } catch (error) { failed(error); }
  },

  sift() {
    const run = store.runs[filter.run];
    if (!run) return;
    const near = (p, i) => p !== null && Math.abs(p - filter.points[i]) <= run.cell[i] * 1.01 + 1e-9;
    const within = (v, range) => v !== null && v >= range[0] - 1e-9 && v < range[1] + 1e-9;
    const ended = { "": () => true, completed: (r) => r.completed, not: (r) => !r.completed, illegal: (r) => r.illegal > 0 }[filter.ended] || ((r) => r.ended === filter.ended);
    this.rows = run.rows.filter((r) => ended(r)
      && (!filter.name || r.name === filter.name)
      && (!filter.mean || within(mean(r), filter.mean))
      && (!filter.messages || within(r.messages, filter.messages))
      && (!filter.points || (r.points.length === 2 && r.points.every(near)))
      && (!this.found || this.found[r.position]));
    this.rows.sort(SORTS[filter.sort]);
    const all = this.rows.length === run.rows.length;
    show(at("count"), all ? plural(run.rows.length, "dialogue") : `${this.rows.length.toLocaleString("en")} of ${plural(run.rows.length, "dialogue")}`,
      filter.label && h("button", { type: "button", class: "chip", title: "Remove this filter", click: () => { Object.assign(filter, { mean: null, messages: null, points: null, label: "" }); this.sift(); } }, words(filter.label), " ×"));
    this.draw();
  },

  draw() {
    const node = this.rowsNode, tall = rowHeight(), space = node.firstChild;
    space.style.height = `${this.rows.length * tall}px`;
    if (!node.clientHeight) return;
    const first = Math.max(0, Math.floor(node.scrollTop / tall) - 4);
    const last = Math.min(this.rows.length, Math.ceil((node.scrollTop + node.clientHeight) / tall) + 4);
    const several = store.runs[filter.run].names.length > 1;
    show(node, space, this.rows.slice(first, last).map((row, i) => {
      const button = h("button", { type: "button", class: "row", "aria-current": reader.is(row) ? "true" : null, click: () => open(row) },
        h("span", { class: "where" }, h("span", { class: "num" }, `${row.id} `), several && h("span", { class: "dim" }, words(row.name))),
        h("span", { class: "right" }, row.points.map((p) => short(p)).join(" · ")),
        h("span", { class: "facts" }, plural(row.messages, "message"), row.illegal ? `, ${row.illegal} illegal` : "", row.swing ? `, swing ${short(row.swing)}` : ""),
        h("span", { class: `right end${row.completed ? "" : " no"}` }, row.ended.replaceAll("-", " ")));
      button.style.transform = `translateY(${(first + i) * tall}px)`;
      return button;
    }));
  },

  // Bring a row into sight.
  reveal(row) {
    const i = this.rows.indexOf(row), tall = rowHeight(), node = this.rowsNode;
    if (i < 0) { this.draw(); return; }
    if (i * tall < node.scrollTop) node.scrollTop = i * tall;
    else if ((i + 1) * tall > node.scrollTop + node.clientHeight) node.scrollTop = (i + 1) * tall - node.clientHeight;
    this.draw();
  },
};

const rowHeight = () => parseFloat(getComputedStyle(document.documentElement).fontSize) * 3.4;

const reader = {
  row: null,
  told: null,
  at: -1, // the turn that is marked
  values: remember.get("values") === "yes",

  is(row) { return this.row !== null && this.row.run === row.run && this.row.position === row.position; },

  async open(row) {
    this.row = row;
    this.at = -1;
    at("dialogues").classList.add("open");
    list.reveal(row);
    const told = await store.dialogue(row);
    if (!this.is(row)) return;
    this.told = told;
    this.draw();
    at("reader").scrollTop = 0;
  },

  close() {
    this.row = this.told = null;
    at("dialogues").classList.remove("open");
    show(at("reader"), h("p", { class: "hint" }, "Choose a dialogue."));
    list.draw();
  },

  draw() {
    const d = this.told, names = d.seats.map((a) => a.name);
    const two = names.length === 2;
    const seat = (name) => names.indexOf(name);
    const pressed = (on) => (on ? "true" : "false");
    const chart = this.values ? dance(d) : null;
    const pictures = Boolean(d.picture) || d.turns.some((t) => t.picture);
    show(at("reader"), h("article", { class: "talk" },
      h("div", { class: "head" },
        h("button", { type: "button", class: "back", click: () => go("#dialogues") }, "‹ All"),
        h("h2", null, `Dialogue ${d.id}`),
        h("span", { class: `tag ${d.completed ? "yes" : "no"}` }, `${d.completed ? "✓" : "✗"} ${d.ended.replaceAll("-", " ")}`),
        h("span", { class: "dim" }, words([d.group, d.name !== d.group && d.name, d.source].filter(Boolean).join(", ")))),
      h("div", { class: "tools" },
        h("button", { type: "button", title: "Previous dialogue (k)", click: () => step(-1) }, "‹"),
        h("button", { type: "button", title: "Next dialogue (j)", click: () => step(1) }, "›"),
        d.swing !== undefined && h("button", { type: "button", id: "swing", title: "Where most was won or lost", click: () => this.turn(d.swing) }, "Turning point", h("kbd", null, "m")),
        h("button", { type: "button", id: "values", "aria-pressed": pressed(this.values), click: () => this.toggle() }, "Private values", h("kbd", null, "p"))),
      d.brief && h("p", { class: "dim" }, words(d.brief)),
      Object.keys(d.public).length ? card(d.public) : null,
      h("div", { class: "seats" }, d.seats.map((a, i) => h("div", { class: "seat" },
        h("div", { class: "name" }, dot(i), words(a.name), a.role && a.role !== a.name && h("span", { class: "role" }, words(a.role)), h("span", { class: "points" }, a.points === null ? "not on record" : `${short(a.points)} point${a.points === 1 ? "" : "s"}`)),
        a.spec && h("div", { class: "dim small" }, words(a.spec)),
        this.values && [a.brief && h("p", { class: "small" }, words(a.brief)), card(a.private)])),
        d.coach && h("div", { class: "seat", id: "coach" },
          h("div", { class: "name" }, dot(COACH), words(d.coach.name), h("span", { class: "role" }, words(`of ${d.coach.of}`))),
          d.coach.spec && h("div", { class: "dim small" }, words(d.coach.spec)),
          d.coach.brief && h("p", { class: "small" }, words(d.coach.brief)))),
      chart && figure(chart),
      pictures && h("div", { class: "scene", id: "scene" }),
      h("ol", { class: "turns" }, d.turns.map((t, i) => [this.said(t, i, two && seat(t.agent === d.coach?.name ? d.coach.of : t.agent) === 1, seat), (t.told || []).map((n) => this.notice(n))])),
      h("div", { class: "close" },
        d.deal && [h("h3", null, "What they settled on"), card(d.deal)],
        Object.keys(d.results).length ? typed(d.results) : null,
        d.why && h("p", { class: "lost" }, words(d.why)),
        d.best !== undefined && h("p", { class: "dim" }, d.best === null ? "The most that they could have had together is not known." : `Together they could have had at most ${short(d.best)} points.`))));
    this.scene();
  },

  said(t, i, second, seat) {
    const wrong = t.error || t.broken, coach = this.told.coach, whisper = t.agent === coach?.name;
    const facts = [
      t.tokens !== undefined && `${t.tokens} tokens`,
      t.prompt !== undefined && `${t.prompt} in the prompt`,
      t.mass !== undefined && `legal mass ${number(t.mass)}`,
      t.attempts && `${t.attempts} attempts`,
      t.dropped && `${plural(t.dropped, "oldest message")} left out`,
      this.values && t.bits && `told ${short(t.bits[0])} bits, ${short(t.bits[1])} about the truth`,
      this.values && t.worth && `worth ${Object.entries(t.worth).map(([a, w]) => `${short(w)} to ${a}`).join(", ")}`,
    ].filter(Boolean);
    const swung = (kind, say) => t[kind] && h("span", { class: kind }, words(say(t[kind].seat, short(t[kind].points))));
    return h("li", { class: `turn${second ? " second" : ""}${whisper ? " whisper" : ""}`, id: `turn-${i}`, click: () => this.turn(i, false) },
      h("div", { class: "who" }, dot(whisper ? COACH : Math.max(0, seat(t.agent))), h("b", null, words(t.agent)),
        t.act && h("span", { class: "act" }, whisper ? words(`whispers to ${coach.of}`) : t.act.replaceAll("-", " ")),
        t.to && !whisper && h("span", null, words(t.to.length ? `to ${t.to.join(", ")} only` : "sealed"))),
      h("div", { class: `bubble${wrong ? " wrong" : ""}` },
        t.thought && h("p", { class: "thought" }, words(t.thought)),
        t.content && typed(t.content),
        t.text && h("p", null, words(t.text)),
        !t.content && !t.text && !wrong && !t.thought && h("p", { class: "dim" }, whisper ? "(no advice)" : "(no words)"),
        t.error && [
          h("span", { class: "label" }, `Illegal reply: ${t.error.kind.replaceAll("-", " ")}`),
          h("p", null, words(t.error.arrived)),
          h("p", { class: "dim small" }, words(`Legal was: ${t.error.legal}`)),
          t.raw && h("details", null, h("summary", null, "The whole reply"), h("pre", null, words(t.raw))),
        ],
        t.broken && [h("span", { class: "label" }, "No reply"), h("p", null, words(t.broken))]),
      t.won || t.lost ? h("div", { class: "who" }, swung("won", (who, points) => `▲ ${points} more offered to ${who}`), t.won && t.lost && " ", swung("lost", (who, points) => `▼ ${who} let ${points} go`)) : null,
      facts.length ? h("div", { class: "meta" }, facts.join(" · ")) : null);
  },

  notice(n) {
    return h("li", { class: "turn notice" }, h("div", null, h("span", { class: "small" }, words(n.to ? `the world, to ${n.to.join(", ")}` : "the world, to all")),
      n.text ? h("p", null, words(n.text)) : n.content && typed(n.content)));
  },

  // Mark a turn, show its picture, and bring it into sight.
  turn(i, scroll = true) {
    const d = this.told;
    if (!d || !d.turns.length) return;
    this.at = Math.max(0, Math.min(d.turns.length - 1, i));
    for (const node of document.querySelectorAll(".turn.at")) node.classList.remove("at");
    const node = at(`turn-${this.at}`);
    node.classList.add("at");
    if (scroll) node.scrollIntoView({ block: "nearest" });
    this.scene();
  },

  // The picture as it stood at the marked turn, or at the end.
  scene() {
    const node = at("scene"), d = this.told;
    if (!node) return;
    const upto = this.at < 0 ? d.turns.length - 1 : this.at;
    let picture = d.picture;
    for (let i = 0; i <= upto; i++) picture = d.turns[i].picture || picture;
    // As an image, an SVG can neither run a script nor load anything.
    show(node, picture && h("img", { src: `data:image/svg+xml;charset=utf-8,${encodeURIComponent(picture)}`, alt: `The world after turn ${upto + 1}` }));
  },

  toggle() {
    this.values = !this.values;
    remember.set("values", this.values ? "yes" : "no");
    if (!this.told) return;
    const y = at("reader").scrollTop, mark = this.at;
    this.draw();
    at("reader").scrollTop = y;
    if (mark >= 0) this.turn(mark, false);
  },
};
