-- retry(user, batch_id, most_videos, most_audio_ms)
--   -> {OK | NOT_FOUND | RUNNING | NOTHING} | {VIDEOS | AUDIO, usage...}
-- Starts a new round of an ended batch: its failed and skipped items run again with fresh counters,
-- and count anew. VIDEOS, AUDIO: the user has had their share.

local batch = load_batch(ARGV[1], ARGV[2])
if not batch then return {'NOT_FOUND'} end
if not batch_has_ended(batch) then return {'RUNNING'} end
local again = batch.n6 + batch.n8
if again == 0 then return {'NOTHING'} end
local month = month_of(now)
local refusal = quota_refusal(batch.user, month, again, ARGV[3], ARGV[4])
if refusal then return refusal end

local member = batch.user .. '/' .. batch.id
redis.call('ZREM', key('expiry'), member)
redis.call('ZADD', key('deadlines'), now + tonumber(batch.deadline_ms), member)
add(batch, 'round', 1)
-- What the earlier rounds did says nothing about the speed of this one.
set(batch, {
  state = BATCH_PENDING, started_ms = '', ended_ms = '', expires_ms = '', cancelled = 0,
  done_audio_ms = 0, month = month, most_videos = ARGV[3], most_audio_ms = ARGV[4],
})
reserve(batch, again)
emit_batch(batch)
for _, item in ipairs(items_of(batch)) do
  local state = tonumber(item.state)
  if state == FAILED or state == SKIPPED then
    untally_end(batch, item)
    move(batch, item, PENDING)
    set(item, anew({started_ms = '', ended_ms = '', outcome = ''}))
    emit_item(batch, item)
    requeue(batch, item, 0)
  end
end
commit()
return {'OK'}
