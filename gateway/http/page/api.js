// Calls of the REST API with the key of this tab. Every failure becomes a Refused with its words.

const ROOT = "api/v1";
const KEY = "batchscribe.key";

export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail ?? "The server gave no answer that this page understands.");
    this.status = status;
    this.reason = problem.reason ?? "";
    this.violations = problem.violations ?? [];
  }

  // Whether the same may succeed later; 0 stands for no answer at all.
  get mayPass() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

export const unreachable = () => {
  throw new Refused(0, { detail: "The service cannot be reached. It may be restarting." });
};

export async function request(method, path, { body, headers, signal } = {}) {
  const response = await fetch(`${ROOT}${path}`, {
    method,
    signal,
    headers: { authorization: `Bearer ${key.get()}`, ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  }).catch(unreachable);
  if (response.ok) return response;
  throw new Refused(response.status, await response.json().catch(() => ({})));
}

const json = async (method, path, options) => (await request(method, path, options)).json().catch(unreachable);
const query = (values) => new URLSearchParams(Object.entries(values).filter(([, value]) => value)).toString();

export const api = {
  models: async () => (await json("GET", "/models")).models,
  quota: async () => (await json("GET", "/quota")).quota,
  batches: (page) => json("GET", `/batches?${query({ page_size: 20, page_token: page })}`),
  batch: async (id) => (await json("GET", `/batches/${id}`)).batch,
  create: async (body) => (await json("POST", "/batches", { body })).batch,
  cancel: async (id, items = []) => (await json("POST", `/batches/${id}/cancel`, { body: { item_ids: items } })).batch,
  retry: async (id) => (await json("POST", `/batches/${id}/retry`)).batch,
  delete: (id) => request("DELETE", `/batches/${id}`),
  transcript: (id, page) => json("GET", `/transcripts/${id}?${query({ page_size: 500, page_token: page })}`),
};

// A UUID4. The browser's own exists only on https and localhost.
export function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const digits = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

// Saves what a route answers as a file. A plain link could not carry the key.
export async function download(path) {
  const response = await request("GET", path);
  const named = /filename\*=UTF-8''([^;]+)/.exec(response.headers.get("content-disposition") ?? "");
  const url = URL.createObjectURL(await response.blob().catch(unreachable));
  const link = document.createElement("a");
  link.href = url;
  link.download = named ? decodeURIComponent(named[1]) : "transcript";
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
