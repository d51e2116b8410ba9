// The playground: what the user does, what is asked of the server, and what is said of the answer.

import { element, Plot } from "/plot.js";

const get = (id) => document.getElementById(id);
const MARGIN = 0.35; // how far outside the picture a point is let go to be deleted, in its units
const TWICE = 400; // milliseconds between two presses that delete a point
const SETTLED = 600; // milliseconds without a change before the answer is read out

const told = await (await fetch("/modes")).json();
const plot = new Plot(get("plot"), told.low, told.high);
const state = {
  key: "", mode: null, points: [], sliders: {}, axes: {}, kinds: [],
  selected: -1, cross: { x: 0, y: 0 }, past: [], answer: null, file: null,
};
const asking = { busy: false, wanted: false, moved: 0, number: 0 };
const latencies = [];
let drag = null;
let pressed = { n: -1, at: 0 };
let saying = 0;

// --- Asking ---

async function ask(path, question) {
  const answer = await fetch(path, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(question),
  });
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error);
  return found;
}

function question(refine = false) {
  return { mode: state.key, points: state.points, sliders: state.sliders, refine };
}

// Something has changed: ask for the newest state as soon as the last answer is there.
function changed(event) {
  get("nuts-said").textContent = "";
  plot.marks("nuts", []);
  showNuts(false);
  asking.wanted = true;
  asking.moved = event && event.type === "pointermove" ? event.timeStamp : 0;
  drawPoints();
  pump();
}

async function pump(refine = false) {
  if (asking.busy || !(asking.wanted || refine)) return;
  const { moved } = asking;
  const number = asking.number;
  asking.busy = true;
  asking.wanted = false;
  const waiting = setTimeout(() => { get("computed").textContent = "compiling ..."; }, SETTLED);
  try {
    const answer = await ask("/posterior", question(refine));
    if (number === asking.number) {
      state.answer = answer;
      show(answer);
      if (moved) painted(moved);
    }
  } catch (error) {
    if (number === asking.number) fail(error.message);
  }
  clearTimeout(waiting);
  asking.busy = false;
  say(summary);
  pump();
}

// Milliseconds from the move of the pointer that the picture shows to the frame in which it is painted.
function painted(moved) {
  requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => {
      latencies.push(performance.now() - moved);
      const latest = latencies.slice(-30).sort((a, b) => a - b);
      write(get("drawn"), `${latest[Math.floor(latest.length / 2)].toFixed(0)} ms`);
      get("drawn").dataset.all = latencies.slice(-500).map((ms) => ms.toFixed(1)).join(" ");
    };
    channel.port2.postMessage(0);
  });
}

// --- Showing ---

function show(answer) {
  plot.marks("posterior", answer.marks);
  const box = get("verdict");
  if (box.className !== `verdict ${answer.verdict}`) box.className = `verdict ${answer.verdict}`;
  write(get("badge"), answer.verdict);
  write(get("headline"), answer.headline);
  write(get("reasons"), answer.reasons[0] || "");
  get("refine").hidden = answer.verdict !== "untrusted";
  write(get("k-hat"), answer.k_hat.replace("-", "\u2212"));
  write(get("ess"), String(answer.ess));
  write(get("weighed"), ` of ${answer.num_weighed}`);
  write(get("computed"), duration(answer.seconds));
  table(answer.latents, null);
}

// Browsers lay out anew whatever is written to, changed or not.
function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function table(latents, byNuts) {
  const body = get("latents");
  const width = byNuts ? 6 : 4;
  if (body.rows.length !== latents.length || (body.rows.length && body.rows[0].cells.length !== width)) {
    body.replaceChildren(...latents.map(() => {
      const row = document.createElement("tr");
      row.append(document.createElement("th"));
      row.cells[0].scope = "row";
      for (let n = 1; n < width; n++) row.insertCell().className = n === 2 ? "number sd" : "number";
      return row;
    }));
  }
  latents.forEach((latent, n) => {
    const texts = [relabelled(latent.label), number(latent.mean), number(latent.sd), `${number(latent.low)} to ${number(latent.high)}`];
    if (byNuts) texts.push(number(byNuts[n].mean), number(byNuts[n].sd));
    texts.forEach((text, column) => write(body.rows[n].cells[column], text));
  });
}

