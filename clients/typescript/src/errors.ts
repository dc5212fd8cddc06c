/**
 * The one error that calls raise, with what the server said about it in its details.
 */

import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "../gen/google/rpc/error_details_pb.js";

/** One bad field of a request: its path, such as `videos[3].url`, and what is wrong. */
export interface FieldViolation {
  readonly field: string;
  readonly description: string;
}

/** A call that failed; `code` is the gRPC status, `reason` a fixed upper-case word for programs. */
export class BatchscribeError extends Error {
  override readonly name = "BatchscribeError";
  readonly code: Code;
  readonly reason: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** Every bad field at once, with `Code.InvalidArgument`. */
  readonly violations: readonly FieldViolation[];
  /** When the server asks for the same call again; undefined if it does not. */
  readonly retryAfterMs: number | undefined;

  constructor(error: ConnectError) {
    super(error.rawMessage, { cause: error });
    const [info] = error.findDetails(ErrorInfoSchema);
    const [retry] = error.findDetails(RetryInfoSchema);
    this.code = error.code;
    this.reason = info?.reason ?? "";
    this.metadata = info?.metadata ?? {};
    this.violations = error.findDetails(BadRequestSchema).flatMap((bad) => bad.fieldViolations);
    this.retryAfterMs = retry?.retryDelay && durationMs(retry.retryDelay);
  }
}

/** Returns whatever a call raised as a `BatchscribeError`. */
export function translated(error: unknown): BatchscribeError {
  return error instanceof BatchscribeError ? error : new BatchscribeError(ConnectError.from(error));
}
