// The page: connects its parts.
import { apiKey, base, setKey } from "./api.js";
import { at, el, percent, say } from "./dom.js";
import { wireInput } from "./input.js";
import { draw as drawLive, follow } from "./live.js";
import { label, lastAnswer, relist, showNear, showResult, thumb } from "./results.js";
import { snippets } from "./snippets.js";
import { showPicture, view, wire } from "./stage.js";
import { answerOf, drop, forget, idOf, loadModels, newPicture, state, usable } from "./state.js";

const most = 200; // pictures in the page

// trouble shows what is wrong, "" nothing.
function trouble(text) {
  at("trouble").hidden = text === "";
  if (at("trouble").textContent !== text) {
    at("trouble").textContent = text;
  }
}

// Models.

async function refreshModels() {
  try {
    const before = state.model && idOf(state.model);
    await loadModels();
    showModels();
    if (before !== (state.model && idOf(state.model))) {
      modelChanged();
    }
  } catch (e) {
    lost(e);
  }
}

function showModels() {
  const select = at("model");
  const names = state.models.map((m) => m.name);
  select.replaceChildren(...state.models.map((m, i) => {
    const version = names.filter((n) => n === m.name).length > 1 ? `, version ${m.version}` : "";
    const what = m.ready && !m.classes ? m.task : m.ready ? `${m.task}, ${m.classes} ${m.classes === 1 ? "class" : "classes"}` : "not ready";
    return el("option", { value: String(i), disabled: !usable(m), selected: m === state.model, title: m.reason ?? "" }, `${m.name}${version} (${what})`);
  }));
  select.disabled = state.models.length === 0;
  const numeric = state.models.find((m) => m.ready);
  trouble(state.model ? "" : state.models.length === 0 ? "The server has no model." : numeric ? `${numeric.name} has no last layer: it answers at v1/embed, with numbers that a page cannot show.` : `No model of the server is ready. ${state.models[0].name}: ${state.models[0].reason ?? "loading"}.`);
}

function modelChanged() {
  showSnippet();
  showAll();
  drawLive();
}

at("model").addEventListener("change", (e) => {
  state.model = state.models[e.target.value];
  modelChanged();
});

// Pictures.

async function add(files) {
  const room = most - state.pictures.length;
  if (files.length > room) {
    trouble(`The page keeps ${most} pictures: ${files.length - room} were left out.`);
    files = files.slice(0, room);
  }
  const added = files.map((f) => newPicture(f, f.name || "pasted picture"));
  if (added.length === 0) {
    return;
  }
  const first = state.pictures.length === 0;
  state.pictures.push(...added);
  document.body.classList.remove("empty");
  await look(added[0]);
  if (!state.pictures.includes(added[0])) {
    return; // removed meanwhile
  }
  state.current = added[0];
  showAll();
  if (first) {
    at("shown").scrollIntoView({ block: "nearest" });
  }
  for (const p of added.slice(1)) {
    await look(p);
    showStrip();
  }
  showNear(nearChanged, choose);
}

// look finds a picture's size and makes its small copy, if the browser can.
async function look(picture) {
  try {
    const all = await createImageBitmap(picture.file);
    [picture.width, picture.height] = [all.width, all.height];
    const k = Math.min(1, 192 / Math.max(all.width, all.height));
    picture.small = await createImageBitmap(all, { resizeWidth: Math.max(1, Math.round(k * all.width)), resizeHeight: Math.max(1, Math.round(k * all.height)), resizeQuality: "medium" });
    all.close();
  } catch {
    picture.displayed = false;
  }
}

function choose(picture) {
  state.current = picture;
  showAll();
}

function showAll() {
  showPicture();
  showResult(answerChanged);
  showStrip();
  showNear(nearChanged, choose);
}

function answerChanged(entry) {
  needKey(entry.error);
  if (state.current && state.model && state.current.answers.get(idOf(state.model)) === entry) {
    showResult(answerChanged);
  }
  showStrip();
}

const nearChanged = () => showNear(nearChanged, choose);

// showStrip lists the pictures, and keeps the buttons that are there, and the focus.
function showStrip() {
  const strip = at("strip");
  strip.hidden = state.pictures.length === 0;
  const old = new Map([...strip.children].map((li) => [li.dataset.id, li]));
  const items = state.pictures.map((p) => {
    let li = old.get(String(p.id));
    if (!li) {
      const button = el("button", { type: "button" }, thumb(p), el("span", { className: "clip" }, p.name), el("span", { className: "clip soft" }));
      button.addEventListener("click", () => choose(p));
      li = el("li", {}, button);
      li.dataset.id = p.id;
      li.dataset.drawn = Boolean(p.small);
    } else if (p.small && li.dataset.drawn !== "true") {
      li.querySelector(".thumb").replaceWith(thumb(p));
      li.dataset.drawn = true;
    }
    const [text, bad] = state.model ? label(answerOf(p, state.model, answerChanged)) : ["", false];
    const line = li.querySelector(".clip:last-child");
    line.textContent = text;
    line.classList.toggle("bad", bad);
    li.firstChild.setAttribute("aria-current", String(p === state.current));
    return li;
  });
  for (const [id, li] of old) {
    if (!items.includes(li)) {
      li.remove();
      old.delete(id);
    }
  }
  items.forEach((li, i) => {
    if (strip.children[i] !== li) {
      strip.insertBefore(li, strip.children[i] ?? null);
    }
  });
}