// "mean of group A" with the name that the table gives to its first group.
function relabelled(label) {
  const found = /^mean of group (.)$/.exec(label);
  const place = found ? state.mode.kinds.indexOf(found[1]) : -1;
  return place >= 0 && state.kinds[place] ? `mean of group ${state.kinds[place]}` : label;
}

function number(value) {
  return value === null ? "?" : value.toFixed(2).replace(/^-0\.00$/, "0.00").replace("-", "\u2212");
}

function duration(seconds) {
  return seconds < 1 ? `${(1000 * seconds).toFixed(0)} ms` : `${seconds.toFixed(1)} s`;
}

function fail(message) {
  get("verdict").className = "verdict waiting";
  get("badge").textContent = "no answer";
  get("headline").textContent = "";
  get("reasons").textContent = message;
  plot.marks("posterior", []);
  table([], null);
}

function showNuts(shown) {
  for (const part of document.querySelectorAll(".by-nuts")) part.hidden = !shown;
}

function drawPoints() {
  plot.points(state.points, state.selected, state.mode, document.activeElement === get("plot") && state.cross);
  const one = state.points[state.selected];
  get("remove").disabled = !one;
  get("kind").disabled = !one;
  get("undo").disabled = !state.past.length;
  get("add").disabled = state.points.length >= told.most;
  get("plot").setAttribute("aria-label", `${state.mode.title}: ${state.points.length} points. ${one ? describe(state.selected) : "None is chosen."}`);
}

function describe(n) {
  const point = state.points[n];
  const outer = (axis, value) => (state.axes[axis] ? state.axes[axis].loc + state.axes[axis].scale * value : value);
  const places = state.mode.x_label === "group" ? [] : [`${plotLabel("x")} ${number(outer("x", point.x))}`];
  if (state.mode.y_label) places.push(`${plotLabel("y")} ${number(outer("y", point.y))}`);
  const kind = state.mode.kinds.length > 1 ? `, ${state.kinds[point.kind] ?? state.mode.kinds[point.kind]}` : "";
  return `Point ${n + 1} of ${state.points.length}${kind}: ${places.join(", ")}.`;
}

function plotLabel(axis) {
  return state.axes[axis] ? state.axes[axis].label : state.mode[`${axis}_label`];
}

// Read out by a screen reader once nothing has changed for a while.
function say(words) {
  clearTimeout(saying);
  saying = setTimeout(() => { get("live").textContent = words(); }, SETTLED);
}

function summary() {
  const chosen = state.selected >= 0 ? `${describe(state.selected)} ` : "";
  if (!state.answer) return `${chosen}${get("reasons").textContent}`;
  const latents = state.answer.latents.slice(0, 3).map((latent) =>
    `${relabelled(latent.label)} ${number(latent.mean)}, from ${number(latent.low)} to ${number(latent.high)}`);
  return `${chosen}Posterior ${state.answer.verdict}, k-hat ${state.answer.k_hat}. ${latents.join("; ")}.`;
}

function legend() {
  const samples = {
    line: [["band", "line, middle 90%"], ["faint", "new points, middle 90%"]],
    classes: [["one", "first class, circles"], ["other", "second class, squares"], ["draw", "borders that are drawn"]],
    mixture: [["band", "density, middle 90%"], ["part", "each component"]],
    groups: [["upright", "group mean, middle 90%"], ["average", "mean of its own points"], ["part", "population mean"]],
  }[state.key];
  samples.push(["by-nuts", "the same by NUTS"]);
  get("legend").replaceChildren(...samples.map(([kind, words]) => {
    const line = document.createElement("li");
    const sample = element("svg", { class: "picture", viewBox: "0 0 26 12", "aria-hidden": "true" });
    const fills = ["band", "faint", "one", "other"].includes(kind);
    sample.append(fills
      ? element("rect", { class: `sample ${kind}`, width: 26, height: 12 })
      : element("line", { class: `sample ${kind}`, x1: 2, x2: 24, y1: 6, y2: 6 }));
    line.append(sample, words);
    if (kind === "by-nuts") line.className = kind;
    return line;
  }));
  showNuts(false);
}

