// The overview: the runs in words, the scores, the charts, and what was learned.

function overview() {
  const { runs } = store;
  const trainings = store.report.trainings;
  const played = selected(runs.filter((r) => r.episodes));
  const sections = [...trainings.map(trainingSection), ...store.report.crossings.map(crossSection)];
  if (runs.length > MANY) sections.push(manySection(runs));
  else if (runs.length) sections.push(summarySection(runs));
  if (played.length) sections.push(scoreSection(played));
  sections.push(...store.report.comparisons.map(comparisonSection));
  if (played.length) sections.push(chartSection(played));
  // A page that follows a run keeps its place and what was opened on it.
  const node = at("overview"), y = node.scrollTop;
  const open = [...node.querySelectorAll("details")].map((d) => d.open);
  show(node, h("div", { class: "sheet" }, sections));
  [...node.querySelectorAll("details")].forEach((d, i) => { d.open = Boolean(open[i]); });
  node.scrollTop = y;
}

// Of many runs a few are drawn side by side; the reader chooses which.
const MANY = 6;
let picked = null;

function selected(runs) {
  if (runs.length <= MANY) return runs;
  const like = (r) => Object.keys(r.worlds).join() === Object.keys(runs[0].worlds).join(); // points of one kind
  picked ??= new Set(runs.filter(like).slice(0, 4).map((r) => r.title));
  const found = runs.filter((r) => picked.has(r.title));
  found.forEach((r, i) => { r.tone = i; });
  return found;
}

function manySection(runs) {
  const names = ["completion_rate", "utility", "joint_share", "messages_per_episode", "tokens_per_message", "illegal_move_rate", "broken_rate"];
  const shown = names.filter((n) => runs.some((r) => r.scores.some((x) => x.name === n)));
  return section(`${runs.length} runs`,
    h("p", { class: "dim small" }, "Choose which runs the scores and charts below show. Small numbers are 95 % intervals."),
    h("div", { class: "wide" }, h("table", null,
      h("thead", null, h("tr", null, h("th", null, "run"), h("th", { class: "n" }, "dialogues"), shown.map((n) => h("th", { class: "n" }, n.replaceAll("_", " "))))),
      h("tbody", null, runs.map((run) => h("tr", null,
        h("th", { scope: "row" }, h("label", null, h("input", { type: "checkbox", checked: picked.has(run.title), disabled: !run.episodes, change: (e) => {
          if (e.target.checked) picked.add(run.title); else picked.delete(run.title);
          overview();
        } }), " ", picked.has(run.title) && dot(run.tone), words(run.title))),
        h("td", { class: "n" }, run.episodes.toLocaleString("en")),
        shown.map((n) => {
          const score = run.scores.find((x) => x.name === n);
          return h("td", { class: "n" }, score ? number(score.value) : "–", score && score.ci && h("small", null, `${number(score.ci[0], score.value)} to ${number(score.ci[1], score.value)}`));
        })))))));
}

const section = (title, ...children) => h("section", { class: "section" }, h("h2", null, title), children);

function summarySection(runs) {
  return section(runs.length > 1 ? `${runs.length} runs` : "Summary", h("div", { class: "runs" }, runs.map((run) =>
    h("div", { class: "run-words" },
      h("h3", null, runs.length > 1 && dot(run.tone), words(run.title)),
      h("p", null, words(run.words.join(" "))),
      run.notices.map((notice) => h("p", { class: "dim" }, words(notice))),
      run.episodes ? endings(run) : null))));
}

const ENDS = ["agreed", "done", "limit", "walked-away", "refused", "no-deal", "failed", "forfeited", "broken"];
const END_COLOUR = { agreed: 2, done: 5, limit: 1, "walked-away": 3, refused: 0, "no-deal": 7, failed: 6, forfeited: 4, broken: 4 };
const endColour = (reason) => colour(END_COLOUR[reason] ?? 7);

