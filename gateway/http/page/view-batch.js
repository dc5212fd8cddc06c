// One batch, live: how far it is as a whole, and each of its videos.

import { api, download } from "./api.js";
import { BatchModel, fractionOf, lengthOf } from "./batch-model.js";
import { attempt, h, outside, replace, setText } from "./dom.js";
import { FILE_FORMATS, batchLabel, clock, count, hasEnded, itemLabel, moment, percent, seconds, span, stateOf } from "./format.js";
import { follow } from "./stream.js";

const FILTERS = [
  ["All", () => true],
  ["Running", (state) => state === "fetching" || state === "transcribing"],
  ["Waiting", (state) => state === "pending" || state === "waiting_retry"],
  ["Done", (state) => state === "succeeded"],
  ["Not done", (state) => ["failed", "cancelled", "skipped"].includes(state)],
];

export async function showBatch(main, { id, signal }) {
  const model = new BatchModel();
  const head = new Head(id, () => again());
  const list = new List();
  const line = h("p", { class: "line", role: "status", hidden: true }, "The connection is lost. Coming back by itself…");
  replace(main, line, head.element, list.element);

  async function again() {
    await follow(`/batches/${id}/events`, {
      signal,
      changed: (isConnected) => { line.hidden = isConnected; },
      told: (event) => {
        const moved = model.apply(event);
        head.draw(model);
        list.draw(model, moved);
        document.title = `${percent(model.progress.fraction)} ${model.name} · Batchscribe`;
      },
    });
  }
  await again();
}

class Head {
  constructor(id, again) {
    this.id = id;
    this.again = again;
    this.name = h("h1", {});
    this.badge = h("span", { class: "badge" });
    this.spoken = h("p", { class: "spoken", "aria-live": "polite" });
    this.bar = h("div", { class: "bar-all", role: "progressbar", "aria-label": "The whole batch", "aria-valuemin": "0", "aria-valuemax": "100" });
    this.percent = h("strong", { class: "percent" });
    this.facts = h("dl", { class: "facts" });
    this.actions = h("div", { class: "actions" });
    this.element = h("section", { class: "card head" },
      h("div", { class: "headline" }, this.name, this.badge),
      h("div", { class: "overall" }, this.bar, this.percent),
      this.facts, this.spoken, this.actions);
  }

  draw(model) {
    const { progress, state } = model;
    setText(this.name, model.name);
    setText(this.badge, batchLabel(state));
    this.badge.className = `badge ${state}`;
    setText(this.percent, percent(progress.fraction));
    this.bar.setAttribute("aria-valuenow", Math.floor((progress.fraction ?? 0) * 100));
    this.#drawBar(progress);
    this.#drawFacts(model);
    setText(this.spoken, this.#sentence(model));
    this.#drawActions(model);
  }

  // The share of each outcome by number, and of what is under way by audio.
  #drawBar({ fraction = 0, total = 0, succeeded = 0, failed = 0, cancelled = 0, skipped = 0 }) {
    const bad = total ? (failed + cancelled + skipped) / total : 0;
    const good = total ? succeeded / total : 0;
    const running = Math.max(0, fraction - bad - good);
    const parts = [["good", Math.min(good, fraction)], ["running", running], ["bad", bad]];
    while (this.bar.children.length < parts.length) this.bar.append(h("span"));
    parts.forEach(([name, share], place) => {
      this.bar.children[place].className = name;
      this.bar.children[place].style.width = `${share * 100}%`;
    });
  }

  #drawFacts(model) {
    const { progress, batch } = model;
    const about = progress.audio_total_estimated ? "about " : "";
    const facts = [
      ["Videos", `${progress.succeeded ?? 0} of ${progress.total ?? 0}${progress.unresolved ? "+" : ""}`],
      ["Audio", `${clock(seconds(progress.audio_processed))} of ${about}${clock(seconds(progress.audio_total))}`],
      ["Speed", progress.realtime_factor ? `${progress.realtime_factor.toFixed(1)}× real time` : "–"],
      model.hasEnded ? ["Took", took(batch)] : ["Left", left(model.end)],
    ];
    while (this.facts.children.length < facts.length) this.facts.append(h("div", {}, h("dt"), h("dd")));
    facts.forEach(([name, value], place) => {
      const [term, description] = this.facts.children[place].children;
      setText(term, name);
      setText(description, value);
    });
  }

  #sentence({ progress, hasEnded, state }) {
    if (!hasEnded) return "";
    const bad = (progress.failed ?? 0) + (progress.skipped ?? 0);
    if (state === "succeeded") return `All done: ${count(progress.total, "video")}.`;
    return `Ended: ${progress.succeeded} of ${count(progress.total, "video")} done, ${bad} not${progress.cancelled ? `, ${progress.cancelled} cancelled` : ""}.`;
  }

  #drawActions(model) {
    const now = [model.hasEnded, Boolean(model.progress.succeeded), Boolean(model.progress.failed || model.progress.skipped), model.state].join();
    if (now === this.drawn) return;
    this.drawn = now;
    const format = h("select", { "aria-label": "Format of the files" }, FILE_FORMATS.map((name) => h("option", {}, name)));
    const button = (text, action, style = "") => h("button", { type: "button", class: style, onclick: () => attempt(action) }, text);
    replace(this.actions,
      model.progress.succeeded ? h("span", { class: "joined" }, format,
        button("Download all", () => download(`/batches/${this.id}/export?format=${format.value}`), "primary")) : null,
      model.hasEnded && (model.progress.failed || model.progress.skipped) ? button("Retry failed", () => this.#retry()) : null,
      !model.hasEnded && model.state !== "cancelling" ? button("Cancel", () => this.#cancel()) : null,
      model.hasEnded ? button("Delete", () => this.#delete(), "quiet danger") : null);
  }

  async #retry() {
    await api.retry(this.id);
    await this.again();
  }

  async #cancel() {
    if (confirm("Cancel what has not ended? Finished transcripts stay.")) await api.cancel(this.id);
  }

  async #delete() {
    if (!confirm("Delete this batch and its transcripts for good?")) return;
    await api.delete(this.id);
    location.hash = "#/";
  }
}

