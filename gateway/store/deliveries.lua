#!lua flags=no-writes
-- deliveries(user, batch_id) -> {message...} newest first, hashes flat | nil
-- The webhook messages of a batch.

local batch = load_batch(ARGV[1], ARGV[2])
if not batch then return nil end
local messages = {}
for round = tonumber(batch.round), 1, -1 do
  local name = key('message', batch.user, webhook_id(batch, round))
  if redis.call('EXISTS', name) == 1 then
    messages[#messages + 1] = redis.call('HGETALL', name)
  end
end
return messages
