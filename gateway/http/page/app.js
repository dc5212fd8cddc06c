// Which view the address asks for. The key comes in the address's fragment, which no server sees,
// and leaves it at once.

import { Refused, key } from "./api.js";
import { h, notify, replace } from "./dom.js";
import { showBatch } from "./view-batch.js";
import { showHome } from "./view-home.js";
import { showKey } from "./view-key.js";
import { showTranscript } from "./view-transcript.js";

const VIEWS = [
  [/^#\/batches\/([\w-]+)$/, showBatch],
  [/^#\/transcripts\/([\w-]+)$/, showTranscript],
  [/^/, showHome],
];

const main = document.getElementById("main");
let leaving = new AbortController();

function takeKey() {
  const given = /^#key=(.+)$/.exec(location.hash);
  if (!given) return;
  key.set(decodeURIComponent(given[1]));
  history.replaceState(null, "", "#/");
}

async function show() {
  takeKey();
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  showSession();
  if (!key.get()) return showKey(main, "", show);
  const [pattern, view] = VIEWS.find(([pattern]) => pattern.test(location.hash));
  const [, id] = pattern.exec(location.hash);
  try {
    await view(main, { id, signal });
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (!signal.aborted) refuse(error);
  }
}

function refuse(error) {
  if (error.status === 401) {
    key.forget();
    showSession();
    return showKey(main, error.message, show);
  }
  replace(main, h("section", { class: "empty" },
    h("h1", {}, error.message),
    error.mayPass ? h("button", { type: "button", onclick: show }, "Try again") : h("a", { href: "#/" }, "Back to your batches")));
}

function showSession() {
  const leave = () => { key.forget(); notify("Signed out. The key is gone from this tab."); location.hash = "#/"; show(); };
  replace(document.getElementById("session"), key.get() ? h("button", { class: "quiet", type: "button", onclick: leave }, "Sign out") : null);
}

// Who cannot see that the view is another one is led to its beginning.
function begin() {
  main.focus({ preventScroll: true });
  scrollTo(0, 0);
}

addEventListener("hashchange", () => { begin(); show(); });
document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); begin(); });
show();
