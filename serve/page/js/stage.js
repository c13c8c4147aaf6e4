// The picture that is shown, what is drawn over it, and the controls of that.
import { at, percent } from "./dom.js";
import { drawBoxes, drawClasses, drawHeat, drawObjects } from "./draw.js";
import { detailsOf, heatOf, idOf, state } from "./state.js";

// view is what the user has chosen to see. Heat maps are by task: a detector shows its boxes
// first.
export const view = { heat: { classification: false, detection: false, segmentation: false }, subject: null, layer: "", layers: [], opacity: 0.5, threshold: 0.5, lit: -1 };

let heatEnds = new AbortController();
let drawing = 0; // the number of times that something was drawn
let repaint = null; // draws the heat map that is shown again
const canvas = at("layer"), image = at("picture"), caption = at("caption");

// subjects returns what heat maps of a result can be of, the first by default: a class,
// an object by its number, the class of an area. The key is the same when it is asked again.
const subjects = {
  classification: (r) => r.predictions.map((p) => ({ key: p.index, name: p.class, of: "the score of" })),
  detection: (r) => r.objects.map((o, i) => ({ key: i, name: `${i + 1} ${o.class}`, of: "the score of", score: o.score })).filter((s) => s.score >= view.threshold),
  segmentation: (r) => r.areas.map((a) => ({ key: a.index, name: a.class, of: "the mean score of" })).sort((a, b) => (a.key === 0) - (b.key === 0)), // background last
};

// place sizes the picture: small ones are enlarged by a whole factor.
function place(width, height) {
  const grow = Math.max(1, Math.floor(320 / Math.max(width, height)));
  const aspect = width / height;
  const wide = Math.min(width * grow, 620 * aspect);
  image.style.width = `min(${wide}px, calc(62vh * ${aspect}))`;
  image.style.aspectRatio = `${width} / ${height}`;
  image.classList.toggle("small", grow > 3);
  const scale = Math.min(1, 1280 / Math.max(width, height)) * Math.max(1, Math.ceil(640 / Math.max(width, height)));
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
}

// showPicture shows the current picture, with nothing over it yet.
export function showPicture() {
  const p = state.current;
  at("shown").hidden = !p;
  repaint = null;
  view.subject = null;
  view.lit = -1;
  clear();
  if (!p) {
    image.removeAttribute("src");
    return;
  }
  at("shown-title").textContent = p.name;
  image.hidden = !p.displayed;
  canvas.hidden = !p.displayed;
  at("no-display").hidden = p.displayed;
  if (p.displayed) {
    image.alt = p.name;
    place(p.width, p.height);
    image.src = p.url;
  }
}

function clear() {
  drawing++;
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
  caption.textContent = "";
}

// showAnswer draws the answer over the picture and shows the controls that it has.
export async function showAnswer(result) {
  const task = state.model?.task, p = state.current;
  at("controls").hidden = !result;
  const able = result ? subjects[task](result) : [];
  const subject = able.find((s) => s.key === view.subject) ?? able[0];
  const heat = view.heat[task] && Boolean(subject);
  at("heat-field").hidden = !subject;
  at("heat").checked = heat;
  at("depth-field").hidden = !heat;
  at("threshold-field").hidden = task !== "detection";
  const masks = heat || task === "segmentation" || task === "detection" && result?.objects?.some((o) => o.mask);
  at("opacity-field").hidden = !masks || !p.displayed;
  heatEnds.abort();
  repaint = null;
  view.subject = subject?.key ?? null;
  at("heat-name").textContent = subject?.name ?? "";
  at("heat-of").textContent = subject?.of ?? "";
  for (const b of document.querySelectorAll("button.bar")) {
    b.setAttribute("aria-pressed", String(heat && Number(b.dataset.key) === subject.key));
  }
  if (!result) {
    clear();
    return;
  }
  if (heat) {
    await showHeat(result, subject);
    return;
  }
  if (!p.displayed) {
    if (result.overlay) {
      fromServer(result.overlay, `${p.name} with the result drawn over it`);
    } else {
      showPlain(p);
    }
    return;
  }
  if (task === "classification") {
    clear();
    image.alt = p.name;
  } else if (task === "detection") {
    drawing++;
    drawObjects(canvas, result, view.threshold, view.opacity, view.lit);
    const n = result.objects.filter((o) => o.score >= view.threshold).length;
    caption.textContent = `${n} of ${result.objects.length} found objects have a score of ${percent(view.threshold)} or more.`;
    image.alt = `${p.name}, with boxes around ${n} objects, which the result lists`;
  } else if (task === "segmentation") {
    image.alt = `${p.name}, with an area for each class, which the result lists`;
    caption.textContent = "";
    const mine = ++drawing;
    await drawClasses(canvas, result.mask, view.opacity, () => mine === drawing);
  }
}

