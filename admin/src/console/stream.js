// The event stream: read, watched, and opened again when it is cut.

import { ask, askJson } from "./ask.js";

/** Nothing for so long is a stream that has been cut; what is shown is stale. */
export const STALE_AFTER_MS = 5_000;
const RETRY_MS = [1_000, 2_000, 4_000, 7_000, 10_000];
const POLL_MS = 2_000;

/**
 * Follows a node for as long as the page lives.
 *
 * `hear.opened()` is awaited before the stream is read, `hear.message(kind, data)` gets what comes,
 * `hear.changed(connection)` each change of `{ state, retryAt, why }`: opening, live, polling, cut, refused.
 * Returns a function that has it tried again at once.
 */
export function follow(hear) {
  let lastId = null;
  let wake = () => {};
  const pause = (ms) =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });

  async function once() {
    const stop = new AbortController();
    let heardAt = performance.now();
    const watch = setInterval(() => {
      if (performance.now() - heardAt > STALE_AFTER_MS) stop.abort(new Error("nothing has come for 5 s"));
    }, 500);
    try {
      await hear.opened(stop.signal);
      const headers = { Accept: "text/event-stream" };
      if (lastId !== null) headers["Last-Event-ID"] = lastId;
      const response = await ask("/events", { headers, signal: stop.signal });
      if (response.status === 404 || response.status === 503) return "poll";
      if (!response.ok) throw Object.assign(new Error(`the node answers ${response.status}`), { status: response.status });
      hear.changed({ state: "live" });
      for await (const { id, kind, data } of messages(response.body)) {
        heardAt = performance.now();
        if (id !== null) lastId = id;
        if (kind !== null) hear.message(kind, JSON.parse(data));
      }
      throw new Error("the node has closed the stream");
    } finally {
      clearInterval(watch);
      stop.abort();
    }
  }

  async function poll() {
    hear.changed({ state: "polling" });
    for (let times = 0; times < 15; times += 1) {
      await pause(POLL_MS);
      await hear.opened();
      hear.message("flows", await askJson("/flows").catch(() => ({ flows: [] })));
    }
  }

  async function forever() {
    for (let failures = 0; ; failures += 1) {
      const began = performance.now();
      let state = "cut";
      let why = "";
      let status = null;
      try {
        if ((await once()) === "poll") await poll();
        continue;
      } catch (error) {
        why = error.name === "TypeError" ? "the node does not answer" : error.message;
        status = error.status ?? null;
        if ([401, 403, 421].includes(status)) state = "refused";
        if (status === "alone") state = "alone";
      }
      if (performance.now() - began > 30_000) failures = 0;
      const wait = RETRY_MS[Math.min(failures, RETRY_MS.length - 1)];
      hear.changed({ state, why, status, retryAt: performance.now() + wait });
      await pause(wait);
    }
  }
  forever();
  return () => wake();
}

/** The messages of an event stream; a comment is one without a kind. */
async function* messages(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let message = { id: null, kind: null, data: "" };
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split(/\r\n|\n|\r/);
    rest = lines.pop();
    for (const line of lines) {
      const [, field, text] = /^([^:]*):? ?(.*)$/.exec(line);
      if (line === "") {
        yield message;
        message = { id: null, kind: null, data: "" };
      } else if (field === "event") message.kind = text;
      else if (field === "id") message.id = text;
      else if (field === "data") message.data += text;
    }
  }
}
