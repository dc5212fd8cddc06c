#!lua flags=allow-oom
-- cancel(user, batch_id, item_id...) -> {OK} | {NOT_FOUND} | {NO_SUCH_ITEM, item_id}
-- Ends the waiting items of a batch as CANCELLED and flags the running ones; without item ids the
-- whole batch. Items that have ended stay as they are; asking again changes nothing.

local user, batch_id = ARGV[1], ARGV[2]
local batch = load_batch(user, batch_id)
if not batch then return {'NOT_FOUND'} end

local is_whole = #ARGV == 2
local items = is_whole and items_of(batch) or {}
local is_named = {}
for i = 3, #ARGV do
  local item = load_item(user .. '/' .. ARGV[i])
  if not item or item.batch ~= batch_id then return {'NO_SUCH_ITEM', ARGV[i]} end
  if not is_named[item.id] then items[#items + 1] = item end
  is_named[item.id] = true
end
if batch_has_ended(batch) then return {'OK'} end

local running = 0
if is_whole then set(batch, {cancelled = 1}) end
for _, item in ipairs(items) do
  if item.leased == '1' then
    running = running + 1
    if item.cancel ~= '1' then
      set(item, {cancel = 1})
      cancelled_items[#cancelled_items + 1] = item.member
    end
  elseif not has_ended(item.state) then
    finish_item(batch, item, CANCELLED)
  end
end
if is_whole and running > 0 and tonumber(batch.state) ~= BATCH_CANCELLING then
  set(batch, {state = BATCH_CANCELLING})
  emit_batch(batch)
end
settle_queue(batch)
end_batch_if_done(batch)
commit()
return {'OK'}
