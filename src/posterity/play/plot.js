// The picture: marks of a posterior, points, axes. Units of the picture run from `low` to `high` on both axes.

const SVG = "http://www.w3.org/2000/svg";
const EDGE = { left: 44, right: 10, top: 10, bottom: 40 };

export function element(name, attributes = {}, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}

// Round numbers between two ends: multiples of 1, 2 or 5 times a power of ten.
function ticks(low, high, most) {
  let step = 10 ** Math.floor(Math.log10((high - low) / most));
  step *= [1, 2, 5, 10].find((factor) => (high - low) / (factor * step) <= most);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(k * step);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return found.map((value) => [value, (Math.abs(value) < step / 2 ? 0 : value).toFixed(digits).replace("-", "\u2212")]);
}

export class Plot {
  constructor(svg, low, high) {
    this.svg = svg;
    this.low = low;
    this.high = high;
    this.layers = {};
    const inside = element("clipPath", { id: "inside" });
    this.clip = inside.appendChild(element("rect"));
    svg.append(element("defs"));
    svg.firstChild.append(inside);
    for (const name of ["posterior", "axes", "nuts", "points"]) {
      const clipped = name === "axes" ? {} : { "clip-path": "url(#inside)" };
      this.layers[name] = svg.appendChild(element("g", { class: name, "aria-hidden": "true", ...clipped }));
    }
    this.measure();
  }

  measure() {
    const box = this.svg.getBoundingClientRect();
    this.width = Math.max(box.width, 120);
    this.height = Math.max(box.height, 120);
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
    this.clip.setAttribute("x", EDGE.left);
    this.clip.setAttribute("y", EDGE.top);
    this.clip.setAttribute("width", this.width - EDGE.left - EDGE.right);
    this.clip.setAttribute("height", this.height - EDGE.top - EDGE.bottom);
  }

  across(x) {
    return EDGE.left + ((x - this.low) / (this.high - this.low)) * (this.width - EDGE.left - EDGE.right);
  }

  up(y) {
    return this.height - EDGE.bottom - ((y - this.low) / (this.high - this.low)) * (this.height - EDGE.top - EDGE.bottom);
  }

  // Place of a pointer in units of the picture.
  place(event) {
    const box = this.svg.getBoundingClientRect();
    const across = (event.clientX - box.left - EDGE.left) / (this.width - EDGE.left - EDGE.right);
    const up = (this.height - EDGE.bottom - (event.clientY - box.top)) / (this.height - EDGE.top - EDGE.bottom);
    const size = this.high - this.low;
    return { x: this.low + across * size, y: this.low + up * size };
  }

  contains(place) {
    return [place.x, place.y].every((value) => value >= this.low && value <= this.high);
  }

  axes(mode, axes, kinds) {
    const parts = [];
    const floor = this.height - EDGE.bottom;
    parts.push(element("line", { class: "axis", x1: EDGE.left, x2: this.width - EDGE.right, y1: floor, y2: floor }));
    const most = Math.max(2, Math.floor(this.width / 90));
    const label = (axis, fallback) => (axes[axis] ? axes[axis].label : fallback);
    if (mode.x_label === "group") {
      kinds.forEach((kind, n) => {
        const place = this.low + ((n + 0.5) / mode.kinds.length) * (this.high - this.low);
        const name = kind.length > 9 ? `${kind.slice(0, 8)}\u2026` : kind;
        parts.push(element("text", { class: "tick", x: this.across(place), y: floor + 16, "text-anchor": "middle" }, name));
      });
    } else {
      for (const [value, text] of this.ticks(axes.x, most))
        parts.push(element("text", { class: "tick", x: this.across(value), y: floor + 16, "text-anchor": "middle" }, text));
    }
    const middle = (EDGE.left + this.width - EDGE.right) / 2;
    parts.push(element("text", { class: "label", x: middle, y: this.height - 6, "text-anchor": "middle" }, label("x", mode.x_label)));
    if (mode.y_label) {
      for (const [value, text] of this.ticks(axes.y, 6)) {
        const y = this.up(value);
        parts.push(element("line", { class: "grid", x1: EDGE.left, x2: this.width - EDGE.right, y1: y, y2: y }));
        parts.push(element("text", { class: "tick", x: EDGE.left - 6, y: y + 4, "text-anchor": "end" }, text));
      }
      const turned = element("g", { transform: `translate(11 ${(EDGE.top + floor) / 2}) rotate(-90)` });
      turned.append(element("text", { class: "label", "text-anchor": "middle" }, label("y", mode.y_label)));
      parts.push(turned);
    }
    this.layers.axes.replaceChildren(...parts);
  }

