-- create(user, batch_id, request_id, body_hash, spec, options, max_concurrent, serial,
--        continue_on_error, keep_ms, deadline_ms, weight, batches_per_minute, most_videos,
--        most_audio_ms, webhook, item_prefix, max_total, trace, (video, task, site, digest)...)
--   -> {CREATED | REPLAYED | CONFLICT, batch_id} | {FULL} | {RATE, wait_ms}
--    | {VIDEOS | AUDIO, usage...}
-- Stores the batch and makes its items ready, or nothing. The same request_id again is REPLAYED with
-- the batch it made; with another body it is CONFLICT. FULL: there is no room for new batches, what
-- is left is for finishing those there are. With `max_total`, to which the batch may grow, each item
-- may be a playlist. What was made of a `digest` before is made of its
-- video too, at once and for nothing. RATE, VIDEOS, AUDIO: the user has had their share.

local user, batch_id, request_id, body_hash = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local per_minute = tonumber(ARGV[13])
local item_prefix, max_total, first = ARGV[17], ARGV[18], 20
local request = key('request', user, request_id)
local MOST_MEMORY = 0.8

local function memory_is_short()
  local memory = redis.call('INFO', 'memory')
  local used = tonumber(memory:match('used_memory:(%d+)'))
  local most = tonumber(memory:match('maxmemory:(%d+)'))
  return most > 0 and used > MOST_MEMORY * most
end

if request_id ~= '' then
  local known = redis.call('HMGET', request, 'body_hash', 'batch_id')
  if known[1] then
    return {known[1] == body_hash and 'REPLAYED' or 'CONFLICT', known[2]}
  end
end
-- The same attempt of the same gateway, whose reply was lost.
if load_batch(user, batch_id) then return {'REPLAYED', batch_id} end
if memory_is_short() then return {'FULL'} end
local wait_ms = rate_wait_ms(user, per_minute)
if wait_ms > 0 then return {'RATE', wait_ms} end

local total, fresh, known = (#ARGV - first + 1) / 4, 0, {}
for index = 0, total - 1 do
  known[index] = known_result(user, ARGV[first + 4 * index + 3])
  if not known[index] then fresh = fresh + 1 end
end
local month = month_of(now)
local refusal = quota_refusal(user, month, fresh, ARGV[14], ARGV[15])
if refusal then return refusal end

local batch = {key = key('batch', user, batch_id), user = user, id = batch_id}
set(batch, {
  spec = ARGV[5], options = ARGV[6], state = BATCH_PENDING, revision = 0, round = 1,
  total = total, placed = 0, max_concurrent = ARGV[7], serial = ARGV[8],
  continue_on_error = ARGV[9], keep_ms = ARGV[10], deadline_ms = ARGV[11], weight = ARGV[12],
  month = month, most_videos = ARGV[14], most_audio_ms = ARGV[15],
  webhook = ARGV[16], item_prefix = item_prefix, cancelled = 0, created_ms = now, updated_ms = now,
  n1 = total, n2 = 0, n3 = 0, n4 = 0, n5 = 0, n6 = 0, n7 = 0, n8 = 0,
  known = 0, known_audio_ms = 0, ended_unknown = 0, ended_audio_ms = 0, done_audio_ms = 0,
  max_total = max_total, unresolved = max_total == '' and 0 or total, trace = ARGV[19],
})
local items = {}
for index = 0, total - 1 do
  local at = first + 4 * index
  items[index] = add_item(batch, string.format('%s_%d', item_prefix, index), {
    index = index, video = ARGV[at], task = ARGV[at + 1], site = ARGV[at + 2],
    unresolved = max_total ~= '' and 1 or nil,
  })
end
reserve(batch, fresh)
count_batch(user, per_minute)
redis.call('ZADD', key('index', user), now, batch_id)
redis.call('ZADD', key('deadlines'), now + tonumber(batch.deadline_ms), user .. '/' .. batch_id)
if request_id ~= '' then
  redis.call('HSET', request, 'body_hash', body_hash, 'batch_id', batch_id)
  redis.call('PEXPIRE', request, 24 * 3600 * 1000)
end
emit_batch(batch)
for index = 0, total - 1 do
  if known[index] then reuse_result(batch, items[index], known[index]) end
end
settle_queue(batch)
end_batch_if_done(batch)
commit()
return {'CREATED', batch_id}
