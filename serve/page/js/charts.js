// Charts of the last two minutes.
import { svg } from "./dom.js";

// keep is the number of points: one every two seconds.
export const every = 2000, keep = 60;

// nice returns the smallest of 1, 2, 5, 10, 20 … that is not below v, at least least.
function nice(v, least) {
  const ten = 10 ** Math.floor(Math.log10(Math.max(v, least)));
  return [1, 2, 5, 10].map((k) => k * ten).find((k) => k >= Math.max(v, least) * 0.999);
}

const short = (v) => String(Math.round(v * 1000) / 1000);

// chart draws two lines, series a and b, of up to keep points, the latest at the right.
// A null is a gap. text describes it to people who do not see it.
export function chart(into, a, b, text, least) {
  const box = into.getBoundingClientRect();
  const W = Math.max(box.width, 120), H = Math.max(box.height, 60), left = 44, right = 6, up = 10, down = 18;
  into.setAttribute("viewBox", `0 0 ${W} ${H}`);
  const most = nice(Math.max(0, ...a.filter(Number.isFinite), ...b.filter(Number.isFinite)), least);
  const x = (i, n) => left + (W - left - right) * (keep - n + i) / (keep - 1);
  const y = (v) => up + (H - up - down) * (1 - v / most);
  const parts = [];
  for (const v of [0, most / 2, most]) {
    parts.push(svg("line", { class: "grid", x1: left, x2: W - right, y1: y(v), y2: y(v) }),
      svg("text", { x: left - 6, y: y(v) + 4, "text-anchor": "end" }, short(v)));
  }
  parts.push(svg("text", { x: left, y: H - 3 }, "2 minutes ago"), svg("text", { x: W - right, y: H - 3, "text-anchor": "end" }, "now"));
  for (const [name, values] of [["b", b], ["a", a]]) {
    let line = [];
    const end = () => {
      if (line.length === 1) { // a point between gaps is a short stroke
        line.push(line[0].replace(/^[\d.]+/, (px) => String(Number(px) + 2)));
      }
      if (line.length > 0) {
        parts.push(svg("polyline", { class: name, points: line.join(" ") }));
      }
      line = [];
    };
    values.forEach((v, i) => {
      if (Number.isFinite(v)) {
        line.push(`${x(i, values.length).toFixed(1)},${y(v).toFixed(1)}`);
      } else {
        end();
      }
    });
    end();
  }
  const title = into.querySelector("title");
  title.textContent = text;
  into.replaceChildren(title, ...parts);
}
