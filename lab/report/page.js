"use strict";
const NS = "http://www.w3.org/2000/svg";
const colour = i => `var(--c${((i % 8) + 8) % 8})`;
const el = (tag, attrs = {}, parent, text) => {
  const e = document.createElementNS(NS, tag);
  for (const k in attrs) e.setAttribute(k, attrs[k]);
  if (text !== undefined) e.textContent = text;
  if (parent) parent.append(e);
  return e;
};
const html = (tag, cls, parent, text) => {
  const e = document.createElement(tag);
  if (cls) e.className = cls;
  if (text !== undefined) e.textContent = text;
  if (parent) parent.append(e);
  return e;
};
const short = v => {
  if (v === null || v === undefined) return "–";
  const a = Math.abs(v);
  if (a !== 0 && (a < 1e-3 || a >= 1e5)) return v.toExponential(1);
  return String(+v.toPrecision(4));
};
const value = (f, v) => v === null || v === undefined ? "–" : f.percent ? (100 * v).toFixed(2) + " %" : short(v);
const spread = (f, v) => f.percent ? (100 * v).toFixed(2) : short(v);
const xname = (f, x) => f.xnames ? f.xnames[x] : short(x);

function ticks(lo, hi, n) {
  const raw = (hi - lo) / n, mag = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(m => m * mag).find(s => s >= raw * 0.999);
  const out = [];
  for (let t = Math.ceil(lo / step - 1e-9) * step; t <= hi + step * 1e-9; t += step) out.push(+t.toPrecision(12));
  return out;
}

