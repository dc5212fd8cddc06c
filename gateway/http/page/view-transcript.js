// A finished transcript with its times; searched without leaving the page.

import { api, download } from "./api.js";
import { attempt, h, notify, outside, replace, setText } from "./dom.js";
import { FILE_FORMATS, clock, count, seconds } from "./format.js";
import { nameOf } from "./languages.js";

export async function showTranscript(main, { id, signal }) {
  const first = await api.transcript(id, "");
  if (signal.aborted) return;
  const { transcript } = first;
  document.title = `${transcript.source.title || "Transcript"} · Batchscribe`;
  const text = h("ol", { class: "segments" });
  const search = new Search(text);
  const copy = h("button", { type: "button", hidden: true, onclick: () => attempt(() => copyText(text)) }, "Copy text");
  replace(main, heading(transcript, id, copy), search.element, warnings(transcript), text);
  let page = first;
  for (;;) {
    text.append(...page.transcript.segments.map((segment) => row(segment, transcript.source.url)));
    search.again();
    if (!page.next_page_token || signal.aborted) break;
    page = await api.transcript(id, page.next_page_token);
  }
  copy.hidden = !navigator.clipboard; // Which exists only on https and localhost.
}

async function copyText(segments) {
  await navigator.clipboard.writeText([...segments.querySelectorAll("p")].map((p) => p.textContent).join("\n"));
  notify("The text is copied.");
}

function heading(transcript, id, copy) {
  const { source, provenance } = transcript;
  const facts = [clock(seconds(transcript.duration)), nameOf(transcript.language_code), provenance.model, source.uploader];
  const back = () => { if (history.length > 1) history.back(); else location.hash = "#/"; };
  const save = (format) => h("button", { type: "button", onclick: () => attempt(() => download(`/transcripts/${id}/export?format=${format}`)) }, format);
  return h("section", { class: "card head" },
    h("button", { class: "link back", type: "button", onclick: back }, "Back"),
    h("h1", {}, source.title || source.url),
    h("p", { class: "hint" }, facts.filter(Boolean).join(" · "), " · ", outside(source.url, "source")),
    h("div", { class: "actions", role: "group", "aria-label": "Download or copy" },
      h("span", { class: "hint" }, "Download"), FILE_FORMATS.map(save), copy));
}

function warnings({ warnings, undecoded }) {
  const lost = undecoded.map(({ start_offset: start, end_offset: end }) => `${clock(seconds(start))} to ${clock(seconds(end))}`);
  return h("div", {},
    warnings.map(({ message }) => h("p", { class: "warning" }, message)),
    lost.length ? h("p", { class: "warning" }, `Speech that could not be written down: ${lost.join(", ")}.`) : null);
}

function row(segment, url) {
  const start = seconds(segment.start_offset);
  return h("li", {}, at(url, start), h("p", {}, segment.text.trim()));
}

// Where the site can start at a time, its time is a link.
function at(url, start) {
  const time = h("time", {}, clock(start));
  if (!/^https?:\/\/((www|m)\.)?(youtube\.com|youtu\.be)\//.test(url)) return time;
  const there = new URL(url);
  there.searchParams.set("t", `${Math.floor(start)}s`);
  return outside(there.href, time);
}

class Search {
  constructor(text) {
    this.text = text;
    this.place = 0;
    this.field = h("input", { type: "search", id: "search", placeholder: "Search in this transcript", "aria-label": "Search in this transcript", oninput: () => this.again(), onkeydown: (event) => this.#step(event) });
    this.found = h("span", { class: "hint", role: "status" });
    this.element = h("div", { class: "search" }, this.field, this.found);
  }

  again() {
    const sought = this.field.value.trim().toLowerCase();
    for (const line of this.text.children) mark(line.lastElementChild, sought);
    this.marks = [...this.text.querySelectorAll("mark")];
    this.place = 0;
    setText(this.found, sought ? count(this.marks.length, "place") : "");
    this.#show();
  }

  // Enter goes to the next place, Shift+Enter to the one before.
  #step(event) {
    if (event.key !== "Enter" || !this.marks?.length) return;
    this.place = (this.place + (event.shiftKey ? -1 : 1) + this.marks.length) % this.marks.length;
    setText(this.found, `${this.place + 1} of ${this.marks.length}`);
    this.#show();
  }

  #show() {
    this.marks.forEach((found, place) => found.classList.toggle("current", place === this.place));
    this.marks[this.place]?.scrollIntoView({ block: "center" });
  }
}

function mark(paragraph, sought) {
  const text = paragraph.textContent;
  const parts = [];
  let from = 0;
  for (let at = sought ? text.toLowerCase().indexOf(sought) : -1; at >= 0; at = text.toLowerCase().indexOf(sought, from)) {
    parts.push(text.slice(from, at), h("mark", {}, text.slice(at, at + sought.length)));
    from = at + sought.length;
  }
  if (parts.length || paragraph.childElementCount) replace(paragraph, ...parts, text.slice(from));
}
