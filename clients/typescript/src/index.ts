/**
 * The Batchscribe client for Node: transcribe many videos with one request.
 *
 * Messages are those of the contract (`batchscribe.v1`).
 */

export { Code } from "@connectrpc/connect";
export * from "../gen/batchscribe/v1/batch_pb.js";
export * from "../gen/batchscribe/v1/batch_service_pb.js";
export * from "../gen/batchscribe/v1/transcript_pb.js";
export * from "../gen/batchscribe/v1/webhook_service_pb.js";
export { Client, type ClientOptions } from "./client.ts";
export { BatchscribeError, type FieldViolation } from "./errors.ts";
export { ENDED_BATCH_STATES, ENDED_ITEM_STATES, isLast } from "./states.ts";
export type { WatchOptions } from "./watch.ts";
