/**
 * Which states are ends.
 */

import { BatchState, ItemState, type Batch } from "../gen/batchscribe/v1/batch_pb.js";
import type { WatchBatchResponse } from "../gen/batchscribe/v1/batch_service_pb.js";

export const ENDED_ITEM_STATES: ReadonlySet<ItemState> = new Set([
  ItemState.SUCCEEDED,
  ItemState.FAILED,
  ItemState.CANCELLED,
  ItemState.SKIPPED,
]);

export const ENDED_BATCH_STATES: ReadonlySet<BatchState> = new Set([
  BatchState.SUCCEEDED,
  BatchState.PARTIALLY_SUCCEEDED,
  BatchState.FAILED,
  BatchState.CANCELLED,
]);

/** Returns the batch that an event carries. */
export function changedBatch({ event }: WatchBatchResponse): Batch | undefined {
  return event.case === "snapshot" || event.case === "batchChanged" ? event.value : undefined;
}

/** True for the event that ends a watch: the batch itself, in an ended state. */
export function isLast(event: WatchBatchResponse): boolean {
  const batch = changedBatch(event);
  return batch !== undefined && ENDED_BATCH_STATES.has(batch.state);
}
