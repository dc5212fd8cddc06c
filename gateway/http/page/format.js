// Values of the API as people read them.

export const FILE_FORMATS = ["txt", "srt", "vtt", "json", "jsonl"];

export const seconds = (duration) => (duration ? Number.parseFloat(duration) : 0);

export const stateOf = (name) => (name ?? "").replace(/^(ITEM|BATCH)_STATE_/, "").toLowerCase();

const ITEM_LABELS = {
  pending: "Waiting",
  fetching: "Fetching",
  transcribing: "Transcribing",
  waiting_retry: "Tries again",
  succeeded: "Done",
  failed: "Failed",
  cancelled: "Cancelled",
  skipped: "Skipped",
};

const BATCH_LABELS = {
  pending: "Waiting",
  running: "Running",
  cancelling: "Cancelling",
  succeeded: "Done",
  partially_succeeded: "Partly done",
  failed: "Failed",
  cancelled: "Cancelled",
};

export const itemLabel = (state) => ITEM_LABELS[state] ?? state;
export const batchLabel = (state) => BATCH_LABELS[state] ?? state;

export const hasEnded = (state) =>
  ["succeeded", "partially_succeeded", "failed", "cancelled", "skipped"].includes(state);

const two = (number) => String(number).padStart(2, "0");

// 75 -> 1:15, 3675 -> 1:01:15
export function clock(total) {
  const whole = Math.floor(total);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

// 40 -> 40 s, 200 -> 3 min, 9000 -> 2 h 30 min
export function span(total) {
  if (total < 60) return `${Math.max(0, Math.round(total))} s`;
  const minutes = Math.round(total / 60);
  if (minutes < 60) return `${minutes} min`;
  return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`;
}

export function moment(timestamp) {
  if (!timestamp) return "";
  const date = new Date(timestamp);
  const isToday = date.toDateString() === new Date().toDateString();
  return date.toLocaleString(undefined, isToday ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" });
}

export const percent = (fraction) => `${Math.floor((fraction ?? 0) * 100)}%`;

export const count = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;
