#!lua flags=no-writes
-- read(user, batch_id, with_items) -> {batch, tally, {item...}} | nil, hashes flat
-- A batch and its items as of one moment.

local batch = load_batch(ARGV[1], ARGV[2])
if not batch then return nil end
local items = {}
if ARGV[3] == '1' then
  for _, item_id in ipairs(item_ids(batch)) do
    items[#items + 1] = redis.call('HGETALL', key('item', batch.user, item_id))
  end
end
return {redis.call('HGETALL', batch.key), tally(batch), items}
