#!lua flags=allow-oom
-- blame(boot_id, limit, outcome) -> number of items
-- A run of a transcriber ended without a word: each item that was on it is suspected. At `limit`
-- suspicions it is poison and has FAILED. The first gateway to tell counts.

local suspects = key('suspects', ARGV[1])
local members = redis.call('SMEMBERS', suspects)
redis.call('DEL', suspects)
for _, member in ipairs(members) do
  local item, batch = load_both(member)
  if item and not has_ended(item.state) then
    set(item, {suspect = tonumber(item.suspect) + 1})
    if tonumber(item.suspect) >= tonumber(ARGV[2]) then
      if item.cancel == '1' then
        settle_item(batch, item, CANCELLED)
      else
        settle_item(batch, item, FAILED, ARGV[3], 'POISON')
      end
    end
  end
end
commit()
return #members
