// Charts as plain SVG, drawn to the width they are given and again when it changes. A chart is
// {title, note, keys, draw(width) -> svg, table: {head, rows}}: whatever is drawn can be read as numbers too.

function figure(chart) {
  const plot = h("div", { class: "plot" });
  let width = 0;
  const draw = () => {
    const now = Math.floor(plot.clientWidth);
    if (now > 0 && now !== width) { width = now; show(plot, chart.draw(width)); }
  };
  new ResizeObserver(draw).observe(plot);
  return h("figure", { class: "chart" },
    h("figcaption", null, h("h3", null, chart.title), chart.note && h("p", { class: "dim small" }, chart.note)),
    plot,
    chart.keys && h("div", { class: "keys-line" }, chart.keys),
    chart.table && h("details", null, h("summary", null, "Numbers"), h("div", { class: "wide" }, grid(chart.table))));
}

function grid({ head, rows }) {
  return h("table", null,
    h("thead", null, h("tr", null, head.map((t, i) => h("th", { class: i ? "n" : null }, t)))),
    h("tbody", null, rows.map((row) => h("tr", null, row.map((v, i) =>
      h(i ? "td" : "th", { class: i ? "n" : null, scope: i ? null : "row" }, typeof v === "number" ? short(v) : v))))));
}

const key = (i, name, more) => h("span", null, dot(i), words(name), more);

function ticks(low, high, most) {
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].find((m) => m * power >= rough * 0.999) * power;
  const found = [];
  for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + step * 1e-9; v += step) found.push(Math.abs(v) < step / 1e6 ? 0 : v);
  return found;
}

// A little room around the values; where all are the same, room to see them.
function span(values, { zero = false, room = 0.05 } = {}) {
  const known = values.filter((v) => v !== null && v !== undefined && Number.isFinite(v));
  let low = Math.min(...known, zero ? 0 : Infinity), high = Math.max(...known, zero ? 0 : -Infinity);
  if (!(low <= high)) [low, high] = [0, 1];
  if (low === high) { low -= zero && low === 0 ? 0 : Math.abs(low) * 0.1 || 1; high += Math.abs(high) * 0.1 || 1; }
  const pad = (high - low) * room;
  return [zero && low === 0 ? 0 : low - pad, high + pad];
}