function endings(run) {
  const found = Object.entries(run.ended).sort((a, b) => ENDS.indexOf(a[0]) - ENDS.indexOf(b[0]));
  const bar = h("div", { class: "ends", "aria-hidden": "true" }, found.map(([reason, n]) => {
    const part = h("i", { class: endColour(reason), ...says(`${reason}: ${plural(n, "dialogue")}`) });
    part.style.flexGrow = n;
    return part;
  }));
  return [bar, h("div", { class: "keys-line" }, found.map(([reason, n]) => h("span", null,
    h("span", { class: `dot ${endColour(reason)}` }),
    h("button", { type: "button", title: "Read these dialogues", click: () => browse({ run: run.number, ended: reason }) }, `${reason.replaceAll("-", " ")} ${n.toLocaleString("en")}`))))];
}

function scoreSection(runs) {
  const names = [...new Set(runs.flatMap((r) => r.scores.map((x) => x.name)))];
  const one = runs.length === 1;
  const rows = names.map((name) => {
    const found = runs.map((r) => ({ tone: r.tone, score: r.scores.find((x) => x.name === name) }));
    const any = found.find((x) => x.score).score;
    const known = found.flatMap(({ score }) => (score ? [score.value, ...(score.ci || [])] : []));
    const share = any.range[0] === 0 && any.range[1] === 1;
    const [low, high] = share ? [0, 1] : span(known, { room: 0.04 });
    const cells = found.map(({ score }) => h("td", { class: "n" }, score ? number(score.value) : "–",
      score && h("small", null, `${score.ci ? `${number(score.ci[0], score.value)} to ${number(score.ci[1], score.value)}` : "no interval"}`),
      !one && score && h("small", null, `n = ${score.n.toLocaleString("en")}`)));
    return h("tr", null, h("th", { scope: "row" }, name.replaceAll("_", " ")), cells,
      h("td", { class: "picture" }, one && !share ? null : whiskers(found, low, high)),
      one ? h("td", { class: "n" }, any.n.toLocaleString("en")) : null,
      h("td", { class: "about" }, any.summary));
  });
  const silent = [...new Set(runs.flatMap((r) => r.silent))].filter((n) => !names.includes(n));
  return section("Scores",
    h("div", { class: "wide" }, h("table", null,
      h("thead", null, h("tr", null, h("th", null, "score"),
        one ? h("th", { class: "n" }, "value") : runs.map((r) => h("th", { class: "n" }, dot(r.tone), breakable(r.title))),
        h("th", null), one ? h("th", { class: "n" }, "n") : null, h("th", { class: "about" }, ""))),
      h("tbody", null, rows))),
    h("p", { class: "dim small" }, "Below each value is its 95 % interval: what other episodes of the same kind would give. ",
      runs.length > 1 && "Intervals of two runs that overlap do not show that the runs are equal. ",
      silent.length ? `Nothing here to score for ${silent.join(", ").replaceAll("_", " ")}.` : null));
}

function chartSection(runs) {
  const seats = runs.map((r) => r.seats).find((x) => x && x.length === 2);
  const same = runs.filter((r) => r.seats && seats && r.seats.join("\n") === seats.join("\n"));
  const tokens = runs.every((r) => r.costs.tokens);
  const found = [
    histogram({ title: "Points", note: "Of a dialogue: the mean over its agents.", label: "points",
      runs: runs.filter((r) => r.utility.length).map((r) => ({ ...r, counts: r.utility })),
      pick: (run, low, high, label) => browse({ run, mean: [low, high], label: `points ${label}` }) }),
    histogram({ title: "Length", note: "Messages said in a dialogue.", label: "messages",
      runs: runs.map((r) => ({ ...r, counts: r.messages })),
      pick: (run, low, high, label) => browse({ run, messages: [low, high], label: `messages ${label}` }) }),
    seats && scatter({ runs: same, seats, pick: (run, x, y) => browse({ run: run.number, points: [x, y], label: `${seats[0]} ${short(x)}, ${seats[1]} ${short(y)}` }) }),
    lines({ title: tokens ? "Points against tokens" : "Points against words", marks: true,
      note: `Dialogues in groups of equal size by ${tokens ? "tokens generated" : "words said (tokens were not counted)"}; bars are 95 % intervals.`,
      xLabel: tokens ? "tokens of a dialogue" : "words of a dialogue", yLabel: "points",
      series: runs.map((r) => ({ tone: r.tone, title: r.title, points: tokens ? r.costs.tokens : r.costs.words })) }),
  ].filter(Boolean);
  return section("Charts", h("div", { class: "charts" }, found.map(figure)));
}

