// The answers as lists.
import { at, el, percent, say } from "./dom.js";
import { classColor, css, objectColor } from "./draw.js";
import { explainSubject, showAnswer, view } from "./stage.js";
import { answerOf, cosine, embedder, embeddingOf, idOf, state } from "./state.js";

const answer = at("answer");
let shown = null; // the result that is listed

export const lastAnswer = () => shown;

// bar is a row of a list: a bar behind a name and a number. It shows the heat map of the
// subject with this key.
function bar(result, key, share, name, number, properties = {}, color = null) {
  const fill = el("span", { className: "fill", "aria-hidden": "true" });
  fill.style.width = `${100 * Math.min(Math.max(share, 0), 1)}%`;
  const row = el("button", { className: "bar", type: "button", "aria-pressed": "false", ...properties }, fill);
  row.dataset.key = key;
  row.addEventListener("click", () => explainSubject(key, result));
  if (color) {
    const swatch = el("span", { className: "swatch", "aria-hidden": "true" });
    swatch.style.background = color;
    row.append(swatch);
  }
  row.append(el("span", { className: "name" }, name), el("span", { className: "number" }, number));
  return row;
}

// listers make the list of a result, and return what is announced.
const listers = {
  classification(result) {
    answer.replaceChildren(
      el("ol", { className: "bars", "aria-label": "The most probable classes" }, ...result.predictions.map((p) =>
        el("li", {}, bar(result, p.index, p.probability, p.class, percent(p.probability), { title: `Show which parts raise the score of ${p.class}` })))),
    );
    const [best] = result.predictions;
    return `${best.class}, ${percent(best.probability)}`;
  },

  detection(result) {
    const above = result.objects.map((o, i) => [o, i]).filter(([o]) => o.score >= view.threshold);
    if (above.length === 0) {
      const [best] = result.objects;
      answer.replaceChildren(el("p", {}, best
        ? `Nothing has a score of ${percent(view.threshold)} or more. The highest is ${best.class} with ${percent(best.score)}: lower the lowest score under the picture to see it.`
        : "The model finds nothing in this picture."));
      return "nothing found above the lowest score";
    }
    answer.replaceChildren(el("ol", { className: "bars", "aria-label": "The objects, the highest score first" }, ...above.map(([o, i]) => {
      const [x, y, w, h] = o.box.map(Math.round);
      const row = bar(result, i, o.score, `${i + 1} ${o.class}`, percent(o.score), { title: `${w} × ${h} pixels at ${x}, ${y}. Show which parts raise its score` }, objectColor(o.index));
      const light = (lit) => () => {
        view.lit = lit;
        if (!view.heat.detection) { // a heat map has the box of its object alone
          showAnswer(result);
        }
      };
      row.addEventListener("pointerenter", light(i));
      row.addEventListener("pointerleave", light(-1));
      row.addEventListener("focus", light(i));
      row.addEventListener("blur", light(-1));
      return el("li", {}, row);
    })));
    return `${above.length} objects: ${above.slice(0, 5).map(([o]) => o.class).join(", ")}`;
  },

  segmentation(result) {
    const large = result.areas.slice(0, 12), rest = result.areas.slice(12);
    answer.replaceChildren(el("ol", { className: "bars", "aria-label": "The classes, the largest area first" }, ...large.map((a) =>
      el("li", {}, bar(result, a.index, a.share, a.class, percent(a.share), { title: `Show which parts raise the score of ${a.class}` }, a.index === 0 ? "transparent" : css(classColor(a.index)))))));
    if (rest.length > 0) {
      answer.append(el("p", { className: "hint" }, `And ${rest.length} more, together ${percent(rest.reduce((sum, a) => sum + a.share, 0))}.`));
    }
    return result.areas.slice(0, 5).map((a) => `${a.class}, ${percent(a.share)}`).join("; ");
  },
};