function frame(width, { x, y, xLabel, yLabel, height = 250, percentY = false, xTicks, names }) {
  const left = 46, right = 14, top = 22, bottom = 38;
  const X = (v) => left + ((v - x[0]) / (x[1] - x[0])) * (width - left - right);
  const Y = (v) => height - bottom - ((v - y[0]) / (y[1] - y[0])) * (height - top - bottom);
  const svg = s("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${yLabel} by ${xLabel}` });
  for (const v of ticks(y[0], y[1], 5)) {
    svg.append(
      s("line", { class: "grid", x1: left, x2: width - right, y1: Y(v), y2: Y(v) }),
      s("text", { x: left - 7, y: Y(v) + 4, "text-anchor": "end" }, percentY ? percent(v) : short(v)));
  }
  for (const v of xTicks || ticks(x[0], x[1], Math.max(3, Math.min(9, Math.floor(width / 70))))) {
    svg.append(s("text", { x: X(v), y: height - bottom + 16, "text-anchor": "middle" }, names ? names(v) : short(v)));
  }
  svg.append(
    s("line", { class: "axis", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }),
    s("text", { x: width - right, y: height - 4, "text-anchor": "end" }, xLabel),
    s("text", { x: 2, y: 11 }, yLabel));
  return { svg, X, Y, left, right: width - right, top, bottom: height - bottom };
}

// Counts of values, one list [[value, n], ...] a run, as shares of each run's episodes.
function histogram({ title, note, runs, label, pick }) {
  const all = [...new Set(runs.flatMap((r) => r.counts.map((c) => c[0])))].sort((a, b) => a - b);
  if (!all.length) return null;
  let edges, exact = all.length <= 26;
  const gaps = all.slice(1).map((v, i) => v - all[i]);
  const step = Math.min(...gaps, Infinity);
  if (exact && all.length > 1 && (all.at(-1) - all[0]) / step > 40) exact = false;
  if (exact) {
    const half = (Number.isFinite(step) ? step : 1) / 2;
    const n = Math.round((all.at(-1) - all[0]) / (2 * half)) + 1;
    edges = Array.from({ length: n + 1 }, (_, i) => all[0] - half + 2 * half * i);
  } else {
    const n = 24, wide = (all.at(-1) - all[0]) / n;
    edges = Array.from({ length: n + 1 }, (_, i) => all[0] + wide * i);
  }
  const bins = runs.map((run) => {
    const found = new Array(edges.length - 1).fill(0);
    for (const [v, n] of run.counts) {
      let i = Math.floor((v - edges[0]) / (edges[1] - edges[0]) + 1e-9);
      found[Math.max(0, Math.min(found.length - 1, i))] += n;
    }
    const total = found.reduce((a, b) => a + b, 0) || 1;
    return found.map((n) => ({ n, share: n / total }));
  });
  const where = (i) => exact ? short((edges[i] + edges[i + 1]) / 2) : `${short(edges[i])} to ${short(edges[i + 1])}`;
  const most = Math.max(...bins.flat().map((b) => b.share));
  return {
    title, note,
    keys: runs.length > 1 ? runs.map((r) => key(r.tone, r.title)) : null,
    table: { head: [label, ...runs.map((r) => r.title)], rows: edges.slice(1).map((_, i) => [where(i), ...bins.map((b) => `${percent(b[i].share)} (${b[i].n})`)]).filter((row) => row.slice(1).some((t) => !t.endsWith("(0)"))) },
    draw(width) {
      const centres = edges.slice(1).map((v, i) => (v + edges[i]) / 2), every = Math.ceil(centres.length / Math.max(2, Math.floor(width / 48)));
      const xTicks = exact ? centres.filter((_, i) => i % every === 0) : null;
      const f = frame(width, { x: [edges[0], edges.at(-1)], y: [0, most * 1.06], xLabel: label, yLabel: "share of dialogues", percentY: true, xTicks });
      for (let i = 0; i < edges.length - 1; i++) {
        const from = f.X(edges[i]), room = f.X(edges[i + 1]) - from, wide = Math.min(room, 40 * runs.length + 24), gap = Math.min(3, wide * 0.15) + room - wide;
        const each = (room - gap) / runs.length;
        bins.forEach((b, k) => {
          if (!b[i].n) return;
          const y = f.Y(b[i].share);
          f.svg.append(s("rect", { class: `fill ${colour(runs[k].tone)}${pick ? " pick" : ""}`, x: from + gap / 2 + each * k, y, width: Math.max(1, each - (runs.length > 1 ? 0.5 : 0)), height: Math.max(1, f.bottom - y), rx: Math.min(2, each / 4),
            click: pick && (() => pick(runs[k].number, edges[i], edges[i + 1], where(i))),
            ...says(`${runs.length > 1 ? `${runs[k].title}\n` : ""}${label} ${where(i)}\n${plural(b[i].n, "dialogue")}, ${percent(b[i].share)}`) }));
        });
      }
      return f.svg;
    },
  };
}

// Series over x: [{tone, title, points: [[x, y, low?, high?, n?], ...], flat?}]
function lines({ title, note, series, xLabel, yLabel, zero = false, percentY = false, whole = false, height, marks = false, more }) {
  const drawn = series.filter((r) => r.points.length);
  if (!drawn.length) return null;
  const xs = drawn.flatMap((r) => r.points.map((p) => p[0]));
  const ys = drawn.flatMap((r) => r.points.flatMap((p) => [p[1], p[2], p[3]]));
  const value = (v) => (percentY ? percent(v) : number(v));
  const across = [...new Set(xs)].sort((a, b) => a - b);
  return {
    title, note,
    keys: drawn.length > 1 || more ? [drawn.map((r) => key(r.tone, r.title)), more] : null,
    table: marks
      ? { head: ["", xLabel, yLabel, "95 % interval", "n"], rows: drawn.flatMap((r) => r.points.map((p) => [r.title, p[0], value(p[1]), `${value(p[2])} to ${value(p[3])}`, p[4]])) }
      : { head: [xLabel, ...drawn.map((r) => r.title)], rows: across.map((x) => [short(x), ...drawn.map((r) => { const p = r.points.find((q) => q[0] === x); return p ? value(p[1]) : ""; })]) },
    draw(width) {
      const x = whole ? [Math.min(...xs), Math.max(...xs, Math.min(...xs) + 1)] : span(xs, { zero: Math.min(...xs) >= 0 && Math.min(...xs) < Math.max(...xs) / 3 });
      const xTicks = whole ? ticks(x[0], x[1], Math.max(3, Math.min(10, Math.floor(width / 55)))).filter(Number.isInteger) : null;
      const f = frame(width, { x, y: span(ys, { zero }), xLabel, yLabel, percentY, xTicks, height });
      for (const r of drawn) {
        const known = r.points.filter((p) => p[1] !== null);
        const group = s("g", { class: colour(r.tone) });
        if (!marks && known.every((p) => p[2] !== undefined && p[2] !== null)) {
          const edge = [...known.map((p) => `${f.X(p[0])},${f.Y(p[3])}`), ...known.toReversed().map((p) => `${f.X(p[0])},${f.Y(p[2])}`)];
          group.append(s("polygon", { class: "band fill", points: edge.join(" ") }));
        }
        if (known.length > 1) group.append(s("polyline", { class: "bold stroke", "stroke-dasharray": r.flat ? "2 6" : null, points: known.map((p) => `${f.X(p[0])},${f.Y(p[1])}`).join(" ") }));
        for (const p of known) {
          if (marks && p[2] !== undefined) group.append(s("line", { class: "thin stroke", x1: f.X(p[0]), x2: f.X(p[0]), y1: f.Y(p[2]), y2: f.Y(p[3]) }));
          if (marks || known.length < 30) group.append(s("circle", { class: "fill", cx: f.X(p[0]), cy: f.Y(p[1]), r: marks ? 4 : 2.6 }));
        }
        f.svg.append(group);
      }
      // The nearest x under the pointer tells of all series.
      const line = s("line", { class: "axis", y1: f.top, y2: f.bottom, opacity: 0 });
      const near = (e) => {
        const px = e.clientX - f.svg.getBoundingClientRect().left;
        return across.reduce((a, b) => (Math.abs(f.X(b) - px) < Math.abs(f.X(a) - px) ? b : a));
      };
      const over = (e) => {
        const v = near(e);
        line.setAttribute("x1", f.X(v)); line.setAttribute("x2", f.X(v)); line.setAttribute("opacity", 0.5);
        const told = drawn.flatMap((r) => r.points.filter((p) => p[0] === v && p[1] !== null).map((p) =>
          `${r.title}: ${value(p[1])}${p[2] === undefined || p[2] === null ? "" : ` (${value(p[2])} to ${value(p[3])})`}${p[4] ? `, n = ${p[4]}` : ""}`));
        tip.show(e, [`${xLabel} ${short(v)}`, ...told].join("\n"));
      };
      f.svg.append(line, s("rect", { class: "hit", x: f.left, y: f.top, width: f.right - f.left, height: f.bottom - f.top,
        pointermove: over, pointerdown: over, pointerleave: () => { line.setAttribute("opacity", 0); tip.hide(); } }));
      return f.svg;
    },
  };
}

function star(x, y, r) {
  const corners = Array.from({ length: 10 }, (_, i) => [i * Math.PI / 5, i % 2 ? r * 0.45 : r]);
  return `M${corners.map(([turn, far]) => `${x + far * Math.sin(turn)},${y - far * Math.cos(turn)}`).join("L")}Z`;
}

const diamond = (x, y, r) => `M${x},${y - r}L${x + r},${y}L${x},${y + r}L${x - r},${y}Z`;

function limits(f, frontiers) {
  const many = frontiers.length > 1 ? " many" : "";
  for (const { line, nash } of frontiers) {
    if (line.length > 1) f.svg.append(s("polyline", { class: `frontier${many}`, points: line.map((p) => `${f.X(p[0])},${f.Y(p[1])}`).join(" ") }));
    if (nash) f.svg.append(s("path", { class: `nash${many}`, d: diamond(f.X(nash[0]), f.Y(nash[1]), many ? 4 : 6) }));
  }
}

// Utilities of two seats; the area of a circle is its number of episodes.
function scatter({ runs, seats, pick }) {
  const shown = runs.filter((r) => r.points.length);
  if (!shown.length) return null;
  const frontiers = [...new Map(shown.flatMap((r) => r.frontiers).map((l) => [JSON.stringify(l), l])).values()].slice(0, 60);
  const points = shown.flatMap((r) => r.points.map(([x, y, n]) => ({ x, y, n, run: r }))).sort((a, b) => b.n / b.run.episodes - a.n / a.run.episodes);
  const most = Math.max(...points.map((p) => p.n / p.run.episodes));
  const edges = frontiers.flatMap((l) => [...l.line, ...(l.nash ? [l.nash] : [])]);
  const x = span([...points.map((p) => p.x), ...edges.map((p) => p[0])], { room: 0.08 });
  const y = span([...points.map((p) => p.y), ...edges.map((p) => p[1])], { room: 0.08 });
  const many = frontiers.length > 1;
  return {
    title: "What the two seats got",
    note: "Each circle is one outcome, its area how often it came. Click one to read those dialogues.",
    keys: [
      shown.length > 1 ? shown.map((r) => key(r.tone, r.title)) : null,
      frontiers.length ? h("span", null, many ? `— Pareto frontiers of ${frontiers.length} of the scenarios` : "— Pareto frontier") : null,
      frontiers.some((l) => l.nash) ? h("span", null, many ? "◇ Nash points" : "◇ Nash point") : null,
    ],
    table: { head: [`points of ${seats[0]}`, `points of ${seats[1]}`, "dialogues", "run"], rows: points.slice(0, 200).map((p) => [short(p.x), p.y, p.n, p.run.title]) },
    draw(width) {
      const f = frame(width, { x, y, xLabel: `points of ${seats[0]}`, yLabel: `points of ${seats[1]}`, height: Math.min(380, Math.max(260, width * 0.8)) });
      limits(f, frontiers);
      for (const p of points) {
        f.svg.append(s("circle", { class: `blob fill stroke pick ${colour(p.run.tone)}`, cx: f.X(p.x), cy: f.Y(p.y), r: 2.6 + 15 * Math.sqrt((p.n / p.run.episodes) / Math.max(most, 0.04)),
          click: () => { tip.hide(); pick(p.run, p.x, p.y); },
          ...says(`${shown.length > 1 ? `${p.run.title}\n` : ""}${seats[0]} ${short(p.x)}, ${seats[1]} ${short(p.y)}\n${plural(p.n, "dialogue")}, ${percent(p.n / p.run.episodes)}`) }));
      }
      return f.svg;
    },
  };
}

// The offers of one dialogue in the plane of both seats' points, in the order in which they were made.
function dance(d) {
  if (d.seats.length !== 2 || !d.frontier) return null;
  const names = d.seats.map((a) => a.name);
  const offers = d.turns.flatMap((t, i) => (t.worth && names.every((n) => n in t.worth) ? [{ x: t.worth[names[0]], y: t.worth[names[1]], by: names.indexOf(t.agent), turn: i }] : []));
  if (!offers.length) return null;
  const ended = d.seats.every((a) => a.points !== null) ? d.seats.map((a) => a.points) : null;
  const edges = [...d.frontier, d.none, ...(d.nash ? [d.nash] : []), ...(ended ? [ended] : [])];
  const x = span([...offers.map((o) => o.x), ...edges.map((p) => p[0])], { room: 0.08 });
  const y = span([...offers.map((o) => o.y), ...edges.map((p) => p[1])], { room: 0.08 });
  return {
    title: "The offers",
    note: "Numbered in the order in which they were made; equal offers share a place. The star is where it ended.",
    keys: [names.map((n, i) => key(i, `by ${n}`)), h("span", null, "— Pareto frontier"), d.nash ? h("span", null, "◇ Nash point") : null],
    draw(width) {
      const f = frame(Math.min(width, 560), { x, y, xLabel: `points of ${names[0]}`, yLabel: `points of ${names[1]}`, height: 280 });
      limits(f, [{ line: d.frontier, nash: d.nash }]);
      for (const by of [0, 1]) {
        const path = offers.filter((o) => o.by === by);
        f.svg.append(s("polyline", { class: `thin stroke ${colour(by)}`, points: path.map((o) => `${f.X(o.x)},${f.Y(o.y)}`).join(" ") }));
      }
      if (ended) f.svg.append(s("path", { class: "star", d: star(f.X(ended[0]), f.Y(ended[1]), 19), ...says(`where it ended\n${names[0]} ${short(ended[0])}, ${names[1]} ${short(ended[1])}`) }));
      const places = new Map();
      offers.forEach((o, i) => {
        const place = `${o.x},${o.y}`;
        places.set(place, [...(places.get(place) || []), { ...o, number: i + 1 }]);
      });
      // Equal offers share one token; the numbers of the later ones stand beside it.
      const pick = (o) => ({ class: `pick ${colour(o.by)}`, click: () => reader.turn(o.turn), ...says(`offer ${o.number} by ${names[o.by]}\n${names[0]} ${short(o.x)}, ${names[1]} ${short(o.y)}`) });
      for (const [first, ...more] of places.values()) {
        const cx = f.X(first.x), cy = f.Y(first.y);
        f.svg.append(s("g", pick(first), s("circle", { class: "token stroke", cx, cy, r: 8.5 }), s("text", { class: "strong", x: cx, y: cy + 4, "text-anchor": "middle" }, String(first.number))));
        if (!more.length) continue;
        const named = more.length > 6 ? [...more.slice(0, 4), null, ...more.slice(-2)] : more;
        const left = cx > (f.left + f.right) / 2;
        f.svg.append(s("text", { class: "also", x: cx + (left ? -13 : 13), y: cy - 9, "text-anchor": left ? "end" : "start" },
          named.map((o, i) => (o === null ? ", …" : [i ? ", " : null, s("tspan", pick(o), String(o.number))]))));
      }
      return f.svg;
    },
  };
}

// Intervals of one score, a line a run, on a scale they share.
function whiskers(found, low, high) {
  const wide = 150, tall = 13;
  const X = (v) => 5 + ((v - low) / (high - low || 1)) * (wide - 10);
  const svg = s("svg", { width: wide, height: tall * found.length + 2, "aria-hidden": "true" });
  found.forEach(({ tone, score }, i) => {
    if (!score) return;
    const y = tall * i + tall / 2 + 1;
    svg.append(
      s("line", { class: "grid", x1: X(low), x2: X(high), y1: y, y2: y }),
      score.ci && s("line", { class: `bold stroke ${colour(tone)}`, x1: X(score.ci[0]), x2: X(score.ci[1]), y1: y, y2: y }) || "",
      s("circle", { class: `fill ${colour(tone)}`, cx: X(score.value), cy: y, r: 3.6 }));
  });
  return svg;
}
