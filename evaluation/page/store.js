// Where the data come from: blocks of this page, or the server that follows a run. Dialogues lie in pages
// that are unpacked when one of theirs is asked for.

const LIVE = document.documentElement.dataset.mode === "live";
const TONES = { base: 7, local: 1, federated: 0, centralised: 2 }; // of ways of learning, wherever they show
const EVERY = 2000; // milliseconds between looks at a run that is being played

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).json();
}

async function ask(path) {
  const answer = await fetch(path, { cache: "no-store" });
  if (answer.status === 204) return null;
  if (!answer.ok) throw new Error((await answer.text()) || `the server answered ${answer.status}`);
  return answer;
}

const store = {
  report: null,
  runs: [], // {...data, rows, pages: Map, texts}
  version: "",

  // Read what there is; true when it is new.
  async load() {
    let report, indexes;
    if (LIVE) {
      const answer = await ask(`data?have=${encodeURIComponent(this.version)}`);
      if (answer === null) return false;
      ({ report, indexes, version: this.version } = await answer.json());
    } else {
      report = JSON.parse(at("report").textContent);
      indexes = report.runs.map((_, i) => at(`index-${i}`).textContent);
    }
    const before = this.runs;
    this.report = report;
    this.runs = await Promise.all(report.runs.map(async (data, i) => {
      const old = before[i] && before[i].title === data.title ? before[i] : null;
      const rows = (await unpack(indexes[i])).map((row, position) => ({
        run: i, position, id: row[0], name: data.names[row[1]], ended: row[2], completed: row[3] === 1,
        points: row[4], messages: row[5], illegal: row[6], swing: row[7],
      }));
      const pages = old ? old.pages : new Map();
      if (old) pages.delete(Math.floor(old.rows.length / data.page)); // it was still growing
      return { ...data, number: i, tone: TONES[data.way] ?? i, rows, pages, texts: old ? old.texts : [] };
    }));
    return true;
  },

  page(run, number) {
    if (!run.pages.has(number)) {
      const found = LIVE
        ? ask(`page/${run.number}/${number}`).then((answer) => answer.text()).then(unpack)
        : unpack(at(`page-${run.number}-${number}`).textContent);
      found.catch(() => run.pages.delete(number));
      run.pages.set(number, found);
    }
    return run.pages.get(number);
  },

  async dialogue(row) {
    const run = this.runs[row.run];
    return (await this.page(run, Math.floor(row.position / run.page)))[row.position % run.page];
  },

  // Lower-case text of all dialogues of a run, made once; `tell` hears the share that is done.
  async texts(run, tell) {
    const pages = Math.ceil(run.rows.length / run.page);
    for (let number = Math.floor(run.texts.length / run.page); number < pages; number++) {
      const found = await this.page(run, number);
      found.forEach((d, i) => { run.texts[number * run.page + i] = haystack(d); });
      tell((number + 1) / pages);
    }
    return run.texts;
  },
};

// Everything in a dialogue that a person might search for.
function haystack(d) {
  const bare = (value) => JSON.stringify(value).replace(/[{}[\]":,]+/g, " "); // book 1 hat 0
  const found = [d.name, d.source, d.group, d.why, d.ended, bare(d.public)];
  for (const turn of d.turns) {
    for (const said of [turn, ...(turn.told || [])]) {
      found.push(said.act, said.text, said.content && bare(said.content));
    }
    found.push(turn.thought, turn.broken, turn.error && `illegal ${turn.error.kind} ${turn.error.arrived}`);
  }
  return found.filter(Boolean).join("\n").toLowerCase();
}
