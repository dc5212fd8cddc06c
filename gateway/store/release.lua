#!lua flags=allow-oom
-- release(member, epoch, kind, delay_ms, outcome) -> OK | STALE
-- Gives a leased item up without an end. `retry`: the attempt failed, the next may start after
-- delay_ms. `back`: nobody's fault, no attempt is used. `lost`: the transcriber vanished; as `back`,
-- but counted. An item that was to be cancelled is CANCELLED instead.

local item = load_item(ARGV[1])
if not item or not is_leased(item, tonumber(ARGV[2])) then return 'STALE' end
local kind, delay_ms, outcome = ARGV[3], tonumber(ARGV[4]), ARGV[5]
local batch = load_batch(item.user, item.batch)

if item.cancel == '1' then
  settle_item(batch, item, CANCELLED)
elseif kind == 'retry' then
  count_attempt(item)
  end_lease(item)
  move(batch, item, WAITING)
  set(item, {not_before_ms = now + delay_ms, outcome = outcome})
  emit_item(batch, item)
  requeue(batch, item, math.max(delay_ms, 1))
else
  if kind == 'lost' then set(item, {lost = tonumber(item.lost) + 1}) end
  hand_back(batch, item, delay_ms)
end
wake()
return 'OK'
