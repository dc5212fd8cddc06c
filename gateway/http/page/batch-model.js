// What is known of one batch, kept up to date by the events of its watch.

import { hasEnded, seconds, stateOf } from "./format.js";

export class BatchModel {
  batch = null;
  progress = {};
  items = new Map();

  // Takes one event and returns the ids of the items that moved; null means all of them.
  apply({ event, data }) {
    if (data.progress) this.progress = data.progress;
    this.end = data.estimated_end_time;
    if (event === "snapshot") return this.#begin(data.snapshot);
    if (event === "batch_changed") this.batch = { ...data.batch_changed, items: [] };
    if (event === "item_changed") return this.#change(data.item_changed);
    if (event === "progress_update") return this.#advance(data.progress_update.items);
    return [];
  }

  get state() {
    return stateOf(this.batch?.state);
  }

  get hasEnded() {
    return hasEnded(this.state);
  }

  get name() {
    const first = this.ordered[0];
    const known = this.batch?.display_name || first?.playlist?.title;
    if (known || !first) return known || "Batch";
    const more = this.items.size - 1;
    return `${first.title || first.url}${more ? ` and ${more} more` : ""}`;
  }

  // In the order of the request; the videos of a playlist in its place.
  get ordered() {
    const place = (item) => item.playlist?.place ?? 0;
    return [...this.items.values()].sort((a, b) => a.index - b.index || place(a) - place(b));
  }

  #begin(batch) {
    this.batch = batch;
    this.items = new Map(batch.items.map((item) => [item.item_id, item]));
    return null;
  }

  #change(item) {
    const known = this.items.get(item.item_id);
    this.items.set(item.item_id, { ...item, fraction: known?.fraction });
    return known && Boolean(known.playlist) === Boolean(item.playlist) ? [item.item_id] : null;
  }

  #advance(moved) {
    const known = moved.filter((update) => this.items.has(update.item_id));
    for (const { item_id, fraction } of known) this.items.get(item_id).fraction = fraction;
    return known.map((update) => update.item_id);
  }
}

// How much of an item's audio is done, 0 to 1.
export function fractionOf(item) {
  const state = stateOf(item.state);
  if (state === "succeeded") return 1;
  return state === "transcribing" ? item.fraction ?? 0 : 0;
}

export const lengthOf = (item) => seconds(item.audio_duration);
