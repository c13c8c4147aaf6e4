// What the page knows: the server's models, the user's pictures, and the answers.
import { call } from "./api.js";

export const state = {
  models: [], // of /v1/models
  model: null, // the chosen one of them
  pictures: [],
  current: null, // the picture that is shown
};

// idOf tells one version of a model from another.
export const idOf = (model) => `${model.name}\n${model.version}`;

// which names a model to the API.
export const which = (model) => ({ model: model.name, version: model.version });

// paths of the calls, by what a model is for.
const paths = { classification: "v1/classify", detection: "v1/detect", segmentation: "v1/segment" };

// usable reports whether the page can show a model's answers. Those of networks without a
// last layer are numbers alone, which compare pictures.
export const usable = (model) => model.ready && model.task in paths;

// loadModels asks for the models and keeps the choice if it is still there.
export async function loadModels() {
  const { models } = await call("v1/models");
  const chosen = state.model && models.find((m) => m.ready && idOf(m) === idOf(state.model));
  state.models = models;
  state.model = chosen ?? models.find(usable) ?? null;
}

const details = new Map();

// forget drops what a model has answered: another one has its place.
export function forget(id) {
  details.delete(id);
  for (const p of state.pictures) {
    p.answers.delete(id);
    p.embeddings.delete(id);
    for (const key of p.heats.keys()) {
      if (key.startsWith(`${id}\n`)) {
        p.heats.delete(key);
      }
    }
  }
}

// detailsOf asks for a model's class names and layers.
export function detailsOf(model) {
  const id = idOf(model);
  if (!details.has(id)) {
    const asked = call(`v1/models/${encodeURIComponent(model.name)}`, { query: { version: model.version } });
    details.set(id, asked);
    asked.catch(() => details.delete(id)); // so that it is asked again
  }
  return details.get(id);
}

// embedder returns the model whose embeddings compare pictures: the chosen one, or the
// first that has any.
export function embedder() {
  const able = (m) => m?.ready && m.embedding > 0;
  return able(state.model) ? state.model : state.models.find(able) ?? null;
}

let number = 0;

// newPicture makes a picture of a file. Its answers are by model.
export function newPicture(file, name) {
  return { id: ++number, file, name, url: URL.createObjectURL(file), width: 0, height: 0, displayed: true, answers: new Map(), heats: new Map(), embeddings: new Map(), ends: new AbortController() };
}

// drop forgets a picture, and ends what is asked about it.
export function drop(picture) {
  picture.ends.abort();
  URL.revokeObjectURL(picture.url);
  state.pictures = state.pictures.filter((p) => p !== picture);
}

// The browser asks for a few pictures at once, so that the server's queue has room for
// other users.
const most = 3;
let running = 0;
const waiting = [];

async function inTurn(signal, job) {
  if (running >= most) {
    await new Promise((go) => waiting.push(go));
  }
  running++;
  try {
    signal.throwIfAborted();
    return await job();
  } finally {
    running--;
    waiting.shift()?.();
  }
}

// once keeps the answer to a question in a map: { busy }, then { value, ms } or { error }.
// changed is called when it comes. A failed question is asked again by clearing the map.
function once(map, id, signal, changed, question) {
  const known = map.get(id);
  if (known) {
    return known;
  }
  const entry = { busy: true };
  map.set(id, entry);
  inTurn(signal, async () => {
    const began = performance.now();
    entry.value = await question();
    entry.ms = performance.now() - began;
  }).catch((e) => {
    if (signal.aborted) {
      map.delete(id);
    }
    entry.error = e;
  }).finally(() => {
    entry.busy = false;
    if (!signal.aborted) {
      changed(entry);
    }
  });
  return entry;
}

// answerOf returns what the model finds in a picture.
export function answerOf(picture, model, changed) {
  const query = which(model);
  if (model.task === "classification") {
    query.topk = Math.min(5, model.classes || 5);
  } else if (model.task === "detection") {
    query.threshold = 0; // the page hides what is below its slider
  }
  if (!picture.displayed && model.task !== "classification") {
    query.overlay = true;
  }
  const signal = picture.ends.signal;
  return once(picture.answers, idOf(model), signal, changed, async () =>
    (await call(paths[model.task], { body: picture.file, query, signal })).results[0]);
}

// embeddingOf returns a picture's embedding by a model, of length 1.
export function embeddingOf(picture, model, changed) {
  const signal = picture.ends.signal;
  return once(picture.embeddings, idOf(model), signal, changed, async () => {
    const { embedding } = (await call("v1/embed", { body: picture.file, query: which(model), signal })).results[0];
    const length = Math.hypot(...embedding);
    return length > 0 ? embedding.map((v) => v / length) : embedding;
  });
}

// cosine returns the cosine between two embeddings of length 1.
export const cosine = (a, b) => a.reduce((sum, v, i) => sum + v * b[i], 0);

// heatOf asks which parts of a picture raise the score of a class, or of an object of a
// detector, seen from a layer; "" is the layer that the server chooses.
export async function heatOf(picture, model, key, layer, signal) {
  const id = `${idOf(model)}\n${key}\n${layer}`;
  const known = picture.heats.get(id);
  if (known) {
    return known;
  }
  const query = { ...which(model), explain: true };
  if (model.task === "detection") {
    query.object = key;
    query.threshold = 1; // the objects are known
  } else {
    const { class_names: names } = await detailsOf(model);
    // A class may be named like another one's number; the server looks at names first.
    query.class = names.includes(String(key)) ? names[key] : String(key);
  }
  if (model.task === "classification") {
    query.topk = 1;
  }
  if (layer !== "") {
    query.layer = layer;
  }
  const { explanation } = (await call(paths[model.task], { body: picture.file, query, signal: AbortSignal.any([signal, picture.ends.signal]) })).results[0];
  picture.heats.set(id, explanation);
  return explanation;
}
