
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const pictures = JSON.parse($("pictures").textContent);
  const { classes, names, given, suggested, second, third, nearest, group } = data;
  const p = data.p_wrong, count = names.length, rows = names.map((_, row) => row);
  const KEEP = "keep", RELABEL = "relabel", DROP = "drop", SKIP = "skip", NONE = -1;
  const outliers = new Set(data.outlier);
  const COLUMNS = ["path", "given_label", "decision", "label", "data", "decisions"];
  const STORE = `lnl-bench clean ${data.hash}`;
  const WORDS = { blank: "blank", dark: "nearly black", tiny: "tiny", duplicate: "duplicate", conflict: "duplicate with another label",
    leak: "duplicate in the other part", few: "class with few samples" };
  const LARGEST_MATRIX = 20, LONGEST_LIST = 40;

  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children.filter((child) => child !== null));
    return element;
  };
  const kbd = (key) => make("kbd", { textContent: key, ariaHidden: "true" });
  const percent = (share) => `${Math.round(100 * share)} %`;
  const chance = (row) => (p[row] < 1 && p[row] > 0.99 ? "over 99 %" : percent(p[row]));
  const number = (n) => n.toLocaleString("en");
  const plural = (n, noun) => `${number(n)} ${noun}${n === 1 ? "" : "s"}`;
  const sum = (list) => list.reduce((total, row) => total + p[row], 0);
  const className = (label) => classes[label];

  /* ---- decisions: by name, so that they outlive another audit of the same data ---- */
  let decisions = new Map(); /* row -> [decision, label or NONE] */
  const byName = new Map(names.map((name, row) => [name, row]));
  const history = []; /* lists of [row, what it was] */
  let stored = true;

  function entries() {
    const text = localStorage.getItem(STORE);
    try { return Object.entries(JSON.parse(text ?? "{}")); } catch { return []; } /* damaged: written anew */
  }

  function restore() {
    try {
      const known = entries().map(([name, entry]) => [byName.get(name), entry])
        .filter(([row, [decision, label]]) => row !== undefined && (decision !== RELABEL || classes[label] !== undefined));
      decisions = new Map(stored ? known : [...known, ...decisions]);
    } catch { stored = false; }
  }

  /* Write changed rows alone, since another tab may have decided on others; all, where that failed before. */
  function save(changed) {
    try {
      const saved = new Map(entries());
      for (const row of stored ? changed : decisions.keys())
        decisions.has(row) ? saved.set(names[row], decisions.get(row)) : saved.delete(names[row]);
      localStorage.setItem(STORE, JSON.stringify(Object.fromEntries(saved)));
      stored = true;
    } catch { stored = false; }
  }

  /* Record decisions as one step that undo takes back. */
  function record(changes) {
    history.push(changes.map(([row]) => [row, decisions.get(row)]));
    put(changes);
  }

  function put(changes) {
    for (const [row, entry] of changes) entry ? decisions.set(row, entry) : decisions.delete(row);
    save(changes.map(([row]) => row));
    for (const [row] of changes) showState(row);
    showProgress();
  }

  const toward = (row, label) => (label === given[row] ? [KEEP, label] : [RELABEL, label]);
  const isOpen = (row) => !decisions.has(row) || decisions.get(row)[0] === SKIP;
  const decided = () => [...decisions.values()].filter(([decision]) => decision !== SKIP).length;
  const stateText = (row) => {
    const [decision, label] = decisions.get(row) ?? [null, NONE];
    return { [KEEP]: "kept", [RELABEL]: `→ ${classes[label]}`, [DROP]: "dropped", [SKIP]: "skipped" }[decision] ?? "";
  };

  /* ---- kinds of faults ---- */
  const has = (row, ...words) => (data.issues[row] ?? []).some((word) => words.includes(word));
  const faulty = new Set(rows.filter((row) => group[row] >= 0 && has(row, "conflict", "leak")).map((row) => group[row]));
  const duplicates = () => {
    const members = new Map();
    for (const row of rows) if (faulty.has(group[row])) members.set(group[row], [...(members.get(group[row]) ?? []), row]);
    return [...members.values()].flat();
  };
  const TABS = [
    { id: "labels", title: "Labels", rows },
    { id: "duplicates", title: "Duplicates", rows: duplicates() },
    { id: "outliers", title: "Outliers", rows: rows.filter((row) => outliers.has(row)) },
    { id: "broken", title: "Blank or tiny", rows: rows.filter((row) => has(row, "blank", "dark", "tiny")) },
  ];
  const state = { tab: TABS[0], given: NONE, suggested: NONE, threshold: 0, decided: "all", length: 240, page: 0, current: null };
  const onLabels = () => state.tab === TABS[0];
  let listed = [];

  const above = () => rows.filter((row) => 100 * p[row] >= state.threshold);
  function filter() {
    let list = state.tab.rows;
    if (onLabels()) list = list.filter((row) => 100 * p[row] >= state.threshold
      && (state.given === NONE || given[row] === state.given) && (state.suggested === NONE || suggested[row] === state.suggested));
    if (state.decided !== "all") list = list.filter((row) => isOpen(row) === (state.decided === "open"));
    return list;
  }

  /* ---- cards ---- */
  const encoded = (name) => name.split("/").map(encodeURIComponent).join("/");
  const link = (row) => data.links[row] ?? (data.root === null ? null : `${data.root}/${encoded(names[row])}`);
  const hasPictures = Object.keys(pictures).length > 0;
  const source = (row) => (pictures[row] === undefined ? null
    : data.folder ? `${data.folder}/${pictures[row]}` : `data:image/webp;base64,${pictures[row]}`);

  function picture(row, alt, side = 96) {
    const src = source(row);
    if (!src) return null;
    const image = make("img", { src, alt, className: "picture", loading: "lazy", decoding: "async", width: side, height: side });
    /* image.width in place of side would lay the page out again for each image. */
    image.addEventListener("load", () => image.classList.toggle("pixels", Math.max(image.naturalWidth, image.naturalHeight) < side));
    return image;
  }

  function linked(row, content) {
    const href = link(row);
    return href === null ? content : make("a", { href, target: "_blank", rel: "noopener", tabIndex: -1, title: "Open the original" }, content);
  }

  const choices = (row) => [...new Set([suggested[row], second[row], third[row]])].filter((label) => label >= 0 && label !== given[row]);

  function choice(row, text, key, action, label = "") {
    const button = make("button", { type: "button", tabIndex: -1 }, text, " ", kbd(key));
    button.dataset.action = action;
    button.dataset.label = label;
    button.setAttribute("aria-pressed", "false");
    return button;
  }

  function card(row) {
    const image = picture(row, `given ${classes[given[row]]}`);
    const meter = make("meter", { min: 0, max: 1, value: p[row] });
    meter.setAttribute("aria-hidden", "true");
    const facts = make("div", { className: "facts" },
      make("div", {}, "given ", make("b", { textContent: classes[given[row]] })),
      make("div", {}, suggested[row] === given[row] ? "no other suggestion" : "suggested ",
        suggested[row] === given[row] ? null : make("b", { textContent: classes[suggested[row]] }),
        suggested[row] === given[row] ? null : ` ${percent(data.p_suggested[row])}`),
      make("div", { className: "chance" }, meter, `wrong: ${chance(row)}`),
      make("div", { className: "state" }));
    const words = [...(data.issues[row] ?? []).filter((word) => word !== "duplicate" || !has(row, "conflict", "leak")).map((word) => WORDS[word] ?? word),
      ...(outliers.has(row) ? ["outlier"] : [])];
    const near = nearest[row].map((other) => {
      const label = classes[given[other]], image = picture(other, "", 48);
      return make("li", { className: given[other] === given[row] ? "same" : "other", title: `${label}: ${names[other]}` },
        image && linked(other, image), make("div", { textContent: label }));
    });
    const element = make("li", { className: "card", tabIndex: -1 },
      make("div", { className: "top" }, image && linked(row, image), facts),
      make("div", { className: "choices" },
        ...choices(row).map((label, n) => choice(row, classes[label], `${n + 1}`, "label", label)),
        choice(row, "Other…", "/", "find")),
      make("div", { className: "choices" }, choice(row, "Keep", "k", KEEP), choice(row, "Drop", "x", DROP), choice(row, "Skip", "s", SKIP)),
      near.length ? make("ul", { className: "near", ariaLabel: "Most similar samples" }, ...near) : null,
      make("div", { className: "file" }, ...words.map((word) => make("span", { className: "issue", textContent: word })),
        data.test[row] ? "test part: " : "", linked(row, names[row])));
    element.dataset.row = row;
    return element;
  }

  const cardOf = (row) => $("grid").querySelector(`.card[data-row="${row}"]`);

  function showState(row, element = cardOf(row)) {
    if (!element) return;
    const [decision, label] = decisions.get(row) ?? [null, NONE];
    decision ? element.setAttribute("data-decision", decision) : element.removeAttribute("data-decision");
    element.querySelector(".state").textContent = stateText(row);
    for (const button of element.querySelectorAll("[data-action]")) {
      const { action } = button.dataset;
      const pressed = action === "label" ? decision !== DROP && decision !== SKIP && +button.dataset.label === label && decision !== null : action === decision;
      button.setAttribute("aria-pressed", pressed);
    }
    element.setAttribute("aria-label", `${classes[given[row]]}, suggested ${classes[suggested[row]]}, wrong: ${chance(row)}, ${stateText(row) || "undecided"}`);
  }

  /* ---- the list ---- */
  const pages = () => Math.max(1, Math.ceil(listed.length / state.length));

  function showPage() {
    state.page = Math.min(Math.max(0, state.page), pages() - 1);
    const part = listed.slice(state.page * state.length, (state.page + 1) * state.length);
    const elements = [];
    let last = null;
    for (const row of part) {
      if (state.tab.id === "duplicates" && group[row] !== last) {
        last = group[row];
        const members = state.tab.rows.filter((other) => group[other] === last);
        const labels = [...new Set(members.map((other) => classes[given[other]]))];
        elements.push(make("li", { className: "group", textContent: `${members.length} copies, labelled ${labels.join(", ")}` }));
      }
      const element = card(row);
      showState(row, element);
      elements.push(element);
    }
    $("grid").replaceChildren(...elements);
    $("empty").hidden = part.length > 0;
    $("empty").textContent = state.tab.rows.length ? "No sample is left under these filters." : "The audit has none of these.";
    $("pager").hidden = pages() === 1;
    $("page").textContent = `page ${number(state.page + 1)} of ${number(pages())}`;
    $("previous").disabled = state.page === 0;
    $("next").disabled = state.page === pages() - 1;
    if (!part.includes(state.current)) state.current = part[0] ?? null;
    mark();
  }

  function mark() {
    for (const element of $("grid").querySelectorAll("[aria-current]")) {
      element.removeAttribute("aria-current");
      element.tabIndex = -1;
    }
    const element = state.current === null ? null : cardOf(state.current);
    if (!element) return;
    element.setAttribute("aria-current", "true");
    element.tabIndex = 0;
  }

  function go(row, focus = true) {
    const place = listed.indexOf(row);
    if (place < 0) return;
    state.current = row;
    const page = Math.floor(place / state.length);
    if (page !== state.page) { state.page = page; showPage(); } else mark();
    if (!focus) return;
    const element = cardOf(row);
    element.focus({ preventScroll: true });
    element.scrollIntoView({ block: "nearest" });
  }

  function show() {
    listed = filter();
    showPage();
    showSummary();
    showMatrix();
  }

  function showSummary() {
    const expected = Math.round(sum(listed));
    $("shown").textContent = `Showing ${number(listed.length)} of ${plural(count, "sample")}; about ${number(expected)} of them ${expected === 1 ? "is" : "are"} expected to be wrong.`;
    $("filters").hidden = false;
    for (const id of ["given", "suggested"]) $(id).parentElement.hidden = !onLabels();
    $("threshold-label").hidden = !onLabels();
    for (const button of $("tabs").children) {
      const selected = button.dataset.tab === state.tab.id;
      button.setAttribute("aria-selected", selected);
      button.tabIndex = selected ? 0 : -1;
    }
    showProgress();
  }

  const pairChosen = () => onLabels() && state.given !== NONE && state.suggested !== NONE && state.given !== state.suggested;
  function showProgress() {
    const open = listed.filter(isOpen).length;
    $("progress").textContent = `Decided: ${number(listed.length - open)} of these ${number(listed.length)}, ${number(decided())} in all`
      + (stored ? "" : ". This browser keeps nothing: download before you leave");
    $("accept").hidden = !pairChosen() || open === 0;
    $("accept").textContent = pairChosen() ? `Relabel all ${number(open)} undecided: ${classes[state.given]} → ${classes[state.suggested]}` : "";
    $("undo").disabled = history.length === 0;
    $("download").disabled = decisions.size === 0;
  }

  /* ---- given labels and suggestions ---- */
  function showMatrix() {
    const counts = new Map();
    for (const row of above()) {
      if (given[row] === suggested[row]) continue;
      const key = `${given[row]} ${suggested[row]}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    const most = Math.max(1, ...counts.values());
    const pair = (from, to, text) => {
      const n = counts.get(`${from} ${to}`) ?? 0;
      if (!n) return "";
      const button = make("button", { type: "button", textContent: text ?? number(n) });
      button.style.background = `color-mix(in srgb, var(--accent) ${Math.round(5 + (30 * n) / most)}%, var(--ground))`;
      button.dataset.pair = `${from} ${to}`;
      button.setAttribute("aria-label", `${n} given ${classes[from]}, suggested ${classes[to]}`);
      button.setAttribute("aria-pressed", state.given === from && state.suggested === to);
      return button;
    };
    $("matrix-hint").textContent = counts.size ? "rows: given, columns: suggested; press a number for its samples" : "";
    if (classes.length > LARGEST_MATRIX) {
      const top = [...counts].sort(([, a], [, b]) => b - a).slice(0, LONGEST_LIST);
      $("matrix").replaceChildren(make("ul", {}, ...top.map(([key, n]) => {
        const [from, to] = key.split(" ").map(Number);
        return make("li", {}, pair(from, to, `${classes[from]} → ${classes[to]}: ${number(n)}`));
      })));
      $("matrix-hint").textContent = counts.size ? "the most common pairs; press one for its samples" : "";
      return;
    }
    const head = make("tr", {}, make("th", { scope: "col", textContent: "given ↓  suggested →" }), ...classes.map((name) => make("th", { scope: "col", textContent: name })));
    const body = classes.map((name, from) => make("tr", {}, make("th", { scope: "row", textContent: name }), ...classes.map((_, to) => make("td", {}, pair(from, to)))));
    $("matrix").replaceChildren(make("table", { ariaLabel: "Given labels and suggestions" }, make("thead", {}, head), make("tbody", {}, ...body)));
  }

  function choosePair(from, to) {
    const same = state.given === from && state.suggested === to;
    [state.given, state.suggested] = same ? [NONE, NONE] : [from, to];
    $("given").value = state.given;
    $("suggested").value = state.suggested;
    Object.assign(state, { tab: TABS[0], page: 0, current: null });
    show();
  }

  /* ---- deciding ---- */
  const say = (text, error = false) => {
    $("message").textContent = text;
    $("message").classList.toggle("error", error);
  };

  function decide(row, entry) {
    if (row === null) return;
    record([[row, entry]]);
    say(`${names[row]}: ${stateText(row)}.`);
    const place = listed.indexOf(row);
    const next = listed.slice(place + 1).find((other) => !decisions.has(other)) ?? listed[place + 1];
    go(next ?? row);
  }

  function undo() {
    const changes = history.pop();
    if (!changes) return say("There is nothing to undo.");
    put(changes);
    say(changes.length === 1 ? `${names[changes[0][0]]}: decision taken back.` : `${plural(changes.length, "decision")} taken back.`);
    go(changes[0][0]);
    showProgress();
  }

  function act(row, action, label) {
    if (action === "label") decide(row, toward(row, label));
    else if (action === KEEP) decide(row, [KEEP, given[row]]);
    else if (action === "find") find(row, "");
    else decide(row, [action, NONE]);
  }

  function acceptPair() {
    const open = listed.filter(isOpen);
    $("confirm-text").textContent = `Relabel ${plural(open.length, "sample")} from ${classes[state.given]} to ${classes[state.suggested]}, also those on other pages? About ${number(Math.round(sum(open)))} of the given labels are expected to be wrong.`;
    $("confirm").showModal();
    $("confirm-yes").onclick = () => {
      $("confirm").close();
      record(open.map((row) => [row, toward(row, state.suggested)]));
      say(`${plural(open.length, "sample")} relabelled.`);
    };
  }

  /* ---- finder of classes ---- */
  let target = null, options = [], active = 0;
  function find(row, query) {
    target = row;
    $("query").value = query;
    $("finder").showModal();
    $("query").focus();
    showOptions();
  }
  function showOptions() {
    const words = $("query").value.trim().toLowerCase();
    const rank = (name) => (name.toLowerCase().startsWith(words) ? 0 : name.toLowerCase().includes(words) ? 1 : 2);
    options = classes.map((_, label) => label).filter((label) => rank(classes[label]) < 2)
      .sort((a, b) => rank(classes[a]) - rank(classes[b]) || a - b).slice(0, 200);
    active = 0;
    $("options").replaceChildren(...options.map((label, n) => {
      const item = make("li", { id: `option-${n}`, textContent: className(label) });
      item.setAttribute("role", "option");
      return item;
    }));
    showActive();
  }
  function showActive() {
    [...$("options").children].forEach((item, n) => item.setAttribute("aria-selected", n === active));
    const item = $("options").children[active];
    item?.scrollIntoView({ block: "nearest" });
    item ? $("query").setAttribute("aria-activedescendant", item.id) : $("query").removeAttribute("aria-activedescendant");
  }
  function pick(n) {
    if (options[n] === undefined) return;
    const label = options[n];
    $("finder").close();
    decide(target, toward(target, label));
  }

  /* ---- decisions.csv ---- */
  const quoted = (text) => (/[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  function csv() {
    const entries = [...decisions].sort(([a], [b]) => a - b);
    const lines = entries.map(([row, [decision, label]]) => [names[row], classes[given[row]], decision,
      decision === KEEP || decision === RELABEL ? classes[label] : "", data.hash, `${entries.length}`]);
    return [COLUMNS, ...lines].map((fields) => `${fields.map(quoted).join(",")}\n`).join("");
  }

  function download() {
    const url = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
    make("a", { href: url, download: "decisions.csv" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
    const formulas = [...decisions.keys()].filter((row) => /^[=+\-@]/.test(names[row])).length;
    say("decisions.csv is downloaded: put it beside this page, and run python -m bench.clean apply on it."
      + (formulas ? ` ${plural(formulas, "name")} in it begin${formulas === 1 ? "s" : ""} with =, +, - or @, which a spreadsheet takes for a formula.` : ""));
  }

  function parse(text) {
    const lines = [[""]];
    let inside = false;
    for (let i = 0; i < text.length; i++) {
      const c = text[i], line = lines[lines.length - 1];
      if (inside) {
        if (c !== '"') line[line.length - 1] += c;
        else if (text[i + 1] === '"') { line[line.length - 1] += '"'; i++; } else inside = false;
      } else if (c === '"') inside = true;
      else if (c === ",") line.push("");
      else if (c === "\n") lines.push([""]);
      else if (c !== "\r") line[line.length - 1] += c;
    }
    if (inside) throw new Error("it ends within quotes");
    return lines.filter((line) => line.length > 1 || line[0] !== "");
  }

  function changesIn(text) {
    const [header, ...lines] = parse(text.replace(/^\ufeff/, ""));
    if (header?.join() !== COLUMNS.join()) throw new Error(`its columns are not ${COLUMNS.join(",")}`);
    const labels = new Map(classes.map((name, label) => [name, label])), places = new Set();
    const changes = lines.map((fields, n) => {
      const where = `line ${n + 2}`;
      if (fields.length !== COLUMNS.length) throw new Error(`${where} has ${fields.length} fields for ${COLUMNS.length} columns`);
      const [name, old, decision, label, hash, total] = fields;
      if (hash !== data.hash) throw new Error(`${where} is of other data`);
      if (+total !== lines.length) throw new Error(`it has ${lines.length} of its ${total} decisions`);
      const row = byName.get(name);
      if (row === undefined) throw new Error(`${where} names ${name}, which is not in this data set`);
      if (places.has(row)) throw new Error(`${where} names ${name} again`);
      places.add(row);
      if (old !== classes[given[row]]) throw new Error(`${where} has another given label`);
      if (![KEEP, RELABEL, DROP, SKIP].includes(decision)) throw new Error(`${where} has no decision that is known`);
      if (decision === DROP || decision === SKIP) return [row, [decision, NONE]];
      if (!labels.has(label)) throw new Error(`${where} has an unknown class`);
      if ((decision === KEEP) !== (label === old)) throw new Error(`${where} has a decision that does not fit its label`);
      return [row, [decision, labels.get(label)]];
    });
    if (!changes.length) throw new Error("it holds no decisions");
    return changes;
  }

  async function load(file) {
    try {
      const changes = changesIn(await file.text());
      record(changes);
      show();
      say(`${plural(changes.length, "decision")} loaded.`);
    } catch (error) {
      say(`${file.name} is not loaded, since ${error.message}: give a whole decisions.csv of this page.`, true);
    }
  }

  /* ---- keys ---- */
  const columns = () => getComputedStyle($("grid")).gridTemplateColumns.split(" ").length;
  function move(step) {
    const place = listed.indexOf(state.current);
    if (place < 0) return go(listed[0]);
    go(listed[Math.min(Math.max(0, place + step), listed.length - 1)]);
  }
  function onKey(event) {
    const { key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.target.closest("input, select, textarea, [role=tablist]")) return;
    const onButton = event.target.closest("button, a, summary");
    const row = state.current;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns(), ArrowDown: columns() };
    if (steps[key]) move(steps[key]);
    else if (key === "u") undo();
    else if (key === "?") $("keys").showModal();
    else if (row === null || key === " ") return;
    else if (key === "Enter") {
      if (onButton) return;
      cardOf(row)?.querySelector("a")?.click();
    } else if (key === "k") act(row, KEEP);
    else if (key === "x") act(row, DROP);
    else if (key === "s") act(row, SKIP);
    else if ("123".includes(key)) {
      const label = choices(row)[+key - 1];
      if (label === undefined) return;
      act(row, "label", label);
    } else if (key === "/") find(row, "");
    else if (/^\p{L}$/u.test(key)) find(row, key);
    else return;
    event.preventDefault();
  }

  /* ---- start ---- */
  const fill = (select, pairs, value) => {
    select.replaceChildren(...pairs.map(([v, text]) => make("option", { value: v, textContent: text })));
    select.value = value;
  };
  const theme = (dark) => {
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    $("theme").textContent = dark ? "Light" : "Dark";
    $("theme").setAttribute("aria-label", `Switch to ${dark ? "light" : "dark"} colours`);
  };
  const system = matchMedia("(prefers-color-scheme: dark)");

  function describe() {
    const [low, , high] = data.rate.map(percent);
    $("name").textContent = data.dataset;
    document.title = `Label review: ${data.dataset}`;
    $("about").textContent = `${plural(count, "sample")} of ${plural(classes.length, "class").replace(/classs$/, "classes")}. `
      + (low === high ? `About ${low} of the labels are wrong, by estimate.` : `Between ${low} and ${high} of the labels are wrong, by estimate.`);
    const first = Math.min(count, Math.max(1, data.flagged || Math.round(count / 10)));
    const all = sum(rows);
    $("budget").textContent = all > 0 ? `The first ${number(first)} hold about ${percent(sum(rows.slice(0, first)) / all)} of the wrong labels.` : "";
    $("notes").replaceChildren(...data.notes.map((textContent) => make("li", { textContent })));
    $("notes-section").hidden = data.notes.length === 0;
  }

  /* From one half on a label is more probably wrong than right. Where none is, show all. */
  state.threshold = p.some((value) => value >= 0.5) ? 50 : 0;
  restore();
  describe();
  const used = (labels) => [...new Set(labels)].sort((a, b) => a - b).map((label) => [label, classes[label]]);
  fill($("given"), [[NONE, "any"], ...used(given)], NONE);
  fill($("suggested"), [[NONE, "any"], ...used(suggested)], NONE);
  $("threshold").value = state.threshold;
  $("threshold-value").textContent = `${state.threshold} %`;
  $("tabs").replaceChildren(...TABS.map(({ id, title, rows: members }) => {
    const button = make("button", { type: "button", textContent: `${title} (${number(members.length)})` });
    button.dataset.tab = id;
    button.setAttribute("role", "tab");
    button.setAttribute("aria-controls", "panel");
    return button;
  }));
  document.body.classList.toggle("bare", !hasPictures);
  theme(system.matches);
  show();

  const again = (changes) => { Object.assign(state, { page: 0, current: null }, changes); show(); };
  const openTab = (id) => again({ tab: TABS.find((tab) => tab.id === id) });
  $("tabs").addEventListener("click", (event) => { const id = event.target.closest("[data-tab]")?.dataset.tab; if (id) openTab(id); });
  $("tabs").addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    openTab(TABS[(TABS.indexOf(state.tab) + step + TABS.length) % TABS.length].id);
    $("tabs").querySelector("[aria-selected=true]").focus();
    event.preventDefault();
  });
  $("given").addEventListener("change", (event) => again({ given: +event.target.value }));
  $("suggested").addEventListener("change", (event) => again({ suggested: +event.target.value }));
  $("decided").addEventListener("change", (event) => again({ decided: event.target.value }));
  $("length").addEventListener("change", (event) => again({ length: +event.target.value }));
  let waiting = null;
  $("threshold").addEventListener("input", (event) => {
    $("threshold-value").textContent = `${event.target.value} %`;
    state.threshold = +event.target.value;
    listed = filter();
    showSummary();
    clearTimeout(waiting);
    waiting = setTimeout(() => again({}), 120); /* cards follow once the slider rests */
  });
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("matrix").addEventListener("click", (event) => {
    const pair = event.target.closest("[data-pair]")?.dataset.pair;
    if (pair) choosePair(...pair.split(" ").map(Number));
  });
  $("grid").addEventListener("click", (event) => {
    const element = event.target.closest(".card");
    if (!element) return;
    const row = +element.dataset.row, button = event.target.closest("[data-action]");
    go(row, !event.target.closest("a"));
    if (button) act(row, button.dataset.action, +button.dataset.label);
  });
  $("grid").addEventListener("focusin", (event) => {
    const element = event.target.closest(".card");
    if (element && +element.dataset.row !== state.current) go(+element.dataset.row, false);
  });
  $("previous").addEventListener("click", () => { state.page--; state.current = null; showPage(); go(state.current); });
  $("next").addEventListener("click", () => { state.page++; state.current = null; showPage(); go(state.current); });
  $("accept").addEventListener("click", acceptPair);
  $("undo").addEventListener("click", undo);
  $("help").addEventListener("click", () => $("keys").showModal());
  $("keys-close").addEventListener("click", () => $("keys").close());
  $("confirm-no").addEventListener("click", () => $("confirm").close());
  $("download").addEventListener("click", download);
  $("load").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", async () => {
    const [file] = $("file").files;
    if (file) await load(file);
    $("file").value = "";
  });
  $("query").addEventListener("input", showOptions);
  $("query").addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && options.length) active = (active + step + options.length) % options.length;
    else if (event.key === "Enter") pick(active);
    else return;
    showActive();
    event.preventDefault();
  });
  $("options").addEventListener("click", (event) => pick([...$("options").children].indexOf(event.target.closest("li"))));
  $("finder-close").addEventListener("click", () => $("finder").close());
  $("theme").addEventListener("click", () => theme(document.documentElement.dataset.theme !== "dark"));
  system.addEventListener("change", () => theme(system.matches));
  document.addEventListener("keydown", onKey);
  addEventListener("storage", ({ key }) => { /* another tab has decided */
    if (key !== STORE) return;
    restore();
    for (const element of $("grid").querySelectorAll(".card")) showState(+element.dataset.row, element);
    showProgress();
  });
  new ResizeObserver(() => document.documentElement.style.setProperty("--bar", getComputedStyle($("controls")).position === "sticky" ? `${$("controls").offsetHeight}px` : "0px")).observe($("controls"));
  document.documentElement.dataset.ready = "yes";
})();