// --- Changing ---

function remember() {
  state.past.push(JSON.stringify(state.points));
  state.past = state.past.slice(-100);
}

function clamp(value) {
  return Math.min(told.high, Math.max(told.low, value));
}

// A point at a place, as the mode allows it.
function fitted(place, kind) {
  const point = { x: clamp(place.x), y: clamp(place.y), kind };
  const groups = state.mode.kinds.length;
  if (state.mode.x_label === "group") {
    const share = (point.x - told.low) / (told.high - told.low);
    point.kind = Math.min((state.kinds.length || groups) - 1, Math.floor(share * groups));
  }
  if (!state.mode.y_label) point.y = told.low + 0.2;
  return point;
}

function add(place) {
  if (state.points.length >= told.most) return;
  remember();
  const like = state.points[state.selected];
  const kind = like ? like.kind : state.mode.columns.includes("class") ? leastSeen() : 0;
  state.points.push(fitted(place, kind));
  state.selected = state.points.length - 1;
  changed();
}

function leastSeen() {
  const ones = state.points.filter((point) => point.kind === 1).length;
  return ones * 2 < state.points.length ? 1 : 0;
}

function remove(n) {
  if (!state.points[n]) return;
  remember();
  state.points.splice(n, 1);
  state.selected = Math.min(n, state.points.length - 1);
  changed();
}

function move(n, x, y, event) {
  state.points[n] = fitted({ x, y }, state.points[n].kind);
  changed(event);
}

function otherKind() {
  const point = state.points[state.selected];
  if (!point || state.mode.kinds.length < 2) return;
  remember();
  const most = state.kinds.length || state.mode.kinds.length;
  const kind = (point.kind + 1) % most;
  const x = state.mode.x_label === "group" ? told.low + ((kind + 0.5) / state.mode.kinds.length) * (told.high - told.low) : point.x;
  state.points[state.selected] = { ...point, x, kind };
  changed();
}

function undo() {
  if (!state.past.length) return;
  state.points = JSON.parse(state.past.pop());
  state.selected = Math.min(state.selected, state.points.length - 1);
  changed();
}

function choose(n) {
  state.selected = state.points.length ? (n + state.points.length) % state.points.length : -1;
  drawPoints();
  say(() => (state.selected < 0 ? "There are no points." : describe(state.selected)));
}

function open(key) {
  state.key = key;
  state.mode = told.modes[key];
  Object.assign(state, { points: structuredClone(state.mode.points), axes: {}, kinds: [...state.mode.kinds] });
  Object.assign(state, { selected: -1, past: [], answer: null, file: null });
  state.sliders = Object.fromEntries(state.mode.sliders.map((slider) => [slider.name, slider.value]));
  asking.number += 1;
  for (const button of get("modes").children) button.setAttribute("aria-pressed", button.dataset.key === key);
  get("hint").textContent = state.mode.hint;
  get("kind").hidden = state.mode.kinds.length < 2;
  get("kind").textContent = state.mode.x_label === "group" ? "Next group" : "Other class";
  get("table-said").textContent = "";
  get("roles").replaceChildren();
  get("file").value = "";
  get("verdict").className = "verdict waiting";
  get("badge").textContent = "...";
  get("headline").textContent = "Compiling: a few seconds the first time.";
  get("reasons").textContent = "";
  plot.marks("posterior", []);
  plot.axes(state.mode, state.axes, state.kinds);
  sliders();
  legend();
  changed();
}