const WAYS = ["base", "local", "federated", "centralised"];

function trainingSection(t) {
  const rounds = Math.max(1, ...Object.values(t.loss).map((l) => l.mean.length - 1));
  const series = Object.entries(t.loss).map(([way, l]) => ({
    tone: TONES[way], title: way,
    points: l.mean.map((v, i) => (way === "federated" ? [i, v, l.low[i], l.high[i]] : [i, v])),
  }));
  if (t.base_loss !== null && series.length) series.unshift({ tone: TONES.base, title: "base", flat: true, points: [[0, t.base_loss], [rounds, t.base_loss]] });
  const measured = t.federated.filter((r) => r.relative !== null);
  const charts = [
    lines({ title: "Held-out loss by round", note: "Nats per token, mean over clients; the band is federated's best to worst client. Centralised: over everybody's examples.", xLabel: "round", yLabel: "held-out loss", whole: true, series }),
    lines({ title: "Aggregation error by round", note: "‖Σ p BA − mean(B) mean(A)‖ over ‖Σ p BA‖: what averaging the two factors apart threw away.", xLabel: "round", yLabel: "relative error", whole: true, zero: true, percentY: true,
      series: [{ tone: TONES.federated, title: "federated", points: measured.map((r) => [r.number, r.relative]) }] }),
  ].filter(Boolean);
  const aside = t.federated.flatMap((r) => [...r.aside.map((c) => `${c} was set aside in round ${r.number}`), ...r.dropped.map((c) => `${c} never answered in round ${r.number}`)]);
  const bytes = t.federated.reduce((a, r) => a + r.bytes, 0);
  const facts = [`${t.method} on ${t.base}, rule ${t.rule}`, t.clients && plural(t.clients, "client"), `${t.federated.length} of ${plural(t.rounds, "round")}`, bytes && `${number(bytes / 1e6)} MB sent`].filter(Boolean);
  return section("Learning",
    h("p", null, words(`${t.title}: ${facts.join("; ")}.`)),
    t.recovered !== null && t.recovered !== undefined && h("p", null, `Federated learning made ${percent(t.recovered)} of centralised learning's improvement in held-out loss over the base model.`),
    aside.length ? h("p", { class: "dim" }, words(`${aside.join("; ")}.`)) : null,
    h("div", { class: "charts" }, charts.map(figure)),
    outcome(t));
}

function outcome(t) {
  const ways = WAYS.filter((w) => t.result[w]);
  if (!ways.length) return null;
  const names = [...new Set(ways.flatMap((w) => Object.keys(t.result[w].metrics)))];
  const rows = names.map((name) => h("tr", null, h("th", { scope: "row" }, name.replaceAll("_", " ")), ways.map((w) => {
    const m = t.result[w].metrics[name];
    return h("td", { class: "n" }, m ? number(m.value) : "–", m && h("small", null, `${number(m.ci[0], m.value)} to ${number(m.ci[1], m.value)}`));
  })));
  rows.push(h("tr", null, h("th", { scope: "row" }, "held-out loss"), ways.map((w) => h("td", { class: "n" }, number(t.result[w].held_out_loss.value)))));
  const minus = Object.entries(t.minus).map(([other, e]) =>
    h("li", null, `Points, federated minus ${other}: ${number(e.value)} (${number(e.ci[0], e.value)} to ${number(e.ci[1], e.value)}, paired, n = ${e.n}).`));
  return [
    h("div", { class: "wide" }, h("table", null, h("thead", null, h("tr", null, h("th", null, "mean over clients"), ways.map((w) => h("th", { class: "n" }, dot(TONES[w]), w)))), h("tbody", null, rows))),
    minus.length ? h("ul", { class: "small dim" }, minus) : null,
  ];
}

