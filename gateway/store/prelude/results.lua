-- Transcripts that may stand for those of the same job asked for again by the same user.
--
-- A copy belongs to its own item and batch from the start, so the source may be deleted.

-- Points to the newest item with the transcript of a job.
local function remember_result(item, digest)
  redis.call('SET', key('result', item.user, digest), item.member)
  set(item, {digest = digest})
end

local function forget_result(item)
  if not item.digest then return end
  local name = key('result', item.user, item.digest)
  if redis.call('GET', name) == item.member then redis.call('DEL', name) end
end

local function known_result(user, digest)
  local member = digest ~= '' and redis.call('GET', key('result', user, digest))
  return member and load_item(member) or nil
end

-- Ends an item that has not started with a copy of what `source` came to.
local function reuse_result(batch, item, source)
  local id = 'trans_' .. redis.sha1hex(item.id):sub(1, 24)
  redis.call('COPY', key('transcript', item.user, source.transcription_id),
    key('transcript', item.user, id))
  set(item, {reused_from = source.id, transcription_id = id, title = source.title or ''})
  remember_result(item, source.digest)
  mark_resolved(batch, item)
  learn_duration(batch, item, source.duration_ms)
  start_batch(batch)
  finish_item(batch, item, SUCCEEDED, source.outcome)
end