function drawFigure(f) {
  const box = document.getElementById(f.id);
  const W = 560, H = 330, L = 62, R = 14, T = 12, B = 46;
  const hidden = new Set();
  const svg = el("svg", { viewBox: `0 0 ${W} ${H}` });
  box.append(svg);
  const tip = html("div", "tip", box);
  tip.hidden = true;
  let view;

  function draw() {
    svg.replaceChildren();
    const shown = f.series.filter((_, i) => !hidden.has(i));
    const ok = v => v !== null && v !== undefined && (!f.logy || v > 0);
    const xs = f.series.flatMap(s => s.x), ys = [];
    for (const s of shown) s.y.forEach((v, i) => {
      if (!ok(v)) return;
      ys.push(v);
      const e = s.err && s.err[i];
      if (e && !f.logy) ys.push(v - e, v + e);
    });
    if (!ys.length) { el("text", { x: W / 2, y: H / 2, "text-anchor": "middle" }, svg, "nothing is shown"); view = null; return; }
    let x0 = Math.min(...xs), x1 = Math.max(...xs), y0 = Math.min(...ys), y1 = Math.max(...ys);
    if (x0 === x1) { x0 -= 1; x1 += 1; }
    if (f.xnames) { x0 -= 0.5; x1 += 0.5; }
    if (f.logy) { y0 = Math.log10(y0); y1 = Math.log10(y1); }
    const pad = (y1 - y0) * 0.06 || Math.abs(y1) * 0.1 || 1;
    const floor = y0;
    y0 -= pad; y1 += pad;
    if (!f.logy && floor >= 0 && y0 < 0) y0 = 0;
    const X = x => L + (x - x0) / (x1 - x0) * (W - L - R);
    const Y = y => H - B - ((f.logy ? Math.log10(y) : y) - y0) / (y1 - y0) * (H - T - B);
    view = { X, Y, ok };

    const yt = f.logy ? ticks(y0, y1, 5).filter(Number.isInteger).map(t => 10 ** t) : ticks(y0, y1, 5);
    for (const t of yt) {
      el("line", { class: "grid", x1: L, x2: W - R, y1: Y(t), y2: Y(t) }, svg);
      el("text", { x: L - 7, y: Y(t) + 4, "text-anchor": "end" }, svg, f.percent ? +(100 * t).toFixed(2) + " %" : short(t));
    }
    const xt = f.xnames ? f.xnames.map((_, i) => i).filter(i => i % Math.ceil(f.xnames.length / 12) === 0) : ticks(x0, x1, 6);
    for (const t of xt) {
      el("line", { class: "grid", x1: X(t), x2: X(t), y1: T, y2: H - B }, svg);
      let name = xname(f, t);
      const room = f.xnames ? Math.max(3, Math.floor((W - L - R) / xt.length / 6.4)) : 99;
      if (name.length > room) name = name.slice(0, room - 1) + "…";
      el("text", { x: X(t), y: H - B + 18, "text-anchor": "middle" }, svg, name);
    }
    el("line", { class: "axis", x1: L, x2: W - R, y1: H - B, y2: H - B }, svg);
    el("text", { x: (L + W - R) / 2, y: H - 8, "text-anchor": "middle" }, svg, f.xlabel);
    el("text", { x: 14, y: (T + H - B) / 2, "text-anchor": "middle", transform: `rotate(-90 14 ${(T + H - B) / 2})` }, svg, f.ylabel);

    f.series.forEach((s, i) => {
      if (hidden.has(i)) return;
      const c = colour(s.colour);
      if (s.err && !f.logy && !f.points) {
        const up = [], down = [];
        s.x.forEach((x, k) => { if (ok(s.y[k])) { up.push(`${X(x)},${Y(s.y[k] + (s.err[k] || 0))}`); down.unshift(`${X(x)},${Y(s.y[k] - (s.err[k] || 0))}`); } });
        el("polygon", { points: up.concat(down).join(" "), fill: c, opacity: 0.14 }, svg);
      }
      let d = "", open = false;
      s.x.forEach((x, k) => {
        if (!ok(s.y[k])) { open = false; return; }
        d += (open ? "L" : "M") + X(x).toFixed(2) + " " + Y(s.y[k]).toFixed(2);
        open = true;
      });
      if (!f.points) el("path", { d, fill: "none", stroke: c, "stroke-width": 2, "stroke-dasharray": s.dashed ? "6 4" : "none", "stroke-linejoin": "round" }, svg);
      if (f.points || s.x.length < 15) s.x.forEach((x, k) => {
        if (!ok(s.y[k])) return;
        if (f.points && s.err && s.err[k]) el("line", { x1: X(x), x2: X(x), y1: Y(s.y[k] - s.err[k]), y2: Y(s.y[k] + s.err[k]), stroke: c, "stroke-width": 2 }, svg);
        el("circle", { cx: X(x), cy: Y(s.y[k]), r: f.points ? 4.5 : 3, fill: s.dashed ? "var(--panel)" : c, stroke: c, "stroke-width": 1.5 }, svg);
      });
    });
  }

  function point(ev) {
    if (!view) return;
    const r = svg.getBoundingClientRect(), px = (ev.clientX - r.left) * W / r.width;
    let best = null;
    f.series.forEach((s, i) => { if (!hidden.has(i)) s.x.forEach(x => { const d = Math.abs(view.X(x) - px); if (!best || d < best.d) best = { d, x }; }); });
    if (!best) return;
    svg.querySelectorAll(".cross").forEach(e => e.remove());
    el("line", { class: "cross", x1: view.X(best.x), x2: view.X(best.x), y1: T, y2: H - B }, svg);
    tip.replaceChildren();
    html("b", "", tip, `${f.xlabel}: ${xname(f, best.x)}`);
    const rows = [];
    f.series.forEach((s, i) => {
      const k = s.x.indexOf(best.x);
      if (hidden.has(i) || k < 0) return;
      rows.push({ s, k });
    });
    rows.sort((a, b) => (b.s.y[b.k] ?? -Infinity) - (a.s.y[a.k] ?? -Infinity));
    for (const { s, k } of rows) {
      const line = html("div", "", tip);
      const dot = html("span", "", line, "● ");
      dot.style.color = colour(s.colour);
      line.append(`${s.name}: ${value(f, s.y[k])}` + (s.err && s.err[k] ? ` ± ${spread(f, s.err[k])}` : ""));
    }
    tip.hidden = false;
    const at = view.X(best.x) / W * r.width;
    tip.style.left = Math.min(Math.max(0, at + 12 + tip.offsetWidth > r.width ? at - tip.offsetWidth - 12 : at + 12), Math.max(0, r.width - tip.offsetWidth)) + "px";
    tip.style.top = "8px";
  }
  svg.addEventListener("pointermove", point);
  svg.addEventListener("pointerdown", point);
  svg.addEventListener("pointerleave", () => { tip.hidden = true; svg.querySelectorAll(".cross").forEach(e => e.remove()); });

  const legend = html("div", "legend", box);
  f.series.forEach((s, i) => {
    const b = html("button", "", legend);
    b.type = "button";
    b.setAttribute("aria-pressed", "true");
    const key = el("svg", { viewBox: "0 0 22 10" }, b);
    if (f.points) el("circle", { cx: 11, cy: 5, r: 4, fill: colour(s.colour) }, key);
    else el("line", { x1: 0, x2: 22, y1: 5, y2: 5, stroke: colour(s.colour), "stroke-width": 3, "stroke-dasharray": s.dashed ? "6 4" : "none" }, key);
    b.append(s.name);
    b.addEventListener("click", () => {
      hidden.has(i) ? hidden.delete(i) : hidden.add(i);
      b.setAttribute("aria-pressed", String(!hidden.has(i)));
      draw();
    });
  });
  draw();
  numbers(f);
}