const took = ({ start_time: start, end_time: end }) => (start && end ? span((new Date(end) - new Date(start)) / 1000) : "–");
const left = (end) => (end ? `about ${span(Math.max(0, (new Date(end) - Date.now()) / 1000))}` : "–");

class List {
  constructor() {
    this.rows = new Map();
    this.filter = 0;
    this.filters = h("div", { class: "filters", role: "group", "aria-label": "Which videos" });
    this.buttons = FILTERS.map((_, place) => h("button", { type: "button", onclick: () => this.#choose(place) }));
    this.filters.append(...this.buttons);
    this.body = h("ol", { class: "items" });
    this.element = h("section", { "aria-label": "Videos" }, this.filters, this.body);
  }

  draw(model, moved) {
    this.model = model;
    const items = moved === null ? model.ordered : moved.map((id) => model.items.get(id));
    for (const item of items) this.#row(item).draw(item);
    if (moved === null) this.body.replaceChildren(...items.map((item) => this.rows.get(item.item_id).element));
    if (moved === null || moved.length) this.#sift();
  }

  #row(item) {
    if (!this.rows.has(item.item_id)) this.rows.set(item.item_id, new Row());
    return this.rows.get(item.item_id);
  }

  #choose(place) {
    this.filter = place;
    this.#sift();
  }

  #sift() {
    const states = [...this.model.items].map(([id, item]) => [id, stateOf(item.state)]);
    this.buttons.forEach((button, place) => {
      const [name, belongs] = FILTERS[place];
      setText(button, `${name} ${states.filter(([, state]) => belongs(state)).length}`);
      button.setAttribute("aria-pressed", place === this.filter);
    });
    const [, belongs] = FILTERS[this.filter];
    for (const [id, state] of states) this.rows.get(id).element.hidden = !belongs(state);
  }
}

class Row {
  constructor() {
    this.title = h("div", { class: "title" });
    this.stage = h("span", { class: "stage" });
    this.percent = h("span", { class: "of" });
    this.fill = h("span");
    this.bar = h("div", { class: "bar-one", "aria-hidden": "true" }, this.fill);
    this.details = h("div", { class: "details hint" });
    this.trouble = h("div", { class: "trouble" });
    this.element = h("li", {},
      h("div", { class: "what" }, this.title, this.details, this.trouble),
      h("div", { class: "how" }, h("div", {}, this.stage, this.percent), this.bar));
  }

  draw(item) {
    const state = stateOf(item.state);
    this.element.className = state;
    setText(this.stage, itemLabel(state));
    setText(this.percent, state === "transcribing" ? percent(fractionOf(item)) : "");
    this.fill.style.width = `${fractionOf(item) * 100}%`;
    if (this.shown === item.state && this.named === item.title && state === "transcribing") return;
    [this.shown, this.named] = [item.state, item.title];
    this.#drawTitle(item);
    setText(this.details, details(item, state));
    replace(this.trouble, trouble(item, state));
  }

  #drawTitle(item) {
    const text = item.title || item.url;
    replace(this.title,
      item.transcription_id ? h("a", { href: `#/transcripts/${item.transcription_id}` }, text) : outside(item.url, text));
  }
}

function details(item, state) {
  return [
    lengthOf(item) ? clock(lengthOf(item)) : null,
    item.unresolved ? "looking what it is" : null,
    item.attempt_count > 1 ? `attempt ${item.attempt_count}` : null,
    item.reused_from ? "known already" : null,
    item.worker && !hasEnded(state) ? `on ${item.worker}` : null,
    state === "waiting_retry" && item.next_attempt_time ? `next at ${moment(item.next_attempt_time)}` : null,
    item.playlist?.title ? `from ${item.playlist.title}` : null,
  ].filter(Boolean).join(" · ");
}

function trouble(item, state) {
  const told = item.warnings.map(({ message }) => h("p", { class: "warning" }, message));
  if (!item.error || state === "succeeded") return told;
  return [h("p", {}, item.error.message), item.error.hint ? h("p", { class: "hint" }, item.error.hint) : null, ...told];
}