  // Ticks of an axis, at places in units of the picture, with numbers of the table if there is one.
  ticks(axis, most) {
    const { loc, scale } = axis || { loc: 0, scale: 1 };
    return ticks(loc + scale * this.low, loc + scale * this.high, most).map(([v, text]) => [(v - loc) / scale, text]);
  }

  marks(layer, marks) {
    const made = marks.flatMap((mark) => this[`_${mark.mark}`](mark));
    const place = this.layers[layer];
    const kept = made[0] === place.firstChild ? 1 : 0; // a map that is in its place stays there
    while (place.childNodes.length > kept) place.lastChild.remove();
    place.append(...made.slice(kept));
  }

  points(points, selected, mode, cross) {
    const parts = [];
    if (mode.x_label === "group") parts.push(...this._averages(points, mode));
    const size = points.length > 60 ? 4 : matchMedia("(pointer: coarse)").matches ? 8 : 6.5;
    points.forEach((point, n) => {
      const x = this.across(point.x);
      const y = this.up(point.y);
      const two = mode.columns.includes("class");
      const kind = two ? `point kind-${point.kind}` : mode.x_label === "group" ? "point group" : "point";
      const square = { x: x - size, y: y - size, width: 2 * size, height: 2 * size };
      const shape = two && point.kind === 1 ? element("rect", square) : element("circle", { cx: x, cy: y, r: size });
      shape.setAttribute("class", kind);
      shape.dataset.number = n;
      parts.push(shape);
      if (n === selected) parts.push(element("circle", { class: "ring", cx: x, cy: y, r: size + 6 }));
    });
    if (cross && selected < 0) {
      const [x, y] = [this.across(cross.x), this.up(cross.y)];
      parts.push(element("line", { class: "cross", x1: x - 14, x2: x + 14, y1: y, y2: y }));
      parts.push(element("line", { class: "cross", x1: x, x2: x, y1: y - 14, y2: y + 14 }));
    }
    this.layers.points.replaceChildren(...parts);
  }

  // What each group's points alone would say: the distance to the posterior is its shrinkage.
  _averages(points, mode) {
    const parts = [];
    for (let group = 0; group < mode.kinds.length; group++) {
      const own = points.filter((point) => point.kind === group).map((point) => point.y);
      if (!own.length) continue;
      const y = this.up(own.reduce((a, b) => a + b) / own.length);
      const x = this.across(this.low + ((group + 0.5) / mode.kinds.length) * (this.high - this.low));
      parts.push(element("line", { class: "average", x1: x - 16, x2: x + 16, y1: y, y2: y }));
    }
    return parts;
  }

  _path(xs, ys) {
    return xs.map((x, n) => `${this.across(x).toFixed(1)},${this.up(ys[n]).toFixed(1)}`).join(" ");
  }

  _line({ x, y, kind }) {
    return [element("polyline", { class: kind, points: this._path(x, y) })];
  }

  _band({ x, low, high, kind }) {
    const [xs, ys] = [[...x, ...[...x].reverse()], [...low, ...[...high].reverse()]];
    return [element("polygon", { class: kind, points: this._path(xs, ys) })];
  }

  _upright({ x, low, high }) {
    return x.map((at, n) => {
      const place = this.across(at);
      return element("line", { class: "upright", x1: place, x2: place, y1: this.up(low[n]), y2: this.up(high[n]) });
    });
  }

  _dots({ x, y }) {
    return x.map((at, n) => element("circle", { class: "middle", cx: this.across(at), cy: this.up(y[n]), r: 6 }));
  }

  // Chance of the second class, as two tints that fade where nobody knows.
  _heat({ values, side }) {
    const cells = this._cells(side); // kept, since hundreds of new ones take longer than the posterior
    values.forEach((value, n) => {
      const kind = `heat ${value > 0.5 ? "other" : "one"}`;
      const opacity = (Math.abs(value - 0.5) * 0.7).toFixed(2);
      if (cells[n].getAttribute("class") !== kind) cells[n].setAttribute("class", kind);
      if (cells[n].getAttribute("fill-opacity") !== opacity) cells[n].setAttribute("fill-opacity", opacity);
    });
    return [this.map.group];
  }

  _cells(side) {
    const size = `${side} ${this.width} ${this.height}`;
    if (this.map?.size !== size) {
      const [width, height] = [this.across(this.high) - this.across(this.low), this.up(this.low) - this.up(this.high)];
      const cells = Array.from({ length: side * side }, (_, n) => element("rect", {
        x: this.across(this.low) + ((n % side) * width) / side,
        y: this.up(this.low) - ((Math.floor(n / side) + 1) * height) / side,
        width: width / side,
        height: height / side,
      }));
      const group = element("g");
      group.append(...cells);
      this.map = { size, cells, group };
    }
    return this.map.cells;
  }
}
