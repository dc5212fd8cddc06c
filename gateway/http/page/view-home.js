// A new batch, and those there have been.

import { Refused, api, uuid } from "./api.js";
import { attempt, h, replace } from "./dom.js";
import { batchLabel, count, moment, seconds, span, stateOf } from "./format.js";
import { languages } from "./languages.js";

const MAX_QUIET_LINES = 10;

export async function showHome(main, { signal }) {
  const [models, quota, page] = await Promise.all([api.models(), api.quota(), api.batches("")]);
  if (signal.aborted) return;
  document.title = "Batchscribe";
  replace(main, newBatch(models, quota), pastBatches(page));
}

function newBatch(models, quota) {
  const urls = h("textarea", {
    id: "urls", rows: "6", required: true, spellcheck: "false", autocapitalize: "off",
    placeholder: "https://…\nhttps://…", "aria-describedby": "urls-count refusals", oninput: () => update(),
  });
  const counted = h("span", { id: "urls-count", class: "hint", "aria-live": "polite" });
  const refusals = h("ul", { id: "refusals", class: "refusals", role: "alert" });
  const language = h("select", { id: "language" },
    h("option", { value: "auto" }, "Detect"),
    languages().map(({ code, name }) => h("option", { value: code }, name)));
  const model = h("select", { id: "model" }, models.map(({ name, is_default: isDefault }) =>
    h("option", { value: name, selected: isDefault }, isDefault ? `${name} (default)` : name)));
  const playlists = h("input", { id: "playlists", type: "checkbox" });
  const name = h("input", { id: "name", maxlength: "63", placeholder: "Optional" });
  const start = h("button", { class: "primary" }, "Transcribe");
  let sent = {};

  function update() {
    const { length } = lines(urls.value);
    const most = quota.max_videos_per_batch;
    counted.textContent = length ? `${count(length, "address", "addresses")} of at most ${most}` : `One address a line, at most ${most}.`;
    counted.classList.toggle("over", length > most);
  }

  async function send(event) {
    event.preventDefault();
    const given = lines(urls.value);
    const wish = {
      display_name: name.value.trim(),
      videos: given.map(({ text }) => ({ url: text, language: language.value, model: model.value })),
      options: { expand_playlists: playlists.checked },
    };
    replace(refusals);
    start.disabled = true;
    try {
      const batch = await api.create({ ...wish, request_id: idOf(wish) });
      location.hash = `#/batches/${batch.batch_id}`;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      replace(refusals, told(error, given, urls));
    } finally {
      start.disabled = false;
    }
  }

  // Of the same wish sent again, after an answer that was lost, no second batch is made.
  function idOf(wish) {
    const text = JSON.stringify(wish);
    if (sent.text !== text) sent = { text, id: uuid() };
    return sent.id;
  }

  update();
  return h("section", { class: "card" },
    h("h1", {}, "New batch"),
    h("form", { onsubmit: send },
      h("label", { for: "urls" }, "Videos, playlists or feeds"),
      urls,
      h("div", { class: "beneath" }, counted, allowance(quota)),
      refusals,
      h("div", { class: "fields" },
        field("language", "Spoken language", language),
        field("model", "Model", model),
        field("name", "Name", name)),
      h("div", { class: "send" },
        h("label", { class: "check" }, playlists, "Take playlists and feeds apart into their videos"),
        start)));
}

const field = (id, label, input) => h("div", {}, h("label", { for: id }, label), input);

// The lines that hold something, with where they are in the text.
function lines(text) {
  const found = [];
  let start = 0;
  for (const [number, line] of text.split("\n").entries()) {
    if (line.trim()) found.push({ text: line.trim(), number: number + 1, start, end: start + line.length });
    start += line.length + 1;
  }
  return found;
}

// What was refused, each with the line it is about; choosing it selects the line.
function told(error, given, urls) {
  const violations = error.violations.length ? error.violations : [{ field: "", description: error.message }];
  const shown = violations.slice(0, MAX_QUIET_LINES).map(({ field, description }) => {
    const line = given[/^videos\[(\d+)\]/.exec(field)?.[1]];
    if (!line) return h("li", {}, description);
    const select = () => { urls.focus(); urls.setSelectionRange(line.start, line.end); };
    return h("li", {}, h("button", { class: "link", type: "button", onclick: select }, `Line ${line.number}`), `: ${description}`);
  });
  const left = violations.length - shown.length;
  return left > 0 ? [...shown, h("li", {}, `and ${left} more`)] : shown;
}

function allowance(quota) {
  const parts = [];
  if (quota.monthly_videos) {
    parts.push(`${Number(quota.videos_used) + Number(quota.videos_reserved)} of ${quota.monthly_videos} videos`);
  }
  if (quota.monthly_audio) parts.push(`${span(seconds(quota.audio_used))} of ${span(seconds(quota.monthly_audio))}`);
  return parts.length ? h("span", { class: "hint", id: "quota" }, `This month: ${parts.join(", ")}`) : null;
}

function pastBatches(first) {
  const list = h("ul", { class: "batches" });
  const more = h("button", { class: "quiet", type: "button" }, "Show more");
  function add({ batches, next_page_token: next }) {
    list.append(...batches.map(row));
    more.hidden = !next;
    more.onclick = () => attempt(async () => add(await api.batches(next)));
  }
  add(first);
  const none = h("p", { class: "hint" }, "Nothing yet. What you transcribe is listed here.");
  return h("section", {}, h("h2", {}, "Your batches"), first.batches.length ? list : none, more);
}

function row(batch) {
  const { progress } = batch;
  const state = stateOf(batch.state);
  const failed = progress.failed ? `, ${progress.failed} failed` : "";
  return h("li", {},
    h("a", { href: `#/batches/${batch.batch_id}` },
      h("span", { class: "title" }, batch.display_name || `Batch of ${moment(batch.create_time)}`),
      h("span", { class: `badge ${state}` }, batchLabel(state)),
      h("span", { class: "hint" }, `${progress.succeeded} of ${count(progress.total, "video")}${failed}`),
      h("span", { class: "hint when" }, moment(batch.create_time))));
}