function remove(list) {
  const place = state.pictures.indexOf(state.current);
  list.forEach(drop);
  state.current = state.pictures[Math.min(place, state.pictures.length - 1)] ?? null;
  document.body.classList.toggle("empty", state.pictures.length === 0);
  showAll();
  say(list.length === 1 ? `${list[0].name} was removed.` : "All pictures were removed.");
  if (!state.current) {
    at("choose").focus();
  }
}

at("remove").addEventListener("click", () => remove([state.current]));
at("remove-all").addEventListener("click", () => remove(state.pictures));

// Controls under the picture.

const redraw = wire(lastAnswer);
let width = innerWidth;
addEventListener("resize", () => {
  if (width !== innerWidth) { // a phone's bars change the height alone
    width = innerWidth;
    redraw();
  }
});
at("threshold").addEventListener("input", (e) => {
  view.threshold = e.target.value / 100;
  at("threshold-value").textContent = percent(view.threshold);
  relist();
  showStrip();
});

// Programs to paste.

const tabs = [...document.querySelectorAll("[role=tab]")];

function showSnippet() {
  const tab = tabs.find((t) => t.getAttribute("aria-selected") === "true");
  const m = state.model;
  at("code").hidden = !m;
  if (m) {
    const several = state.models.filter((o) => o.name === m.name).length > 1;
    at("snippet-text").textContent = snippets({ base, key: apiKey(), name: m.name, version: several ? m.version : "", task: m.task })[tab.id.slice(4)];
    at("snippet").setAttribute("aria-labelledby", tab.id);
    at("code-hint").textContent = `Needs a picture photo.jpg in the current folder.${apiKey() ? " Your API key is in it: do not pass it on." : ""}`;
  }
}

function selectTab(tab) {
  for (const t of tabs) {
    t.setAttribute("aria-selected", String(t === tab));
    t.tabIndex = t === tab ? 0 : -1;
  }
  showSnippet();
}

for (const [i, tab] of tabs.entries()) {
  tab.addEventListener("click", () => selectTab(tab));
  tab.addEventListener("keydown", (e) => {
    const to = { ArrowRight: i + 1, ArrowLeft: i - 1 + tabs.length, Home: 0, End: tabs.length - 1 }[e.key];
    if (to !== undefined) {
      e.preventDefault();
      selectTab(tabs[to % tabs.length]);
      tabs[to % tabs.length].focus();
    }
  });
}

at("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(at("snippet-text").textContent);
    at("copy").textContent = "Copied";
    say("Copied.");
  } catch { // not allowed, or not https: the user can copy what is selected
    getSelection().selectAllChildren(at("snippet-text"));
    at("copy").textContent = "Selected";
    say("The program is selected: copy it with the keyboard.");
  }
  setTimeout(() => { at("copy").textContent = "Copy"; }, 2000);
});

// The API key.

let asked = false; // for a key, since the last one was given

function needKey(error) {
  if (error?.status !== 401) {
    return;
  }
  at("key-open").hidden = false;
  if (!asked) {
    asked = true;
    openKey(apiKey() === "" ? "This server answers to clients that have a key. Ask the one who runs it." : error.message);
  }
}

function openKey(why) {
  at("key-why").textContent = why;
  at("key").value = apiKey();
  if (!at("key-dialog").open) {
    at("key-dialog").showModal();
  }
}

at("key-open").addEventListener("click", () => openKey("Another key takes effect at once."));
at("key-cancel").addEventListener("click", () => at("key-dialog").close());
at("key-form").addEventListener("submit", (e) => {
  e.preventDefault();
  const key = at("key").value.trim();
  if (!/^[\x21-\x7e]*$/.test(key)) {
    at("key-why").textContent = "A key has letters, digits and signs of ASCII only, without spaces.";
    return;
  }
  setKey(key);
  asked = false;
  at("key-dialog").close();
  for (const p of state.pictures) { // what failed for want of a key is asked again
    for (const map of [p.answers, p.embeddings]) {
      map.forEach((entry, id) => entry.error?.status === 401 && map.delete(id));
    }
  }
  refreshModels().then(modelChanged);
});

// The server.

let away = false;

function lost(error) {
  needKey(error);
  away = true;
  trouble(error.message);
}

document.body.classList.add("empty");
at("key-open").hidden = apiKey() === "";
wireInput(add, trouble);
await refreshModels();
follow(refreshModels, (id) => {
  forget(id);
  if (state.model && idOf(state.model) === id) {
    showAll();
  }
}, (error) => {
  if (error) {
    lost(error);
  } else if (away) {
    away = false;
    showModels();
  }
});
