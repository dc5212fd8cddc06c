-- What changed: the batch's log, and the stream that wakes every gateway.

-- Counts by item state, then what progress is computed from; read by tally.py.
local function tally(batch)
  local values = {}
  for i, field in ipairs(TALLY) do values[i] = batch[field] or '0' end
  -- Gateways that know no playlists read fifteen numbers, and no batch of theirs has more to say.
  if values[#values] == '0' then values[#values] = nil end
  return table.concat(values, ',')
end

-- `woken` holds batches with something new to read; of work that may start it is enough that there is.
local woken, ended_items, cancelled_items, adoptable = {}, {}, {}, {}
local events, has_startable = {}, false

-- For metrics: kept only while a gateway asks for it, see ended.lua.
local function note_end(what, by)
  if redis.call('EXISTS', key('ended')) == 1 then redis.call('HINCRBY', key('ended'), what, by) end
end

local function emit(batch, ...)
  add(batch, 'revision', 1)
  set(batch, {updated_ms = now})
  events[#events + 1] = {
    key('events', batch.user, batch.id), batch.revision .. '-1',
    'at_ms', now, 'tally', tally(batch), ...
  }
  woken[batch.user .. '/' .. batch.id] = true
end

local function emit_batch(batch)
  emit(batch, 'state', batch.state, 'round', batch.round, 'started_ms', batch.started_ms or '',
    'ended_ms', batch.ended_ms or '', 'expires_ms', batch.expires_ms or '')
end

-- A batch that is being cancelled may start too: its first item has been begun all the same.
local function start_batch(batch)
  if (batch.started_ms or '') ~= '' then return end
  local is_pending = tonumber(batch.state) == BATCH_PENDING
  set(batch, {state = is_pending and BATCH_RUNNING or batch.state, started_ms = now})
  emit_batch(batch)
end

local ITEM_FIELDS = {
  'video', 'state', 'attempts', 'worker', 'title', 'duration_ms', 'started_ms', 'ended_ms',
  'not_before_ms', 'outcome', 'notice', 'unresolved', 'transcription_id', 'reused_from',
}

local function emit_item(batch, item)
  local flat = {}
  for _, field in ipairs(ITEM_FIELDS) do
    if item[field] and item[field] ~= '' then
      flat[#flat + 1] = 'item.' .. field
      flat[#flat + 1] = item[field]
    end
  end
  emit(batch, unpack(flat))
end

-- Whether an item may start now, or after its wait within a second.
local function is_work_ready()
  if redis.call('EXISTS', key('users')) == 1 then return true end
  local first = redis.call('ZRANGE', key('delayed'), 0, 0, 'WITHSCORES')
  return #first > 0 and tonumber(first[2]) < now + 1000
end

local function wake()
  local batches = {}
  for member in pairs(woken) do batches[#batches + 1] = member end
  local is_news = #batches + #cancelled_items + #adoptable > 0
  local is_ready = (is_news or has_startable) and is_work_ready()
  if not (is_news or is_ready) then return end
  redis.call('XADD', key('wake'), 'MAXLEN', '~', 10000, '*',
    'batches', table.concat(batches, ' '),
    'ended', table.concat(ended_items, ' '),
    'cancelled', table.concat(cancelled_items, ' '),
    'adoptable', table.concat(adoptable, ' '),
    'ready', is_ready and 1 or 0)
end

-- Writes what has changed, and tells every gateway; called once, at the end of a transition.
local function commit()
  save()
  for _, event in ipairs(events) do redis.call('XADD', unpack(event)) end
  wake()
end
