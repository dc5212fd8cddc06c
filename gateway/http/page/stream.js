// Server-sent events over fetch, which can carry the key. The stream resumes after the last event
// it gave, for as long as it takes, until the server says that it is over.

import { Refused, request, unreachable } from "./api.js";

const SOONEST_MS = 500;
const LATEST_MS = 15_000;

// Calls told({event, data}) for each event and changed(isConnected) when the line comes or goes.
// Returns when the batch has ended or `signal` aborts; throws a Refused that will not pass.
export async function follow(path, { told, changed, signal }) {
  let [last, failures] = ["", 0];
  while (!signal.aborted) {
    try {
      const response = await request("GET", path, { signal, headers: last ? { "last-event-id": last } : {} });
      changed(true);
      for await (const { event, id, data } of events(response.body)) {
        failures = 0;
        if (event === "end") return;
        if (event === "problem") throw new Refused(JSON.parse(data).status, JSON.parse(data));
        last = id || last;
        if (data) told({ event, data: JSON.parse(data) });
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Refused) || !error.mayPass) throw error;
    }
    changed(false);
    await pause(Math.random() * Math.min(LATEST_MS, SOONEST_MS * 2 ** ++failures), signal);
  }
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read().catch(unreachable);
    if (done) return;
    const blocks = (held + value).split(/\r?\n\r?\n/);
    held = blocks.pop();
    for (const block of blocks) yield fields(block);
  }
}

function fields(block) {
  const found = { event: "message", id: "", data: "" };
  for (const line of block.split(/\r?\n/)) {
    const [, name, value] = /^(\w+): ?(.*)$/s.exec(line) ?? [];
    if (name) found[name] = name === "data" && found.data ? `${found.data}\n${value}` : value;
  }
  return found;
}

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}
