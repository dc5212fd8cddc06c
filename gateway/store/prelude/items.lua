-- An item's lease, state and attempts, and what they add to its batch's counts.

local function end_solitude(item)
  if redis.call('GET', key('alone', item.address)) == item.member then
    redis.call('DEL', key('alone', item.address))
  end
end

local function end_lease(item)
  redis.call('ZREM', key('leases'), item.member)
  redis.call('SREM', key('worker', item.address), item.member)
  end_solitude(item)
  set(item, {leased = 0})
end

-- A waiting item may be offered to the transcriber at its address, or have it kept for itself.
local function leave_transcriber(item)
  if not item.address then return end
  redis.call('ZREM', key('adopt', item.address), item.member)
  end_solitude(item)
end

local function move(batch, item, state)
  add(batch, 'n' .. item.state, -1)
  add(batch, 'n' .. state, 1)
  set(item, {state = state})
end

-- An attempt counts once the transcriber has begun, or has answered; with the first the batch starts.
local function count_attempt(batch, item)
  start_batch(batch)
  if item.attempt_epoch == item.epoch then return end
  set(item, {attempts = tonumber(item.attempts) + 1, attempt_epoch = item.epoch})
end

-- Adds a line to the item's history, if the attempt has begun; read by reading.py.
local ATTEMPT = {SUCCEEDED = 1, FAILED = 2, LOST = 3, HANDED_BACK = 4, CANCELLED = 5}

local function log_attempt(item, result, reason)
  if item.attempt_epoch ~= item.epoch then return end
  local line = cjson.encode({tonumber(item.leased_ms), now, item.worker or '', result, reason})
  set(item, {history = (item.history or '') .. line .. '\n'})
end

local function uncount_attempt(item)
  if item.attempt_epoch ~= item.epoch then return end
  set(item, {attempts = tonumber(item.attempts) - 1, attempt_epoch = 0})
end

-- A batch counts those of its open items that may be playlists.
local function mark_resolved(batch, item)
  if item.unresolved ~= '1' then return end
  set(item, {unresolved = ''})
  add(batch, 'unresolved', -1)
end

local function learn_duration(batch, item, duration_ms)
  duration_ms = tonumber(duration_ms) or 0
  if duration_ms <= 0 then return end
  if not item.duration_ms then add(batch, 'known', 1) end
  add(batch, 'known_audio_ms', duration_ms - tonumber(item.duration_ms or 0))
  set(item, {duration_ms = duration_ms})
end

local function tally_end(batch, item)
  if item.unresolved == '1' then add(batch, 'unresolved', -1) end
  if item.duration_ms then
    add(batch, 'ended_audio_ms', tonumber(item.duration_ms))
  else
    add(batch, 'ended_unknown', 1)
  end
  -- What is reused says nothing about speed.
  if tonumber(item.state) == SUCCEEDED and not item.reused_from then
    add(batch, 'done_audio_ms', tonumber(item.duration_ms or 0))
  end
end

local function untally_end(batch, item)
  if item.unresolved == '1' then add(batch, 'unresolved', 1) end
  if (item.duration_ms or '') ~= '' then
    add(batch, 'ended_audio_ms', -tonumber(item.duration_ms))
  else
    add(batch, 'ended_unknown', -1)
  end
end

local RESULT_OF_STATE = {
  [SUCCEEDED] = ATTEMPT.SUCCEEDED, [FAILED] = ATTEMPT.FAILED, [CANCELLED] = ATTEMPT.CANCELLED,
}

local function finish_item(batch, item, state, outcome, reason)
  if item.leased == '1' then
    log_attempt(item, RESULT_OF_STATE[state], reason or '')
    end_lease(item)
  else
    leave_transcriber(item)
  end
  free_place(batch, item)
  redis.call('ZREM', key('ready', batch.user, batch.id), item.member)
  redis.call('ZREM', key('delayed'), item.member)
  move(batch, item, state)
  set(item, {ended_ms = now, outcome = outcome or '', not_before_ms = ''})
  tally_end(batch, item)
  settle_reservation(batch, item)
  ended_items[#ended_items + 1] = item.id
  note_end(state, 1)
  emit_item(batch, item)
end

-- `fields` and all that an item begins a round with.
local function anew(fields)
  for _, counter in ipairs({'attempts', 'lost', 'crashes', 'suspect', 'site_waits', 'cancel'}) do
    fields[counter] = 0
  end
  return fields
end

local function add_item(batch, item_id, fields)
  local item = {key = key('item', batch.user, item_id), id = item_id}
  item.user, item.member = batch.user, batch.user .. '/' .. item_id
  fields.batch, fields.state, fields.epoch, fields.leased, fields.placed = batch.id, PENDING, 0, 0, 0
  set(item, anew(fields))
  make_ready(batch, item)
  return item
end

-- In order: one for each video of the request, or all that a playlist came to, the first of which has
-- the playlist's own id.
local function item_ids(batch)
  local ids, asked = {}, batch.asked or batch.total
  for index = 0, asked - 1 do
    local item_id = string.format('%s_%d', batch.item_prefix, index)
    ids[#ids + 1] = item_id
    local name = key('item', batch.user, item_id)
    local entries = asked ~= batch.total and field_of(name, 'entries') or 1
    for place = 2, tonumber(entries) do ids[#ids + 1] = item_id .. '_' .. place end
  end
  return ids
end

local function items_of(batch)
  local items = {}
  for _, item_id in ipairs(item_ids(batch)) do
    items[#items + 1] = load_item(batch.user .. '/' .. item_id)
  end
  return items
end

local function skip_unstarted(batch)
  for _, item in ipairs(items_of(batch)) do
    local is_idle = tonumber(item.state) == PENDING and item.leased ~= '1'
    -- The work on an item that lost its lease may go on at its transcriber.
    local never_started = tonumber(item.attempts) == 0 and tonumber(item.lost) == 0
    if is_idle and never_started then finish_item(batch, item, SKIPPED) end
  end
end
