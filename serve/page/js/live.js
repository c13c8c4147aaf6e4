// How the server does at the moment.
import { call } from "./api.js";
import { chart, every, keep } from "./charts.js";
import { at, el } from "./dom.js";
import { idOf, state } from "./state.js";

const history = new Map(); // of each version of a model: its status at the last moments, or null

const ms = (v) => (v >= 10000 ? `${(v / 1000).toFixed(1)} s` : v >= 10 ? `${Math.round(v)} ms` : `${v.toFixed(1)} ms`);

// draw shows the chosen model's history.
export function draw() {
  const list = state.model ? history.get(idOf(state.model)) ?? [] : [];
  const now = list.at(-1);
  const idle = !now || now.requests_per_s === 0; // then there are no latencies
  const figures = now ? [
    ["Requests / s", now.requests_per_s.toFixed(1)],
    ["Latency p50", idle ? "–" : ms(now.p50_ms)],
    ["Latency p99", idle ? "–" : ms(now.p99_ms)],
    ["Waiting", now.queue],
    ["In progress", now.in_progress],
    ["Mean batch", now.mean_batch ? now.mean_batch.toFixed(1) : "–"],
    ["Answered", now.answered],
    ["Rejected", now.rejected],
  ] : [];
  at("figures").replaceChildren(...figures.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, String(value)))));
  at("server-title").textContent = state.model ? `This server now: ${state.model.name}` : "This server now";
  const latency = (name) => list.map((s) => (s && s.requests_per_s > 0 ? s[name] : null));
  chart(at("latency"), latency("p50_ms"), latency("p99_ms"),
    idle ? "There were no requests in the last ten seconds" : `Now: half of the requests within ${ms(now.p50_ms)}, 99 of 100 within ${ms(now.p99_ms)}`, 1);
  chart(at("queue"), list.map((s) => s && s.queue), list.map((s) => s && s.in_progress),
    now ? `Now: ${now.queue} requests wait, ${now.in_progress} pictures are in progress` : "No data yet", 4);
}

// follow asks for the status while the page is visible. changed is called when the models
// are others than the page knows, reloaded with the id of a model that was loaded anew,
// failed with an error, or with null when all is well.
export function follow(changed, reloaded, failed) {
  let asking = false;
  const tick = async () => {
    if (document.hidden || asking) {
      return;
    }
    asking = true;
    try {
      const { models } = await call("v1/status");
      const seen = new Set();
      for (const m of models) {
        seen.add(idOf(m));
        const before = history.get(idOf(m))?.findLast((s) => s);
        if (m.ready && before && m.answered < before.answered) { // it counts from its loading
          reloaded(idOf(m));
        }
        add(idOf(m), m.ready ? m : null);
      }
      for (const id of history.keys()) {
        if (!seen.has(id)) {
          history.delete(id);
        }
      }
      failed(null);
      const list = (of) => JSON.stringify(of.map((m) => [m.name, m.version, m.ready]));
      if (list(models) !== list(state.models)) {
        changed();
      }
    } catch (e) {
      for (const id of history.keys()) {
        add(id, null);
      }
      failed(e);
    }
    asking = false;
    draw();
  };
  setInterval(tick, every);
  addEventListener("resize", draw);
  document.addEventListener("visibilitychange", tick);
  return tick();
}

function add(id, status) {
  const list = history.get(id) ?? [];
  list.push(status);
  history.set(id, list.slice(-keep));
}