function comparisonSection(c) {
  const [one, two] = [c.one, c.two];
  const rows = Object.entries(c.metrics).sort((a, b) => b[1].told_apart - a[1].told_apart).map(([name, m]) => h("tr", null,
    h("th", { scope: "row" }, name.replaceAll("_", " ")),
    h("td", { class: "n" }, number(m.one)), h("td", { class: "n" }, number(m.two)),
    h("td", { class: "n" }, `${m.difference > 0 ? "+" : ""}${number(m.difference, m.difference)}`, m.ci && h("small", null, `${number(m.ci[0], m.difference)} to ${number(m.ci[1], m.difference)}`)),
    h("td", { class: "n" }, m.p_holm < 0.001 ? "< 0.001" : m.p_holm.toFixed(3)),
    h("td", { class: "verdict" }, m.told_apart ? h("b", null, words(`${one} has ${m.difference > 0 ? "more" : "less"}`)) : h("span", { class: "dim" }, m.difference === 0 && m.noise_floor === 0 ? "the same in every episode" : "cannot be told apart"))));
  const how = c.paired ? `${c.episodes[0].toLocaleString("en")} pairs of episodes of the same game, seed and number` : `${c.episodes[0].toLocaleString("en")} and ${c.episodes[1].toLocaleString("en")} episodes, unpaired`;
  const left = c.left_out[0] + c.left_out[1];
  return section(`${one} against ${two}`,
    h("p", { class: "dim small" }, `${how}${left ? ` (${left.toLocaleString("en")} without a partner left out)` : ""}; intervals ${c.unit === "scenario" ? `over ${c.units} scenarios` : "about other episodes of these scenarios"}; p by permutation, corrected over all scores (Holm).`),
    h("div", { class: "wide" }, h("table", null,
      h("thead", null, h("tr", null, h("th", null, "score"), h("th", { class: "n" }, breakable(one)), h("th", { class: "n" }, breakable(two)), h("th", { class: "n" }, "difference"), h("th", { class: "n" }, "p"), h("th", null, ""))),
      h("tbody", null, rows))));
}

// Who got how much beside whom; darker is more, and every cell says its number.
function crossSection(c) {
  const found = new Map(c.cells.map((cell) => [`${cell.agent}\n${cell.beside}`, cell]));
  const values = c.cells.map((cell) => cell.value).filter((v) => v !== null);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const run = store.runs.find((r) => r.title === c.title);
  const heat = h("table", { class: "heat" },
    h("thead", null, h("tr", null, h("th", null, "points of ↓ beside →"), c.agents.map((a) => h("th", { class: "n" }, words(a))))),
    h("tbody", null, c.agents.map((i) => h("tr", null, h("th", { scope: "row" }, words(i)), c.agents.map((j) => {
      const cell = found.get(`${i}\n${j}`);
      if (!cell || cell.value === null) return h("td", { class: "n" }, "–");
      const node = h("td", { class: "n" }, h("button", { type: "button", title: "Read these dialogues", click: () => run && browse({ run: run.number, name: `${i}--${j}` }) }, number(cell.value)),
        cell.ci && h("small", null, `${number(cell.ci[0], cell.value)} to ${number(cell.ci[1], cell.value)}`));
      node.style.setProperty("--heat", `${Math.round(((cell.value - low) / (high - low || 1)) * 62)}%`);
      return node;
    })))));
  const rated = c.standings.map((x) => h("tr", null, h("th", { scope: "row" }, words(x.agent)),
    [x.elo, x.crossed, x.self_play, x.gap].map((e) => h("td", { class: "n" }, number(e.value), e.ci && h("small", null, `${number(e.ci[0], e.value)} to ${number(e.ci[1], e.value)}`))),
    h("td", { class: "n" }, `${short(x.won)} of ${x.matches}`)));
  return section("Cross-play",
    h("p", { class: "dim small" }, `Every agent beside every other in either seat, ${plural(c.episodes, "episode")}; the diagonal is self-play. Small numbers are 95 % intervals over ${c.unit}s.`),
    h("div", { class: "wide" }, heat),
    h("div", { class: "wide" }, h("table", null,
      h("thead", null, h("tr", null, h("th", null, "agent"), ["Elo", "beside others", "beside itself", "gap", "matches won"].map((t) => h("th", { class: "n" }, t)))),
      h("tbody", null, rated))));
}