// label returns a short text for a picture's place in the strip, and whether it is bad.
export function label(entry) {
  const r = entry?.value;
  switch (true) {
    case !entry: return ["", false];
    case entry.busy: return ["…", false];
    case Boolean(entry.error): return ["failed", true];
    case Boolean(r.predictions): return [`${r.predictions[0].class} ${percent(r.predictions[0].probability)}`, false];
    case Boolean(r.objects): {
      const n = r.objects.filter((o) => o.score >= view.threshold).length;
      return [n === 1 ? "1 object" : `${n} objects`, false];
    }
    default: return [(r.areas.find((a) => a.index !== 0) ?? r.areas[0])?.class ?? "", false];
  }
}

// showResult lists the answer to the current picture.
export function showResult(changed) {
  const { current: p, model } = state;
  at("result").hidden = !p || !model;
  if (!p || !model) {
    return;
  }
  const entry = answerOf(p, model, changed);
  at("result").setAttribute("aria-busy", String(entry.busy));
  at("took").textContent = "";
  shown = null;
  if (entry.busy) {
    answer.replaceChildren(el("p", { className: "hint" }, `Asking ${model.name}…`));
    showAnswer(null);
  } else if (entry.error) {
    const again = el("button", { type: "button" }, "Try again");
    again.addEventListener("click", () => {
      p.answers.delete(idOf(model));
      showResult(changed);
    });
    answer.replaceChildren(el("p", { className: "error" }, entry.error.message), el("p", {}, again));
    say(`${p.name}: ${entry.error.message}`);
    showAnswer(null);
  } else {
    shown = entry.value;
    say(`${p.name}: ${listers[model.task](shown)}`);
    at("took").textContent = `Answered by ${model.name} in ${entry.ms < 10 ? entry.ms.toFixed(1) : Math.round(entry.ms)} ms, with the way there and back.`;
    showAnswer(shown);
  }
}

// relist lists the shown objects again, after the lowest score has changed.
export function relist() {
  if (shown?.objects) {
    listers.detection(shown);
    showAnswer(shown);
  }
}

// showNear lists the pictures that are nearest to the current one.
export function showNear(changed, select) {
  const { current: p, pictures } = state;
  const model = embedder();
  at("near").hidden = !p || pictures.length < 2;
  if (at("near").hidden) {
    return;
  }
  if (!model) {
    at("near-list").replaceChildren();
    at("near-note").textContent = "No model of this server compares pictures: that needs one that classifies.";
    return;
  }
  const all = pictures.map((q) => [q, embeddingOf(q, model, changed)]);
  const own = all.find(([q]) => q === p)[1];
  const done = all.filter(([, e]) => e.value), failed = all.filter(([, e]) => e.error).length;
  const by = `by the angle between their embeddings, computed by ${model.name}`;
  if (own.error) {
    at("near-list").replaceChildren();
    at("near-note").textContent = `This picture cannot be compared. ${own.error.message}`;
    return;
  }
  at("near-note").textContent = done.length + failed < all.length ? `${done.length} of ${all.length} pictures are ready, ${by}.`
    : `Compared ${by}.${failed ? ` Left out: ${failed} that the server could not read.` : ""}`;
  if (!own.value) {
    at("near-list").replaceChildren();
    return;
  }
  const near = done.filter(([q]) => q !== p).map(([q, e]) => [q, cosine(own.value, e.value)]).sort((a, b) => b[1] - a[1]).slice(0, 6);
  at("near-list").replaceChildren(...near.map(([q, c]) => {
    const open = el("button", { type: "button" }, thumb(q), el("span", { className: "clip" }, q.name), el("span", { className: "clip soft" }, `cosine ${c.toFixed(3)}`));
    open.addEventListener("click", () => select(q));
    return el("li", {}, open);
  }));
}

// thumb returns a small copy of a picture.
export function thumb(picture) {
  const c = el("canvas", { className: "thumb", width: 192, height: 144, "aria-hidden": "true" });
  const context = c.getContext("2d");
  if (picture.small) {
    const { width: w, height: h } = picture.small, k = Math.min(c.width / w, c.height / h);
    context.imageSmoothingEnabled = k < 3;
    context.drawImage(picture.small, (c.width - k * w) / 2, (c.height - k * h) / 2, k * w, k * h);
  }
  return c;
}