function numbers(f) {
  const table = html("table", "", document.querySelector(`[data-numbers="${f.id}"]`));
  const head = html("tr", "", html("thead", "", table));
  html("th", "", head, f.xlabel);
  for (const s of f.series) html("th", "", head, s.name);
  const xs = [...new Set(f.series.flatMap(s => s.x))].sort((a, b) => a - b);
  const body = html("tbody", "", table);
  for (const x of xs) {
    const row = html("tr", "", body);
    html("th", "", row, xname(f, x)).scope = "row";
    for (const s of f.series) {
      const k = s.x.indexOf(x);
      html("td", "", row, k < 0 ? "" : value(f, s.y[k]) + (s.err && s.err[k] ? ` ± ${spread(f, s.err[k])}` : ""));
    }
  }
}

// viridis, at nine points.
const RAMP = [[68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37]];
function ramp(t) {
  const p = Math.min(Math.max(t, 0), 1) * (RAMP.length - 1), i = Math.min(Math.floor(p), RAMP.length - 2), u = p - i;
  return RAMP[i].map((v, k) => Math.round(v + (RAMP[i + 1][k] - v) * u));
}

function drawSurface(s) {
  // The height is shown by its logarithm: losses far out are orders larger.
  const flat = s.z.flat().filter(v => v !== null && v > 0);
  const lo = Math.log(Math.min(...flat)), hi = Math.log(Math.max(...flat));
  const h = v => v === null || v <= 0 ? 1 : hi > lo ? (Math.log(v) - lo) / (hi - lo) : 0;
  const ny = s.z.length, nx = s.z[0].length;
  const at = (u, v) => { // bilinear, u and v from 0 to 1
    const x = u * (nx - 1), y = v * (ny - 1), i = Math.min(Math.floor(x), nx - 2), j = Math.min(Math.floor(y), ny - 2), a = x - i, b = y - j;
    return (h(s.z[j][i]) * (1 - a) + h(s.z[j][i + 1]) * a) * (1 - b) + (h(s.z[j + 1][i]) * (1 - a) + h(s.z[j + 1][i + 1]) * a) * b;
  };
  const map = document.getElementById(s.id + "-contour"), relief = document.getElementById(s.id + "-relief"), out = document.getElementById(s.id + "-readout");
  const size = 480;
  map.width = map.height = relief.width = relief.height = size;
  const c = map.getContext("2d"), img = c.createImageData(size, size);
  for (let y = 0; y < size; y++) for (let x = 0; x < size; x++) {
    const t = at(x / (size - 1), 1 - y / (size - 1)), k = 4 * (y * size + x);
    const right = at(Math.min(1, (x + 1) / (size - 1)), 1 - y / (size - 1)), below = at(x / (size - 1), Math.max(0, 1 - (y + 1) / (size - 1)));
    const line = Math.floor(t * 16) !== Math.floor(right * 16) || Math.floor(t * 16) !== Math.floor(below * 16);
    const rgb = ramp(t);
    for (let q = 0; q < 3; q++) img.data[k + q] = line ? rgb[q] * 0.55 : rgb[q];
    img.data[k + 3] = 255;
  }
  c.putImageData(img, 0, 0);
  map.addEventListener("pointermove", ev => {
    const r = map.getBoundingClientRect(), u = (ev.clientX - r.left) / r.width, v = 1 - (ev.clientY - r.top) / r.height;
    const i = Math.min(nx - 1, Math.max(0, Math.round(u * (nx - 1)))), j = Math.min(ny - 1, Math.max(0, Math.round(v * (ny - 1))));
    out.textContent = `at ${short(s.x[i])}, ${short(s.y[j])}: ${s.zlabel} ${short(s.z[j][i])}`;
  });

  let turn = 0.7, tilt = 0.9;
  const rc = relief.getContext("2d"), n = 44;
  function draw3d() {
    rc.clearRect(0, 0, size, size);
    const ct = Math.cos(turn), st = Math.sin(turn), cl = Math.cos(tilt), sl = Math.sin(tilt);
    const project = (u, v, t) => {
      const x = u - 0.5, y = v - 0.5, z = 0.75 * (t - 0.45);
      const rx = x * ct - y * st, ry = x * st + y * ct;
      return [size / 2 + rx * size * 0.62, size * 0.52 - (z * sl + ry * cl) * size * 0.62, ry * sl - z * cl];
    };
    const faces = [];
    for (let j = 0; j < n; j++) for (let i = 0; i < n; i++) {
      const p = [[i, j], [i + 1, j], [i + 1, j + 1], [i, j + 1]].map(([a, b]) => project(a / n, b / n, at(a / n, b / n)));
      faces.push({ p, t: at((i + .5) / n, (j + .5) / n), slope: at((i + 1) / n, (j + .5) / n) - at(i / n, (j + .5) / n), depth: p.reduce((m, q) => m + q[2], 0) });
    }
    faces.sort((a, b) => b.depth - a.depth);
    for (const f of faces) {
      const shade = Math.min(1.15, Math.max(0.6, 1 + f.slope * 3));
      rc.fillStyle = rc.strokeStyle = `rgb(${ramp(f.t).map(v => Math.round(Math.min(255, v * shade))).join(",")})`;
      rc.beginPath();
      f.p.forEach(([x, y], k) => k ? rc.lineTo(x, y) : rc.moveTo(x, y));
      rc.closePath();
      rc.fill();
      rc.stroke();
    }
  }
  let from = null;
  relief.addEventListener("pointerdown", ev => { from = [ev.clientX, ev.clientY, turn, tilt]; relief.setPointerCapture(ev.pointerId); });
  relief.addEventListener("pointermove", ev => {
    if (!from) return;
    turn = from[2] + (ev.clientX - from[0]) / 120;
    tilt = Math.min(1.5, Math.max(0.15, from[3] - (ev.clientY - from[1]) / 160));
    draw3d();
  });
  relief.addEventListener("pointerup", () => { from = null; });
  relief.addEventListener("keydown", ev => {
    const step = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] }[ev.key];
    if (!step) return;
    turn += step[0];
    tilt = Math.min(1.5, Math.max(0.15, tilt + step[1]));
    ev.preventDefault();
    draw3d();
  });
  draw3d();
}

DATA.figures.forEach(drawFigure);
DATA.surfaces.forEach(drawSurface);
document.documentElement.dataset.ready = "true";
