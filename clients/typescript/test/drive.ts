/**
 * Does one thing with the client and says in lines of JSON what came of it, for tests in Python.
 *
 * Arguments: the client's options as JSON, what to do, and the arguments of that.
 */

import { toJson } from "@bufbuild/protobuf";
import { BatchscribeError, BatchSchema, Client, Code, ModelSchema } from "../src/index.ts";

const [options = "{}", action = "", ...args] = process.argv.slice(2);

const actions: Record<string, (client: Client) => Promise<void>> = {
  async watch(client) {
    const [batchId = "", afterRevision = "0"] = args;
    const options = { afterRevision: BigInt(afterRevision) };
    for await (const { revision, event } of client.watchBatch(batchId, options)) {
      say({ revision: Number(revision), event: event.case });
    }
  },
  async watchFirst(client) {
    for await (const event of client.watchBatch(args[0] ?? "")) {
      say({ event: event.event.case });
      break;
    }
  },
  async watchUntilAborted(client) {
    const left = new AbortController();
    const events = client.watchBatch(args[0] ?? "", { signal: left.signal });
    try {
      for await (const { event } of events) {
        say({ event: event.case });
        left.abort("enough");
      }
    } catch (reason) {
      say({ reason });
    }
  },
  async create(client) {
    const { batch } = await client.batches.createBatch({ videos: args.map((url) => ({ url })) });
    say(batch && toJson(BatchSchema, batch));
  },
  async models(client) {
    const { models } = await client.batches.listModels({});
    say(models.map((model) => toJson(ModelSchema, model)));
  },
};

function say(what: unknown): void {
  console.log(JSON.stringify(what));
}

using client = new Client(JSON.parse(options));
try {
  await actions[action]?.(client);
} catch (error) {
  if (!(error instanceof BatchscribeError)) throw error;
  const { code, message, reason, metadata, violations, retryAfterMs } = error;
  const fields = violations.map(({ field }) => field);
  say({ code: Code[code], message, reason, metadata, fields, retryAfterMs });
  process.exitCode = 1;
}
