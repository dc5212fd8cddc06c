/**
 * How calls go out: unary ones with a deadline, and again while the server is away.
 *
 * Whatever creates something carries a request id, so that repeating it is safe.
 */

import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { Code, type Transport } from "@connectrpc/connect";
import { CreateBatchRequestSchema } from "../gen/batchscribe/v1/batch_service_pb.js";
import { Backoff } from "./backoff.ts";
import { translated, type BatchscribeError } from "./errors.ts";

export interface Deadlines {
  /** Of one try of a unary call. */
  readonly timeoutMs: number;
  /** Over which unary calls are repeated while the server is unavailable. */
  readonly retryMs: number;
}

/** Returns `inner` with retries for unary calls; all it throws is a `BatchscribeError`. */
export function reliable(inner: Transport, { timeoutMs, retryMs }: Deadlines): Transport {
  return {
    unary(method, signal, timeout, header, input, context) {
      const request = repeatable(method, input);
      const deadline = timeout ?? timeoutMs;
      const once = () => inner.unary(method, signal, deadline, header, request, context);
      return retrying(once, retryMs, signal);
    },
    async stream(method, signal, timeout, header, input, context) {
      // No deadline of ours: Connect would keep its timer, and Node alive, after a loop is left.
      try {
        const response = await inner.stream(method, signal, timeout, header, input, context);
        return { ...response, message: translating(response.message) };
      } catch (error) {
        throw translated(error);
      }
    },
  };
}

function repeatable<I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O>,
  input: MessageInitShape<I>,
): MessageShape<I> {
  const request = create(method.input, input);
  if (request.$typeName === CreateBatchRequestSchema.typeName && "requestId" in request) {
    request.requestId ||= randomUUID();
  }
  return request;
}

async function retrying<T>(
  call: () => Promise<T>,
  retryMs: number,
  signal: AbortSignal | undefined,
): Promise<T> {
  const backoff = new Backoff();
  const giveUpAt = performance.now() + retryMs;
  while (true) {
    try {
      return await call();
    } catch (error) {
      const failure = translated(error);
      const delayMs = backoff.nextDelayMs(failure.retryAfterMs);
      if (!isAway(failure) || performance.now() + delayMs > giveUpAt) throw failure;
      await sleep(delayMs, undefined, signal && { signal });
    }
  }
}

// Node says ABORTED of a connection that broke; what a server aborts has a reason.
function isAway({ code, reason }: BatchscribeError): boolean {
  return code === Code.Unavailable || (code === Code.Aborted && reason === "");
}

async function* translating<T>(messages: AsyncIterable<T>): AsyncGenerator<T, void, undefined> {
  try {
    yield* messages;
  } catch (error) {
    throw translated(error);
  }
}