// Sliders run over logarithms, in 1000 steps.
function sliders() {
  get("sliders").replaceChildren(...state.mode.sliders.map((slider) => {
    const label = document.createElement("label");
    const input = document.createElement("input");
    const shown = document.createElement("output");
    const range = Math.log(slider.high / slider.low);
    Object.assign(input, { type: "range", min: 0, max: 1000, step: 1 });
    input.value = Math.round((1000 * Math.log(slider.value / slider.low)) / range);
    input.dataset.name = slider.name;
    label.htmlFor = input.id = `slider-${slider.name}`; // or the output, which may have a label too, would take it
    const told = () => {
      shown.textContent = state.sliders[slider.name].toPrecision(2);
      input.setAttribute("aria-valuetext", shown.textContent);
    };
    input.addEventListener("input", () => {
      const value = slider.low * Math.exp((range * input.value) / 1000);
      state.sliders[slider.name] = Math.min(slider.high, Math.max(slider.low, value));
      told();
      changed();
    });
    label.className = "slider";
    label.append(slider.label, shown, input);
    told();
    return label;
  }));
}

// --- Pointer and keys ---

get("plot").addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  const place = plot.place(event);
  const near = nearest(event);
  if (near < 0 && !plot.contains(place)) return;
  const again = near >= 0 && near === pressed.n && event.timeStamp - pressed.at < TWICE;
  pressed = { n: near, at: event.timeStamp };
  if (again) return remove(near); // `dblclick` would not come: the point that it began on is drawn anew
  if (near < 0) add(place);
  else {
    remember();
    state.selected = near;
    drawPoints();
  }
  drag = { n: state.selected, outside: false };
  get("plot").setPointerCapture(event.pointerId);
});

function nearest(event) {
  const box = get("plot").getBoundingClientRect();
  const reach = event.pointerType === "touch" ? 24 : 12;
  let [best, found] = [reach, -1];
  state.points.forEach((point, n) => {
    const away = Math.hypot(plot.across(point.x) - (event.clientX - box.left), plot.up(point.y) - (event.clientY - box.top));
    if (away <= best) [best, found] = [away, n];
  });
  return found;
}

get("plot").addEventListener("pointermove", (event) => {
  if (!drag) return;
  const place = plot.place(event);
  const off = (value) => value < told.low - MARGIN || value > told.high + MARGIN;
  drag.outside = off(place.x) || off(place.y);
  move(drag.n, place.x, place.y, event);
});

get("plot").addEventListener("pointerup", () => {
  if (drag && drag.outside) remove(drag.n);
  drag = null;
});
get("plot").addEventListener("pointercancel", () => { drag = null; });
for (const kind of ["focus", "blur"]) get("plot").addEventListener(kind, drawPoints);

get("plot").addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const point = state.points[state.selected];
  const step = event.shiftKey ? 0.5 : 0.1;
  const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
  const does = {
    n: () => choose(state.selected + 1),
    p: () => choose(state.selected < 0 ? -1 : state.selected - 1),
    a: () => add(point ? { x: point.x + 0.3, y: point.y + 0.3 } : state.cross),
    c: otherKind,
    u: undo,
    delete: () => remove(state.selected),
    backspace: () => remove(state.selected),
    escape: () => { state.selected = -1; drawPoints(); },
  }[event.key.toLowerCase()];
  if (event.key in moves) {
    const [x, y] = moves[event.key];
    if (point && state.mode.x_label === "group" && x) stepGroup(Math.sign(x));
    else if (point) {
      if (!event.repeat) remember();
      move(state.selected, point.x + x, point.y + y);
    } else {
      state.cross = { x: clamp(state.cross.x + x), y: clamp(state.cross.y + y) };
      drawPoints();
      say(() => `Place ${number(state.cross.x)}, ${number(state.cross.y)}; A adds a point here.`);
    }
  } else if (does) does();
  else return;
  event.preventDefault();
});

