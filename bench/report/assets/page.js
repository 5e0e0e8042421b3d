"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { rules, metrics, groups, methods, configs, rows, trials, sweeps } = data;
  const $ = (id) => document.getElementById(id);
  const escaped = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
  const NONE = "–", ALL = "all", ANY = "any";

  /* Okabe and Ito's colours, without the yellow, which is lost on white, and two that colour-blind people tell from them; black,
     or white, is the reference's. They are enough for the curves of a trial, and with the dashes there are forty looks. */
  const COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7722FF", "#993333"];
  const DASHES = [[], [6, 3], [2, 2], [8, 3, 2, 3], [3, 2, 8, 2]];
  const look = (m) => {
    if (methods[m] === data.reference) return { color: css("--ink"), dash: [4, 2] };
    const place = state.shown.get(m) ?? 0;
    return { color: COLORS[place % COLORS.length], dash: DASHES[place % DASHES.length] };
  };
  const vector = (name, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  /* A piece of a curve, for legends. */
  const sample = (color, dash) => {
    const svg = vector("svg", { width: 24, height: 4, "aria-hidden": true });
    svg.append(vector("line", { x2: 24, y1: 2, y2: 2, stroke: color, "stroke-width": 3, "stroke-dasharray": dash.join(" ") }));
    return svg;
  };
  /* A name that breaks after its underscores, and not in the middle of a word. */
  const breakable = (name) => name.split(/(?<=_)/).flatMap((part, n) => (n ? [document.createElement("wbr"), part] : [part]));
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const state = { group: 0, rule: rules[0].name, metric: data.metric, curve: Object.keys(data.curves)[0], rate: 0, track: ALL, budget: ANY, shown: new Map(), only: null };
  let board, list, chart, trialChart, publishedTable, opened = null, paper = false;

  /* Curves: unpacked when first looked at, then kept. */
  const starts = [0];
  for (const epochs of trials.epochs) starts.push(starts[starts.length - 1] + epochs);
  const curves = {}, ready = {};
  const unpack = (name) => (curves[name] ??= (async () => {
    const text = atob($(`curve-${name}`).textContent);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const view = new DataView(await new Response(stream).arrayBuffer());
    return (ready[name] = Uint16Array.from({ length: view.byteLength / 2 }, (_, i) => view.getUint16(2 * i, true)));
  })());
  const curveOf = (all, trial) => Array.from(all.subarray(starts[trial], starts[trial + 1]), (v) => (v === 65535 ? null : v / 100));

  const byConfiguration = new Map();
  trials.id.forEach((_, t) => {
    const key = [trials.group[t], trials.rate[t], trials.method[t], trials.hparams[t]].join();
    byConfiguration.has(key) ? byConfiguration.get(key).push(t) : byConfiguration.set(key, [t]);
  });

  const option = (value, text) => Object.assign(document.createElement("option"), { value, textContent: text });
  const fill = (select, pairs, value) => {
    select.replaceChildren(...pairs.map(([v, text]) => option(v, text)));
    select.value = value;
  };
  const metric = () => metrics.find(({ name }) => name === state.metric);
  const ranks = () => rules.find(({ name }) => name === state.rule).ranks;

  /* A budget is in multiples of the reference's cost, and so only where that is known. */
  const budget = () => (groups[state.group].priced ? state.budget : ANY);
  const budgetName = (times) => `${times}× ${data.reference}`;

  /* ---- the leaderboard ---- */
  const NOBODY = { lines: [], tiers: "" };
  const standings = () => data.boards[[state.group, state.rule, state.track, budget()].join(" ")] ?? NOBODY;

  /* Lines of the leaderboard that is chosen, with their cells, ranks and places by the metric that is chosen. */
  function current() {
    return standings().lines.map((line) => {
      const [rank = null, missing = line.cells.length, places = []] = line.standings[state.metric] ?? [];
      const cells = line.cells.map((number, rate) => {
        if (number === null) return null;
        const row = rows[number];
        const [mean, text, ci] = row.values[state.metric] ?? [null, null, null];
        return { row, mean, text, ci, place: places[rate] };
      });
      return { ...line, cells, rank, missing };
    });
  }

  const accuracy = (cell) => {
    if (!cell) return NONE;
    const mark = state.metric === "test_accuracy" ? `<sup>${cell.row.mark}</sup>` : "";
    if (cell.mean === null) return NONE + mark;
    const mean = cell.place === 1 ? `<b>${cell.text}</b>` : cell.place === 2 ? `<u>${cell.text}</u>` : cell.text;
    const tier = tiered() && cell.row.tier ? `<span class="tier">${circled(cell.row.tier)}</span>` : "";
    return mean + (cell.ci === null ? "" : ` <small>± ${cell.ci}</small>`) + (cell.row.unequal && metric().failed ? ` <small>n=${cell.row.seeds}</small>` : "") + mark + tier;
  };
  /* Tiers are told from the best of all, not of a budget. */
  const tiered = () => state.metric === "test_accuracy" && budget() === ANY;
  const circled = (n) => (n <= 20 ? String.fromCharCode(0x245f + n) : `(${n})`);
  const sortable = (display, value, plain) => (item, type) => (type === "display" ? display(item) : type === "filter" ? plain(item) : value(item));
  const number = (name, get, digits, extra = {}, missing = Infinity) => ({
    title: name, className: "number", orderSequence: ["asc", "desc"],
    render: sortable((item) => (get(item) === null ? NONE : get(item).toFixed(digits)), (item) => get(item) ?? missing, () => ""),
    ...extra,
  });

  function table(host, columns, rowsOf, options, label) {
    const element = document.createElement("table");
    element.setAttribute("aria-label", label);
    const head = element.createTHead().insertRow();
    for (const column of columns) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.textContent = column.title;
      head.append(cell);
    }
    host.replaceChildren(element);
    return new DataTable(element, {
      data: rowsOf, autoWidth: false, searching: true,
      columns: columns.map(({ title, ...column }) => ({ data: null, ...column })),
      ...options,
    });
  }

  function showBoard() {
    const group = groups[state.group];
    const list = current();
    const descending = metric().more ? ["desc", "asc"] : ["asc", "desc"];
    const worst = metric().more ? -Infinity : Infinity;
    const columns = [
      {
        title: "Method", className: "first",
        render: sortable(
          (line) => `<label><input type="checkbox" data-method="${line.method}" aria-label="draw the curve of ${escaped(methods[line.method])}"><span class="swatch" data-swatch="${line.method}"></span><span data-name="${line.method}"></span></label>`,
          (line) => methods[line.method], (line) => methods[line.method]),
      },
      ...group.rates.map((title, rate) => ({
        title: title + (group.doubtful[rate] ? " ‡" : ""), className: "number", orderSequence: descending,
        render: sortable(
          (line) => (line.cells[rate] ? `<button type="button" class="plain" data-trials="${line.method},${rate}" title="${escaped(cellTitle(line, rate))}">${accuracy(line.cells[rate])}</button>` : NONE),
          (line) => line.cells[rate]?.mean ?? worst, () => ""),
      })),
      ...(ranks() ? [number("Average rank", (line) => line.rank, 1, {
        render: sortable((line) => (line.rank === null ? NONE : line.rank.toFixed(1)), (line) => (line.rank === null ? Infinity : 1000 * line.missing + line.rank), () => ""),
      })] : []),
      ...(list.some((line) => line.cost !== null) ? [number(`Cost (×${data.reference})`, (line) => line.cost, 1)] : []),
      ...(list.some((line) => line.failures) ? [number("Failures", (line) => line.failures, 0, { orderSequence: ["desc", "asc"],
        render: sortable((line) => `${line.failures}/${line.seeds}`, (line) => line.failures, () => "") })] : []),
      ...(list.some((line) => line.privileges) ? [{ title: "Privileges", render: sortable((line) => escaped(line.privileges || NONE), (line) => line.privileges, (line) => line.privileges) }] : []),
    ];
    const first = ranks() ? 1 + group.rates.length : 0;
    board?.destroy();
    board = table($("board"), columns, list, { paging: false, info: false, language: { zeroRecords: "No method matches." }, layout: { topStart: null, topEnd: null, bottomStart: null, bottomEnd: null }, order: [[first, "asc"]] }, metric().label);
    board.search($("filter").value).draw();
    board.on("draw", paint);
    paint();
    const interval = list.some((line) => line.cells.some((cell) => cell && cell.ci !== null));
    $("title").textContent = group.title;
    $("setup").textContent = `${metric().label} by rule ${state.rule}${budget() === ANY ? "" : `, up to ${budgetName(budget())}`}. ${group.setup}`;
    const { note } = rules.find(({ name }) => name === state.rule);
    $("warning").hidden = !note;
    $("warning").textContent = note;
    $("legend").textContent = [
      interval ? "Mean ± half-width of its 95 % interval over seeds." : "One seed.", ranks() ? "Best bold, second underlined, as printed." : "",
      budget() === ANY ? "" : `Ranked among what costs up to ${budgetName(budget())}: seconds of a trial, pretraining included, up to ${data.slack} times what is named. ${NONE}: above it, or of unknown cost.`,
      tiered() && interval ? standings().tiers : "",
      list.some((line) => line.cells.some((cell) => cell?.row.unequal)) ? "n: trials, where the rows of a column do not have the same seeds: such means are not paired." : "",
      metric().failed ? "Failed trials count at chance." : "Over trials that did not fail.",
    ].filter(Boolean).join(" ") + " ";
    $("notes").replaceChildren(...group.notes.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  }

  const cellTitle = (line, rate) => {
    const { row } = line.cells[rate];
    return `${methods[line.method]}, ${groups[state.group].rates[rate]}: ${row.seeds} seeds, ${row.failures} failed; ${configs[row.config]}`;
  };

  function paint() {
    for (const box of $("board").querySelectorAll("[data-method]")) box.checked = state.shown.has(+box.dataset.method);
    for (const swatch of $("board").querySelectorAll("[data-swatch]")) {
      const m = +swatch.dataset.swatch;
      const { color, dash } = look(m);
      swatch.replaceChildren(...(state.shown.has(m) ? [sample(color, dash)] : []));
    }
    for (const name of $("board").querySelectorAll("[data-name]")) name.replaceChildren(...breakable(methods[+name.dataset.name]));
  }

  /* A method keeps its look while it is ticked; the next one takes the first that is free. */
  function tick(m) {
    const taken = new Set(state.shown.values());
    let free = 0;
    while (taken.has(free)) free++;
    state.shown.set(m, methods[m] === data.reference ? null : free);
  }

  /* ---- curves ---- */
  const axes = (label) => {
    const axis = { stroke: css("--muted"), grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line"), width: 1 }, font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif" };
    return [{ ...axis, label: "Epoch", grid: { show: false }, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500] }, { ...axis, label, size: 48 }];
  };
  const PAPER = 640;
  const widthOf = (host) => (paper ? PAPER : Math.max(280, host.clientWidth));
  function draw(host, old, series, values, label) {
    old?.destroy();
    if (!series.length) {
      host.innerHTML = '<p class="empty">Nothing to draw: tick a method in the table.</p>';
      return null;
    }
    host.replaceChildren();
    const longest = Math.max(...values.map((curve) => curve.length));
    const x = Array.from({ length: longest }, (_, i) => i + 1);
    const padded = values.map((curve) => x.map((_, i) => curve[i] ?? null));
    const show = (_, v) => (v == null ? NONE : v.toFixed(1));
    const plot = new uPlot({
      width: widthOf(host), height: 330, scales: { x: { time: false }, y: { range: (_, low, high) => [Math.max(0, low - 2), Math.min(100.5, high + 2)] } },
      axes: axes(label), focus: { alpha: 0.25 }, cursor: { focus: { prox: 24 }, y: false }, legend: { live: true, markers: { width: 0 } },
      series: [{ label: "Epoch" }, ...series.map((entry) => ({ ...entry, width: 1.75, points: { show: longest === 1 }, value: show }))],
    }, [x, ...padded], host);
    const lines = [...plot.root.querySelectorAll(".u-series")].slice(1); /* the first is the epoch's */
    series.forEach(({ label, stroke, dash }, n) => {
      lines[n].querySelector(".u-marker").replaceChildren(sample(stroke, dash));
      lines[n].querySelector(".u-label").replaceChildren(...breakable(label));
    });
    return plot;
  }

  let turn = 0;
  async function showCurves() {
    if (!state.curve) return; /* no trial has an epoch */
    const mine = ++turn;
    const all = ready[state.curve] ?? (await unpack(state.curve)); /* no waiting before paper */
    if (mine !== turn) return;
    const series = [], values = [];
    for (const line of current()) {
      const cell = line.cells[state.rate];
      if (!state.shown.has(line.method) || !cell) continue;
      const key = [state.group, state.rate, line.method, cell.row.config].join();
      const each = (byConfiguration.get(key) ?? []).filter((t) => ["finished", "stopped"].includes(trials.status[t])).map((t) => curveOf(all, t));
      if (!each.length) continue;
      const length = Math.min(...each.map((curve) => curve.length));
      const mean = Array.from({ length }, (_, i) => {
        const known = each.map((curve) => curve[i]).filter((v) => v !== null);
        return known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
      });
      if (mean.every((v) => v === null)) continue;
      const { color, dash } = look(line.method);
      series.push({ label: methods[line.method], stroke: color, dash });
      values.push(mean);
    }
    $("curves-title").textContent = `While training, at ${groups[state.group].rates[state.rate]}`;
    chart = draw($("chart"), chart, series, values, `${data.curves[state.curve]} (%)`);
  }

  /* ---- trials ---- */
  function showTrials() {
    const listed = trials.id.map((_, t) => t).filter((t) => trials.group[t] === state.group
      && (!state.only || (trials.method[t] === state.only[0] && trials.rate[t] === state.only[1])));
    const group = groups[state.group];
    const acc = trials.accuracy[state.rule], epoch = trials.epoch[state.rule];
    const plain = (title, get, extra = {}) => ({ title, ...extra, render: sortable((t) => escaped(get(t)), get, get) });
    const columns = [
      { title: "Trial", className: "first", render: sortable((t) => `<button type="button" class="plain" data-trial="${t}"><code>${escaped(trials.id[t])}</code></button>`, (t) => trials.id[t], (t) => trials.id[t]) },
      plain("Method", (t) => methods[trials.method[t]]),
      { title: "Noise rate", className: "number", render: sortable((t) => escaped(group.rates[trials.rate[t]]), (t) => trials.rate[t], (t) => group.rates[trials.rate[t]]) },
      plain("Settings", (t) => trials.config[t] || "defaults", { className: "setting" }),
      { title: "Seeds", render: sortable((t) => escaped([...new Set(trials.seeds[t])].join(" / ")), (t) => trials.seeds[t][0], (t) => trials.seeds[t].join(" ")) },
      plain("Status", (t) => trials.status[t]),
      number("Accuracy (%)", (t) => (acc[t] === null ? null : 100 * acc[t]), 1, { orderSequence: ["desc", "asc"] }, -Infinity),
      number("At epoch", (t) => (epoch[t] === null ? null : epoch[t] + 1), 0),
      number("Seconds", (t) => trials.seconds[t], 1),
    ];
    list?.destroy();
    list = table($("trials"), columns, listed, { paging: true, pageLength: 25, language: { info: "_START_ to _END_ of _TOTAL_ trials", infoEmpty: "no trials", infoFiltered: "(of _MAX_)", zeroRecords: "No trial matches." }, deferRender: true, lengthChange: false, order: [[6, "desc"]],
      layout: { topStart: null, topEnd: null, bottomStart: "info", bottomEnd: "paging" } }, "Trials");
    list.search($("trial-filter").value).draw();
    $("all-trials").hidden = !state.only;
    $("narrowed").textContent = state.only ? `${methods[state.only[0]]} at ${group.rates[state.only[1]]}` : "";
  }

  const passes = (t) => (trials.passes_trained[t] === null ? NONE
    : `${trials.passes_trained[t]} with gradients and ${trials.passes_inferred[t] ?? NONE} without, per training image and epoch`);

  async function openTrial(t) {
    opened = t;
    const names = Object.keys(data.curves);
    const all = await Promise.all(names.map(unpack));
    $("trial-title").textContent = `${methods[trials.method[t]]}, ${groups[trials.group[t]].rates[trials.rate[t]]}`;
    const sweep = sweeps[trials.sweep[t]];
    const chosen = (rule) => {
      const value = trials.accuracy[rule][t], epoch = trials.epoch[rule][t];
      return value === null ? NONE : `${(100 * value).toFixed(2)} %${epoch === null ? "" : ` (epoch ${epoch + 1})`}`;
    };
    const [noise, split, train] = trials.seeds[t];
    const facts = [
      ["Trial", trials.id[t]], ["Group", groups[trials.group[t]].title], ["Status", trials.status[t]],
      ["Test accuracy", rules.map((rule) => `${rule.name} ${chosen(rule.name)}`).join(", ")],
      ["Settings", trials.config[t] || "defaults"], ["All settings", configs[trials.hparams[t]]], ["Recipe", trials.recipes[trials.recipe[t]]],
      ["Seeds", `noise ${noise}, split ${split}, training ${train}`], ["Hash of the labels", trials.label_hashes[trials.labels[t]] || NONE],
      ["Device seconds", trials.seconds[t] === null ? NONE : trials.seconds[t].toFixed(1)], ["Passes", passes(t)], ["Peak memory", trials.peak_memory_mb[t] === null ? NONE : `${trials.peak_memory_mb[t].toFixed(0)} MB`],
      ["Setup", groups[trials.group[t]].setup], ["Sweep", sweep.name],
      ["Code", trials.commits[trials.code[t]] || (sweep.git_commit ?? NONE)], ["Machine", sweep.machine ? Object.values(sweep.machine).join(", ") : NONE],
      ["Versions", sweep.versions ? Object.entries(sweep.versions).map((pair) => pair.join(" ")).join(", ") : NONE],
    ];
    $("facts").replaceChildren(...facts.flatMap(([name, value]) => [
      Object.assign(document.createElement("dt"), { textContent: name }), Object.assign(document.createElement("dd"), { textContent: value }),
    ]));
    if (!$("trial").open) $("trial").showModal();
    const series = [], values = [];
    names.forEach((name, n) => {
      const curve = curveOf(all[n], t);
      if (curve.every((v) => v === null)) return;
      series.push({ label: data.curves[name], stroke: n ? COLORS[n - 1] : css("--ink"), dash: DASHES[n % DASHES.length] });
      values.push(curve);
    });
    trialChart = draw($("trial-chart"), trialChart, series, values, "%");
    if (!series.length) $("trial-chart").innerHTML = '<p class="empty">No epoch was recorded.</p>';
  }

  /* ---- published numbers ---- */
  const PUBLISHED_LINES = 25;
  function showPublished() {
    const { title, tables, notes } = data.published;
    const figure = (text) => parseFloat(text.replace("−", "-"));
    $("published-section").hidden = false;
    $("published-title").textContent = title;
    for (const { columns, rows: lines } of tables) {
      const numeric = columns.map((_, c) => lines.every((line) => Number.isFinite(figure(line[c])) && /^[+−\d.]+$/.test(line[c])));
      $("published").hidden = false;
      const long = lines.length > PUBLISHED_LINES;
      const made = table($("published"), columns.map((name, c) => ({
        title: name, className: numeric[c] ? "number" : lines.some((line) => line[c].length > 40) ? "long" : "",
        render: sortable((line) => escaped(line[c]), (line) => (numeric[c] ? figure(line[c]) : line[c]), (line) => line[c]),
      })), lines, { paging: long, pageLength: PUBLISHED_LINES, info: false, lengthChange: false, order: [],
        layout: { topStart: null, topEnd: null, bottomStart: null, bottomEnd: long ? "paging" : null } }, title);
      if (long) publishedTable = made;
    }
    const [first, ...reasons] = notes;
    $("published-notes").querySelector("summary").textContent = first;
    $("published-notes").querySelector("ul").replaceChildren(...reasons.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  }

  /* ---- switches ---- */
  function facetNames() {
    const names = ["dataset", "noise_kind", "protocol", "pretrained", "setup"];
    return names.filter((name) => new Set(groups.map((group) => facet(group, name))).size > 1);
  }
  const facet = (group, name) => (name === "setup" ? group.setup : group.facets[name] ?? "");
  const LABELS = { dataset: "Data set", noise_kind: "Noise", protocol: "Recipe", pretrained: "Start", setup: "Setting" };

  function showFacets() {
    const names = facetNames();
    $("facets").replaceChildren(...names.flatMap((name) => {
      /* The setting tells apart what the switches before it leave together. */
      const near = name !== "setup" ? groups : groups.filter((group) => names.every((other) => other === "setup" || facet(group, other) === facet(groups[state.group], other)));
      const values = [...new Set(near.map((group) => facet(group, name)))];
      if (values.length < 2) return [];
      const label = Object.assign(document.createElement("label"), { textContent: `${LABELS[name]} ` });
      const select = Object.assign(document.createElement("select"), { id: `facet-${name}` });
      fill(select, values.map((value) => [value, value || "random weights"]), facet(groups[state.group], name));
      select.addEventListener("change", () => {
        const fits = (group) => names.filter((other) => facet(group, other) === facet(groups[state.group], other)).length;
        const able = groups.map((_, g) => g).filter((g) => facet(groups[g], name) === select.value);
        state.group = able.reduce((best, g) => (fits(groups[g]) > fits(groups[best]) ? g : best), able[0]);
        state.rate = Math.min(state.rate, groups[state.group].rates.length - 1);
        state.only = null;
        showFacets();
        everything();
        $(`facet-${name}`)?.focus();
      });
      label.append(select);
      return [label];
    }));
    $("facets").hidden = !$("facets").children.length;
  }

  function pickFirst() {
    const list = current().filter((line) => line.rank !== null).sort((a, b) => a.missing - b.missing || a.rank - b.rank);
    const reference = list.filter((line) => methods[line.method] === data.reference);
    state.shown.clear();
    for (const line of new Set([...list.slice(0, 4), ...reference])) tick(line.method);
  }

  function everything() {
    $("budget").parentElement.hidden = !groups[state.group].priced;
    fill($("rate"), groups[state.group].rates.map((title, rate) => [rate, title]), state.rate);
    showBoard();
    showCurves();
    showTrials();
  }

  const system = matchMedia("(prefers-color-scheme: dark)");
  const theme = (dark) => {
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    $("theme").textContent = dark ? "Light" : "Dark";
    $("theme").setAttribute("aria-label", `Switch to ${dark ? "light" : "dark"} colours`);
    if (board) { paint(); showCurves(); }
    if (opened !== null && $("trial").open) openTrial(opened);
  };

  // A trial may be in several rows, and a method has several: elr, elr (tuned).
  const [distinct, names] = [new Set(trials.id).size, new Set(methods.map((label) => label.split(" (")[0])).size];
  $("about").textContent = `${distinct} trial${distinct > 1 ? "s" : ""} of ${names} method${names > 1 ? "s" : ""}. Everything here comes from their records.`;
  DataTable.ext.errMode = "throw";
  fill($("rule"), rules.map(({ name, label }) => [name, label]), state.rule);
  fill($("metric"), metrics.map(({ name, label }) => [name, label]), state.metric);
  fill($("curve"), Object.entries(data.curves), state.curve);
  $("curves").hidden = !state.curve;
  const { tracks } = data;
  fill($("track"), [[ALL, ALL], ...tracks.map((track) => [track, track || "default"])], ALL);
  $("track").parentElement.hidden = tracks.length < 2;
  $("track").addEventListener("change", () => { state.track = $("track").value; showBoard(); showCurves(); });
  fill($("budget"), [[ANY, ANY], ...data.budgets.map((times) => [times, budgetName(times)])], ANY);
  $("budget").addEventListener("change", () => { state.budget = $("budget").value; showBoard(); showCurves(); });
  $("rule").addEventListener("change", () => { state.rule = $("rule").value; everything(); });
  $("metric").addEventListener("change", () => { state.metric = $("metric").value; showBoard(); });
  $("curve").addEventListener("change", () => { state.curve = $("curve").value; showCurves(); });
  $("rate").addEventListener("change", () => { state.rate = +$("rate").value; showCurves(); });
  $("nothing").addEventListener("click", () => { state.shown.clear(); paint(); showCurves(); });
  $("filter").addEventListener("input", () => board.search($("filter").value).draw());
  $("trial-filter").addEventListener("input", () => list.search($("trial-filter").value).draw());
  $("all-trials").addEventListener("click", () => { state.only = null; showTrials(); $("trial-filter").focus(); });
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  $("close").addEventListener("click", () => $("trial").close());
  $("theme").addEventListener("click", () => theme(document.documentElement.dataset.theme !== "dark"));
  $("board").addEventListener("change", (event) => {
    const m = event.target.dataset?.method;
    if (m === undefined) return;
    event.target.checked ? tick(+m) : state.shown.delete(+m);
    paint();
    showCurves();
  });
  $("board").addEventListener("click", (event) => {
    const button = event.target.closest("[data-trials]");
    if (!button) return;
    state.only = button.dataset.trials.split(",").map(Number);
    showTrials();
    $("trials-section").scrollIntoView({ block: "start" });
    $("trials").querySelector("[data-trial]")?.focus({ preventScroll: true });
  });
  $("board").addEventListener("pointerover", (event) => {
    const box = event.target.closest("tr")?.querySelector("[data-method]");
    const place = box && chart ? chart.series.findIndex(({ label }) => label === methods[+box.dataset.method]) : -1;
    chart?.setSeries(place > 0 ? place : null, { focus: true });
  });
  $("trials").addEventListener("click", (event) => {
    const button = event.target.closest("[data-trial]");
    if (button) openTrial(+button.dataset.trial);
  });
  let waiting;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      chart?.setSize({ width: widthOf($("chart")), height: 330 });
      if ($("trial").open) trialChart?.setSize({ width: widthOf($("trial-chart")), height: 330 });
    }, 100);
  });
  system.addEventListener("change", () => theme(system.matches));
  let dark = false;
  const onPaper = (whether) => {
    paper = whether;
    if (publishedTable) publishedTable.page.len(paper ? -1 : PUBLISHED_LINES).draw();
  };
  addEventListener("beforeprint", () => { onPaper(true); dark = document.documentElement.dataset.theme === "dark"; theme(false); });
  addEventListener("afterprint", () => { onPaper(false); theme(dark); });
  new ResizeObserver(() => document.documentElement.style.setProperty("--bar", `${$("controls").offsetHeight}px`)).observe($("controls"));
  theme(system.matches);
  pickFirst();
  showFacets();
  everything();
  if (data.published) showPublished();
  document.documentElement.dataset.ready = "yes";
})();
