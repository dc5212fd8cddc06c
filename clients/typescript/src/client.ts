/**
 * The client: one connection, one key, every call of the contract, and a watch that resumes.
 */

import { createClient, type Client as Calls, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { BatchService, type WatchBatchResponse } from "../gen/batchscribe/v1/batch_service_pb.js";
import { WebhookService } from "../gen/batchscribe/v1/webhook_service_pb.js";
import { reliable } from "./transport.ts";
import { ResumingWatch, type WatchOptions } from "./watch.ts";

const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;
const KEEPALIVE = { pingIntervalMs: 30_000, pingTimeoutMs: 10_000 };

export interface ClientOptions {
  /** `host:port`, or an address that begins with `https://` for TLS; default `127.0.0.1:50051`. */
  readonly server?: string | undefined;
  readonly apiKey?: string | undefined;
  /** PEM text of those who may vouch for the server, if not the usual authorities; means TLS. */
  readonly ca?: string | Buffer | undefined;
  /** An admin may read the batches of this user. */
  readonly asUser?: string | undefined;
  /** Deadline of one try of a unary call; default 10 s. */
  readonly timeoutMs?: number;
  /** How long unary calls are repeated while the server is unavailable; default 30 s. */
  readonly retryMs?: number;
  /** How long a watch keeps trying to reach a silent server; default 10 min. */
  readonly patienceMs?: number;
}

/** A connection to a Batchscribe server. Everything it throws is a `BatchscribeError`. */
export class Client {
  /** Every call of `BatchService`, typed by the contract. */
  readonly batches: Calls<typeof BatchService>;
  /** Every call of `WebhookService`, typed by the contract. */
  readonly webhooks: Calls<typeof WebhookService>;
  readonly #sessions: Http2SessionManager;
  readonly #patienceMs: number;

  constructor(options: ClientOptions = {}) {
    const { server = "127.0.0.1:50051", ca, timeoutMs = 10_000, retryMs = 30_000 } = options;
    const baseUrl = server.includes("://") ? server : `${ca ? "https" : "http"}://${server}`;
    this.#sessions = new Http2SessionManager(baseUrl, KEEPALIVE, ca ? { ca } : undefined);
    this.#patienceMs = options.patienceMs ?? 600_000;
    const wire = createGrpcTransport({
      baseUrl,
      sessionManager: this.#sessions,
      interceptors: [identified(options)],
      readMaxBytes: MAX_MESSAGE_BYTES,
      writeMaxBytes: MAX_MESSAGE_BYTES,
    });
    const transport = reliable(wire, { timeoutMs, retryMs });
    this.batches = createClient(BatchService, transport);
    this.webhooks = createClient(WebhookService, transport);
  }

  /**
   * Yields every change of a batch once, in order, and its progress, until it has ended.
   *
   * Reconnects by itself. Leaving the loop never cancels the batch.
   */
  watchBatch(
    batchId: string,
    options: WatchOptions = {},
  ): AsyncGenerator<WatchBatchResponse, void, undefined> {
    const open = (afterRevision: bigint, signal: AbortSignal) =>
      this.batches.watchBatch({ batchId, afterRevision }, { signal });
    return new ResumingWatch(open, this.#patienceMs, options).events();
  }

  /** Ends the connection and the calls on it. */
  close(): void {
    this.#sessions.abort();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function identified({ apiKey, asUser }: ClientOptions): Interceptor {
  return (next) => (request) => {
    if (apiKey) request.header.set("authorization", `Bearer ${apiKey}`);
    if (asUser) request.header.set("x-batchscribe-user", asUser);
    return next(request);
  };
}