// fromServer shows a picture that the server has drawn, where the browser cannot.
function fromServer(address, alt) {
  image.hidden = false;
  at("no-display").hidden = true;
  image.style.width = "";
  image.style.aspectRatio = "";
  image.src = address;
  image.alt = alt;
}

// showPlain hides a picture that the browser cannot display, after what the server drew of it.
function showPlain(p) {
  image.hidden = true;
  image.removeAttribute("src");
  image.alt = p.name;
  at("no-display").hidden = false;
  caption.textContent = "";
}

// showHeat draws the heat map of a subject, and the box of an object over it.
async function showHeat(result, subject) {
  const p = state.current, model = state.model;
  heatEnds = new AbortController();
  const { signal } = heatEnds;
  caption.textContent = "The heat map is being computed…";
  try {
    const { layers = [] } = await detailsOf(model);
    if (signal.aborted) {
      return;
    }
    view.layers = layers; // from the input to the end
    at("depth").max = Math.max(view.layers.length - 1, 0);
    at("depth-field").hidden = view.layers.length < 2;
    const layer = view.layers.includes(view.layer) ? view.layer : "";
    const explanation = await heatOf(p, model, subject.key, layer, signal);
    if (signal.aborted || p !== state.current || idOf(model) !== idOf(state.model)) {
      return;
    }
    drawing++;
    if (!p.displayed) {
      fromServer(explanation.overlay, "");
    } else {
      repaint = () => {
        drawHeat(canvas, explanation, view.opacity);
        if (result.objects) {
          drawBoxes(canvas, result, [subject.key], subject.key);
        }
      };
      repaint();
    }
    setDepth(explanation.layer);
    const [x, y] = explanation.region;
    const part = x > 0.002 || y > 0.002 ? " The model sees the part that is not darkened." : "";
    caption.textContent = `Bright parts raise ${subject.of} ${subject.name}, computed at ${explanation.layer}.${part}`;
    image.alt = `${p.name} under a heat map of ${subject.name}`;
  } catch (e) {
    if (!signal.aborted) {
      clear();
      caption.textContent = e.message;
    }
  }
}

function setDepth(layer) {
  const i = view.layers.indexOf(layer);
  if (i >= 0) {
    at("depth").value = i;
  }
  at("depth-name").textContent = layer;
  at("depth").setAttribute("aria-valuetext", layer);
}

// wire connects the controls. lastAnswer returns the result that is shown.
export function wire(lastAnswer) {
  const again = () => {
    const result = lastAnswer();
    if (result) {
      showAnswer(result);
    }
  };
  at("heat").addEventListener("change", (e) => {
    view.heat[state.model.task] = e.target.checked;
    again();
  });
  let timer;
  at("depth").addEventListener("input", (e) => {
    view.layer = view.layers[e.target.value] ?? "";
    setDepth(view.layer);
    clearTimeout(timer);
    timer = setTimeout(again, 200); // the layers on the way are not asked for
  });
  at("opacity").addEventListener("input", (e) => {
    view.opacity = e.target.value / 100;
    at("opacity-value").textContent = percent(view.opacity);
    (repaint ?? again)();
  });
  return again;
}

// explainSubject shows the heat map of a class or an object, or hides it when it is shown.
export function explainSubject(key, result) {
  const { task } = state.model;
  view.heat[task] = !(view.heat[task] && view.subject === key);
  view.subject = key;
  showAnswer(result);
}
