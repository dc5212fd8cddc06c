/**
 * A watch that outlives its connections.
 *
 * The cursor is the last stored revision the caller was given. Every new connection resumes after
 * it and anything at or below it is dropped, so the caller sees each change once, in order.
 */

import { setTimeout as sleep } from "node:timers/promises";
import { Code } from "@connectrpc/connect";
import type { WatchBatchResponse } from "../gen/batchscribe/v1/batch_service_pb.js";
import { Backoff } from "./backoff.ts";
import { translated, type BatchscribeError } from "./errors.ts";
import { isLast } from "./states.ts";

/** Opens one connection that begins after a revision and ends when `signal` is aborted. */
export type OpenStream = (
  afterRevision: bigint,
  signal: AbortSignal,
) => AsyncIterable<WatchBatchResponse>;

const PASSING: ReadonlySet<Code> = new Set([
  Code.Unavailable,
  Code.DeadlineExceeded,
  Code.Aborted,
  Code.Canceled,
  Code.Internal,
  Code.Unknown,
  Code.DataLoss,
  Code.ResourceExhausted,
]);

export interface WatchOptions {
  /** The last revision you have seen; 0 begins with a snapshot. */
  readonly afterRevision?: bigint;
  /** Ends the watch, with the signal's own reason. */
  readonly signal?: AbortSignal;
}

export class ResumingWatch {
  readonly #open: OpenStream;
  readonly #patienceMs: number;
  readonly #signal: AbortSignal | undefined;
  readonly #backoff = new Backoff();
  #cursor: bigint;
  #lastHeard = performance.now();

  constructor(open: OpenStream, patienceMs: number, { afterRevision, signal }: WatchOptions) {
    this.#open = open;
    this.#patienceMs = patienceMs;
    this.#cursor = afterRevision ?? 0n;
    this.#signal = signal;
  }

  /**
   * Yields changes and progress until the batch has ended.
   *
   * Throws what makes another try useless, and the last failure once the server has been silent
   * for the whole patience.
   */
  async *events(): AsyncGenerator<WatchBatchResponse, void, undefined> {
    while (true) {
      try {
        yield* this.#connection();
        return;
      } catch (error) {
        this.#signal?.throwIfAborted();
        const delayMs = this.#delayAfter(translated(error));
        await sleep(delayMs, undefined, this.#signal && { signal: this.#signal });
      }
    }
  }

  async *#connection(): AsyncGenerator<WatchBatchResponse, void, undefined> {
    const left = new AbortController();
    const signals = this.#signal ? [left.signal, this.#signal] : [left.signal];
    try {
      for await (const event of this.#open(this.#cursor, AbortSignal.any(signals))) {
        this.#lastHeard = performance.now();
        this.#backoff.reset();
        if (this.#isNews(event)) yield event;
        if (isLast(event)) return;
      }
    } finally {
      left.abort();
    }
  }

  #isNews({ event, revision }: WatchBatchResponse): boolean {
    if (event.case === "progressUpdate") return true;
    if (event.case === "heartbeat" || event.case === undefined) return false;
    const isNew = revision > this.#cursor;
    if (isNew) this.#cursor = revision;
    return isNew;
  }

  /** Returns how long to wait before resuming; throws `failure` if that is of no use. */
  #delayAfter(failure: BatchscribeError): number {
    const silentMs = performance.now() - this.#lastHeard;
    if (failure.code === Code.OutOfRange && this.#cursor > 0n) {
      // The server lost what it had told us (a failover): begin again with a snapshot.
      this.#cursor = 0n;
    } else if (!PASSING.has(failure.code) || silentMs > this.#patienceMs) {
      throw failure;
    }
    return this.#backoff.nextDelayMs(failure.retryAfterMs);
  }
}
