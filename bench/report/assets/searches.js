"use strict";
/* Parallel coordinates of the configurations that searches tried. */
(() => {
  const searches = JSON.parse(document.getElementById("search-data").textContent);
  const $ = (id) => document.getElementById(id);
  const HEIGHT = 300, TOP = 46, BOTTOM = 24, SIDE = 70, STEP = 150, WIDE = 20;
  const make = (name, attributes, text) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const short = (value) => (typeof value === "number" ? String(+value.toPrecision(3)) : String(value));

  /* Places of an axis, from 0 at the bottom to 1: numbers, their logarithms where they span a wide range, or texts. */
  function scale({ values }) {
    const known = values.filter((value) => value !== null);
    if (known.some((value) => typeof value === "string")) {
      const texts = [...new Set(known)].sort();
      const place = (value) => (texts.length > 1 ? texts.indexOf(value) / (texts.length - 1) : 0.5);
      return { place, ticks: texts };
    }
    const low = Math.min(...known), high = Math.max(...known);
    const log = low > 0 && high / low > WIDE;
    const on = log ? Math.log : (value) => value;
    const place = (value) => (high > low ? (on(value) - on(low)) / (on(high) - on(low)) : 0.5);
    const middle = log ? Math.sqrt(low * high) : (low + high) / 2;
    return { place, ticks: high > low ? [low, middle, high] : [low] };
  }

  let ranges = new Map(); /* axis -> [from, to], in places */

  function show() {
    const search = searches[+$("search").value];
    const { axes, labels, places, picked } = search;
    const scales = axes.map(scale);
    const x = (n) => SIDE + n * STEP, y = (place) => TOP + (1 - place) * (HEIGHT - TOP - BOTTOM);
    const width = 2 * SIDE + (axes.length - 1) * STEP;
    const svg = make("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": `Configurations of ${search.title}` });
    const count = labels.length;
    const near = (n, place) => { const range = ranges.get(n); return !range || (place >= range[0] - 1e-9 && place <= range[1] + 1e-9); };
    const isIn = (c) => axes.every(({ values }, n) => values[c] === null ? !ranges.has(n) : near(n, scales[n].place(values[c])));
    /* The best by noisy validation are drawn last, on top. */
    const order = [...Array(count).keys()].sort((a, b) => places[b] - places[a]);
    let inside = 0;
    for (const c of order) {
      const points = axes.map(({ values }, n) => (values[c] === null ? null : `${x(n)},${y(scales[n].place(values[c])).toFixed(1)}`)).filter(Boolean);
      const all = isIn(c);
      inside += all;
      const line = make("polyline", { points: points.join(" "), class: `configuration${c === picked ? " picked" : ""}${all ? "" : " outside"}`, "data-c": c });
      if (c !== picked) line.style.setProperty("--rank", (1 - places[c] / Math.max(1, count - 1)).toFixed(3));
      svg.append(line);
    }
    axes.forEach(({ name, note }, n) => {
      svg.append(make("line", { x1: x(n), x2: x(n), y1: y(1), y2: y(0), class: "axis" }));
      svg.append(make("text", { x: x(n), y: 14, class: "name" }, name), make("text", { x: x(n), y: 29, class: "note" }, note));
      for (const tick of scales[n].ticks) svg.append(make("text", { x: x(n) + 5, y: y(scales[n].place(tick)) + 4, class: "tick" }, short(tick)));
      const range = ranges.get(n);
      if (range) svg.append(make("rect", { x: x(n) - 6, width: 12, y: y(range[1]), height: y(range[0]) - y(range[1]), class: "range" }));
      svg.append(make("rect", { x: x(n) - 12, width: 24, y: y(1), height: y(0) - y(1), class: "grip", "data-axis": n }));
    });
    $("parallel").replaceChildren(svg);
    const chosen = ranges.size ? `${inside} of ${count} configurations are in the ranges. ` : `${count} configurations. `;
    tell(chosen + describe(search, picked));
    $("all-configurations").hidden = !ranges.size;
  }

  const describe = ({ axes, labels, picked }, c) => {
    const [value, test] = axes.slice(-2).map(({ name, values }) => `${name.replace(" (%)", "")} ${values[c] === null ? "–" : values[c].toFixed(1)} %`);
    return `${c === picked ? "Pick" : "Configuration"}: ${labels[c]}; ${value}, ${test}.`;
  };
  const tell = (text) => { $("configuration").textContent = text; };

  $("parallel").addEventListener("pointerover", (event) => {
    const line = event.target.closest("[data-c]");
    for (const other of $("parallel").querySelectorAll(".focus")) other.classList.remove("focus");
    if (!line) return;
    line.classList.add("focus");
    tell(describe(searches[+$("search").value], +line.dataset.c));
  });
  /* A drag along an axis chooses a range, a press without one takes it back. */
  $("parallel").addEventListener("pointerdown", (event) => {
    const grip = event.target.closest("[data-axis]");
    if (!grip) return;
    event.preventDefault();
    const box = grip.getBoundingClientRect(), axis = +grip.dataset.axis;
    /* An end is hard to hit: near it, the range goes to it. */
    const place = (at) => { const p = 1 - (at.clientY - box.top) / box.height; return p > 0.97 ? 1 : p < 0.03 ? 0 : p; };
    const from = place(event);
    const choose = (at) => {
      const to = place(at);
      if (Math.abs(to - from) < 0.02) ranges.delete(axis);
      else ranges.set(axis, [Math.min(from, to), Math.max(from, to)]);
      show();
    };
    const end = (at) => { choose(at); removeEventListener("pointermove", choose); removeEventListener("pointerup", end); };
    addEventListener("pointermove", choose);
    addEventListener("pointerup", end);
  });
  $("all-configurations").addEventListener("click", () => { ranges = new Map(); show(); });
  $("search").replaceChildren(...searches.map(({ title }, value) => Object.assign(document.createElement("option"), { value, textContent: title })));
  $("search").addEventListener("change", () => { ranges = new Map(); show(); });
  show();
})();