function stepGroup(by) {
  const point = state.points[state.selected];
  const width = (told.high - told.low) / state.mode.kinds.length;
  remember();
  move(state.selected, point.x + by * width, point.y);
}

// --- Buttons, NUTS, tables ---

get("add").addEventListener("click", () => {
  const spread = () => (told.high - told.low) * (0.15 + 0.7 * Math.random()) + told.low;
  add({ x: spread(), y: spread() });
});
get("remove").addEventListener("click", () => remove(state.selected));
get("kind").addEventListener("click", otherKind);
get("undo").addEventListener("click", undo);
get("reset").addEventListener("click", () => open(state.key));
get("refine").addEventListener("click", () => {
  get("headline").textContent = "Chains are going on from here ...";
  pump(true);
});

get("nuts").addEventListener("click", async () => {
  const [asked, before] = [JSON.stringify(question()), state.answer];
  if (!before) return;
  get("nuts").disabled = true;
  get("nuts-said").textContent = "NUTS is compiling and running; dragging waits for it.";
  try {
    const found = await ask("/nuts", question());
    if (asked === JSON.stringify(question())) {
      const doubt = found.converged ? "" : " It has not converged, and is no reference.";
      const ours = `Posterity ${duration(before.first_seconds)} with its own, ${duration(before.seconds)} now`;
      get("nuts-said").textContent = `NUTS ${duration(found.seconds)} with its compilation; ${ours}. NUTS has R-hat ` +
        `${found.max_r_hat === null ? "?" : found.max_r_hat.toFixed(3)} and ESS ${found.min_ess}.${doubt}`;
      showNuts(true);
      plot.marks("nuts", found.marks.filter((mark) => mark.mark !== "heat")); // it would hide ours
      table(state.answer.latents, found.latents);
    } else get("nuts-said").textContent = "The points have changed meanwhile; ask again.";
  } catch (error) {
    get("nuts-said").textContent = error.message;
  }
  get("nuts").disabled = false;
});

get("file").addEventListener("change", async () => {
  const [file] = get("file").files;
  if (!file) return;
  if (file.size > 1_900_000) return tell(`${file.name}: ${file.size} bytes are more than this page takes, 1.9 MB.`);
  state.file = { name: file.name, text: await file.text() };
  await load({});
});

function tell(words, bad = true) {
  get("table-said").textContent = words;
  get("table-said").classList.toggle("bad", bad);
}

async function load(chosen) {
  try {
    const found = await ask("/table", { mode: state.key, ...state.file, chosen });
    remember();
    Object.assign(state, { points: found.points, axes: found.axes, selected: -1, answer: null });
    state.kinds = found.kinds;
    plot.axes(state.mode, state.axes, state.kinds);
    roles(found);
    tell(`${state.file.name}: ${found.remark}`, false);
    changed();
  } catch (error) {
    tell(error.message);
  }
}

function roles(found) {
  get("roles").replaceChildren(...Object.entries(found.columns).map(([role, columns]) => {
    const label = document.createElement("label");
    const select = document.createElement("select");
    select.append(...columns.map((column) => new Option(column, column, false, column === found.chosen[role])));
    select.addEventListener("change", () => {
      const chosen = Object.fromEntries([...get("roles").querySelectorAll("select")].map((one) => [one.dataset.role, one.value]));
      load(chosen);
    });
    select.dataset.role = role;
    label.append(`${role} `, select);
    return label;
  }));
}

// --- Start ---

get("modes").append(...Object.entries(told.modes).map(([key, mode]) => {
  const button = document.createElement("button");
  Object.assign(button, { type: "button", textContent: mode.title });
  button.dataset.key = key;
  button.addEventListener("click", () => open(key));
  return button;
}));
new ResizeObserver(() => {
  plot.measure();
  if (!state.mode) return;
  plot.axes(state.mode, state.axes, state.kinds);
  if (state.answer) plot.marks("posterior", state.answer.marks);
  plot.marks("nuts", []);
  drawPoints();
}).observe(get("plot"));
open(Object.keys(told.modes)[0]);
