// The calls of the server's API, and its errors in plain words.

// base is the address that the API's paths are below, wherever the page is mounted.
export const base = new URL("..", import.meta.url);

const stored = "resnet-api-key";
let key = "";
try {
  key = sessionStorage.getItem(stored) ?? "";
} catch {
  // Storage is switched off: the key lives as long as the page.
}

export function apiKey() {
  return key;
}

export function setKey(to) {
  key = to;
  try {
    sessionStorage.setItem(stored, to);
  } catch {
    // As above.
  }
}

// CallError is an error for the user: a whole sentence, with the status (0 when there was
// no answer).
export class CallError extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

// sentence makes the server's error text a sentence.
function sentence(text) {
  text = text.trim();
  if (text === "") {
    return "";
  }
  text = text[0].toUpperCase() + text.slice(1);
  return /[.!?]$/.test(text) ? text : text + ".";
}

// explained returns what an error of the server means for the user.
export function explained(status, text, id) {
  const said = sentence(text);
  const words = {
    401: key === "" ? "This server needs an API key." : "The server does not accept this API key.",
    403: "The server does not allow this.",
    413: "The picture is too large for this server.",
    429: "The server is busy. Try again in a moment.",
    499: "The request was ended before its answer.",
    503: "The model is not ready yet. Try again in a moment.",
    504: "The server was too busy to answer in time. Try again.",
  }[status];
  if (words) {
    return status === 401 ? words : `${words} ${said}`.trim();
  }
  if (status >= 500) {
    return `The server failed. ${said}${id ? ` Its log has more about the request ${id}.` : ""}`.trim();
  }
  return said || `The server answered with status ${status}.`;
}

const pause = (ms, signal) => new Promise((resolve, reject) => {
  const timer = setTimeout(resolve, ms);
  signal?.addEventListener("abort", () => {
    clearTimeout(timer);
    reject(signal.reason);
  }, { once: true });
});

// call asks the server and returns its answer. A busy server is asked again when it
// wants to be, a few times.
export async function call(path, { body, query = {}, signal } = {}) {
  const url = new URL(path, base);
  for (const [name, value] of Object.entries(query)) {
    url.searchParams.set(name, value);
  }
  const headers = {};
  if (key !== "") {
    headers.Authorization = `Bearer ${key}`;
  }
  if (body) {
    headers["Content-Type"] = "application/octet-stream"; // the server looks at the bytes
  }
  for (let attempt = 0; ; attempt++) {
    let response, text;
    try {
      response = await fetch(url, { method: body ? "POST" : "GET", body, headers, signal, cache: "no-store", credentials: "same-origin" });
      text = await response.text();
    } catch (e) {
      if (signal?.aborted) {
        throw e;
      }
      const large = body && body.size > 8 << 20 ? ` The picture has ${Math.round(body.size / (1 << 20))} MiB, which may be too much for it.` : "";
      throw new CallError(0, `The server does not answer. It may have been stopped, or the connection is lost.${large}`);
    }
    let answer;
    try {
      answer = JSON.parse(text);
    } catch {
      throw new CallError(response.status, `Something between this page and the server answered with status ${response.status}, not the server itself.`);
    }
    if (response.ok) {
      return answer;
    }
    const wait = Number(response.headers.get("Retry-After"));
    if ((response.status === 429 || response.status === 503) && wait > 0 && wait <= 30 && attempt < 4) {
      await pause(1000 * wait, signal);
      continue;
    }
    throw new CallError(response.status, explained(response.status, String(answer?.error ?? ""), answer?.request_id));
  }
}
