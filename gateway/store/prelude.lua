-- What every transition shares. Scripts check first and write last: Lua has no rollback.
--
-- An item's lease is its entry in `leases` and the `epoch` of its hash: every write names the epoch
-- it was leased under, and a write with another epoch is STALE. The item is "placed" while it takes
-- one of its batch's places (max_concurrent).

local PENDING, FETCHING, TRANSCRIBING, WAITING = 1, 2, 3, 4
local SUCCEEDED, FAILED, CANCELLED, SKIPPED = 5, 6, 7, 8
local BATCH_PENDING, BATCH_RUNNING, BATCH_CANCELLING = 1, 2, 3
local BATCH_SUCCEEDED, BATCH_PARTIAL, BATCH_FAILED, BATCH_CANCELLED = 4, 5, 6, 7

local function key(name, ...) return string.format(KEY[name], ...) end

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function as_hash(flat)
  local hash = {}
  for i = 1, #flat, 2 do hash[flat[i]] = flat[i + 1] end
  return hash
end

-- Redis hashes as tables with their key; numbers stay strings until they are used as numbers.
local function load_batch(user, batch_id)
  local name = key('batch', user, batch_id)
  local batch = as_hash(redis.call('HGETALL', name))
  if not batch.state then return nil end
  batch.key, batch.user, batch.id = name, user, batch_id
  return batch
end

local function load_item(member)
  local user, item_id = member:match('^([^/]+)/(.+)$')
  local name = key('item', user, item_id)
  local item = as_hash(redis.call('HGETALL', name))
  if not item.state then return nil end
  item.key, item.user, item.id, item.member = name, user, item_id, member
  return item
end

local function set(thing, fields)
  local flat = {}
  for field, value in pairs(fields) do
    thing[field] = tostring(value)
    flat[#flat + 1] = field
    flat[#flat + 1] = thing[field]
  end
  redis.call('HSET', thing.key, unpack(flat))
end

local function add(thing, field, by)
  thing[field] = string.format('%.0f', redis.call('HINCRBY', thing.key, field, by))
end

local function has_ended(state) return tonumber(state) >= SUCCEEDED end
local function batch_has_ended(batch) return tonumber(batch.state) >= BATCH_SUCCEEDED end
local function is_leased(item, epoch) return item.leased == '1' and tonumber(item.epoch) == epoch end

-- ---- events -----------------------------------------------------------------------------------

-- Counts by item state, then what progress is computed from; read by tally.py.
local TALLY = {
  'total', 'n1', 'n2', 'n3', 'n4', 'n5', 'n6', 'n7', 'n8',
  'known', 'known_audio_ms', 'ended_unknown', 'ended_audio_ms', 'done_audio_ms', 'started_ms',
}

local function tally(batch)
  local values = {}
  for i, field in ipairs(TALLY) do values[i] = batch[field] or '0' end
  return table.concat(values, ',')
end

local woken, ended_items, cancelled_items, adoptable = {}, {}, {}, {}

local function emit(batch, ...)
  add(batch, 'revision', 1)
  set(batch, {updated_ms = now})
  redis.call('XADD', key('events', batch.user, batch.id), batch.revision .. '-1',
    'at_ms', now, 'tally', tally(batch), ...)
  woken[batch.user .. '/' .. batch.id] = true
end

local function emit_batch(batch)
  emit(batch, 'state', batch.state, 'round', batch.round, 'started_ms', batch.started_ms or '',
    'ended_ms', batch.ended_ms or '', 'expires_ms', batch.expires_ms or '')
end

local function start_batch(batch)
  if tonumber(batch.state) ~= BATCH_PENDING then return end
  set(batch, {state = BATCH_RUNNING, started_ms = now})
  emit_batch(batch)
end

local ITEM_FIELDS = {
  'video', 'state', 'attempts', 'worker', 'title', 'duration_ms', 'started_ms', 'ended_ms',
  'not_before_ms', 'outcome',
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

-- Tells every gateway what changed; called once, at the end of a transition.
local function wake()
  local batches = {}
  for member in pairs(woken) do batches[#batches + 1] = member end
  if #batches + #cancelled_items + #adoptable == 0 then return end
  redis.call('XADD', key('wake'), 'MAXLEN', '~', 10000, '*',
    'batches', table.concat(batches, ' '),
    'ended', table.concat(ended_items, ' '),
    'cancelled', table.concat(cancelled_items, ' '),
    'adoptable', table.concat(adoptable, ' '))
end

-- ---- ready queues -----------------------------------------------------------------------------

local function least_service()
  local first = redis.call('ZRANGE', key('users'), 0, 0, 'WITHSCORES')
  return tonumber(first[2] or '0')
end

-- A batch stands in its user's runnable list, and the user in `users`, only while the batch has a
-- ready item and a free place. Every change of either ends here.
local function settle_queue(batch)
  local runnable = key('runnable', batch.user)
  local ready = redis.call('ZCARD', key('ready', batch.user, batch.id))
  if ready > 0 and tonumber(batch.placed) < tonumber(batch.max_concurrent) then
    if not redis.call('ZSCORE', runnable, batch.id) then
      redis.call('ZADD', runnable, redis.call('INCR', key('turn')), batch.id)
    end
    if not redis.call('ZSCORE', key('users'), batch.user) then
      -- A user who comes back keeps what was received, and starts level with the least served at
      -- least: idleness earns no credit.
      local received = tonumber(redis.call('HGET', key('served'), batch.user) or '0')
      redis.call('ZADD', key('users'), math.max(received, least_service()), batch.user)
    end
    woken[batch.user .. '/' .. batch.id] = true
  else
    redis.call('ZREM', runnable, batch.id)
    if redis.call('ZCARD', runnable) == 0 then
      local has_left = redis.call('ZREM', key('users'), batch.user) == 1
      -- When nobody waits nobody is ahead of anybody.
      if has_left and redis.call('ZCARD', key('users')) == 0 then redis.call('DEL', key('served')) end
    end
  end
end

local function take_place(batch, item)
  if item.placed == '1' then return end
  set(item, {placed = 1})
  add(batch, 'placed', 1)
end

local function free_place(batch, item)
  if item.placed ~= '1' then return end
  set(item, {placed = 0})
  add(batch, 'placed', -1)
end

-- ---- items ------------------------------------------------------------------------------------

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

-- An attempt counts once the transcriber has begun, or has answered.
local function count_attempt(item)
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

local function learn_duration(batch, item, duration_ms)
  duration_ms = tonumber(duration_ms) or 0
  if duration_ms <= 0 then return end
  if not item.duration_ms then add(batch, 'known', 1) end
  add(batch, 'known_audio_ms', duration_ms - tonumber(item.duration_ms or 0))
  set(item, {duration_ms = duration_ms})
end

local function tally_end(batch, item)
  if item.duration_ms then
    add(batch, 'ended_audio_ms', tonumber(item.duration_ms))
  else
    add(batch, 'ended_unknown', 1)
  end
  if tonumber(item.state) == SUCCEEDED then
    add(batch, 'done_audio_ms', tonumber(item.duration_ms or 0))
  end
end

local function untally_end(batch, item)
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
  ended_items[#ended_items + 1] = item.id
  emit_item(batch, item)
end

local function items_of(batch)
  local items = {}
  for index = 0, batch.total - 1 do
    local item_id = string.format('%s_%d', batch.item_prefix, index)
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

-- ---- webhooks ---------------------------------------------------------------------------------

local MESSAGE_PENDING = 1

local function load_message(member)
  local user, id = member:match('^([^/]+)/(.+)$')
  local name = key('message', user, id)
  local message = as_hash(redis.call('HGETALL', name))
  if not message.state then return nil end
  message.key, message.user, message.member = name, user, member
  return message
end

local function make_due(message, at)
  set(message, {next_ms = at})
  redis.call('ZADD', key('outbox'), at, message.member)
end

local function webhook_id(batch, round)
  return (batch.id:gsub('^batch_', 'msg_')) .. '_' .. round
end

-- Each round of a batch has one message, which tells of the revision that ended it.
local function post_message(batch)
  if (batch.webhook or '') == '' then return end
  local id = webhook_id(batch, batch.round)
  local message = {key = key('message', batch.user, id), member = batch.user .. '/' .. id}
  set(message, {
    id = id, batch = batch.id, revision = batch.revision, url = batch.webhook,
    state = MESSAGE_PENDING, epoch = 0, attempts = 0, tries = 0, created_ms = now,
  })
  make_due(message, now)
end

local function delete_messages(batch)
  for round = 1, tonumber(batch.round) do
    local id = webhook_id(batch, round)
    redis.call('UNLINK', key('message', batch.user, id))
    redis.call('ZREM', key('outbox'), batch.user .. '/' .. id)
  end
end

-- ---- ends -------------------------------------------------------------------------------------

local function end_batch_if_done(batch)
  local open = batch.n1 + batch.n2 + batch.n3 + batch.n4
  if open > 0 or batch_has_ended(batch) then return end
  local state = BATCH_PARTIAL
  if batch.cancelled == '1' and tonumber(batch.n7) > 0 then state = BATCH_CANCELLED
  elseif batch.n5 == batch.total then state = BATCH_SUCCEEDED
  elseif tonumber(batch.n5) == 0 then state = BATCH_FAILED end
  redis.call('ZREM', key('deadlines'), batch.user .. '/' .. batch.id)
  local fields = {state = state, ended_ms = now}
  local keep_ms = tonumber(batch.keep_ms)
  if keep_ms > 0 then
    fields.expires_ms = now + keep_ms
    redis.call('ZADD', key('expiry'), fields.expires_ms, batch.user .. '/' .. batch.id)
  end
  set(batch, fields)
  emit_batch(batch)
  post_message(batch)
end

-- Ends an item and draws every consequence for its batch.
local function settle_item(batch, item, state, outcome, reason)
  finish_item(batch, item, state, outcome, reason)
  if state == FAILED and batch.continue_on_error ~= '1' then skip_unstarted(batch) end
  settle_queue(batch)
  end_batch_if_done(batch)
end

-- Lets an item start again after delay_ms. In a serial batch it has the one place meanwhile, or the
-- items behind it would overtake.
local function requeue(batch, item, delay_ms)
  leave_transcriber(item)
  if delay_ms > 0 then
    if batch.serial == '1' then take_place(batch, item) else free_place(batch, item) end
    redis.call('ZADD', key('delayed'), now + delay_ms, item.member)
  else
    free_place(batch, item)
    redis.call('ZREM', key('delayed'), item.member)
    redis.call('ZADD', key('ready', batch.user, batch.id), tonumber(item.index), item.member)
  end
  settle_queue(batch)
end

-- Takes the lease away without using an attempt: it was nobody's fault.
local function undo_attempt(batch, item, result, reason)
  log_attempt(item, result, reason)
  uncount_attempt(item)
  end_lease(item)
  if tonumber(item.state) ~= PENDING then
    move(batch, item, PENDING)
    set(item, {not_before_ms = '', outcome = ''})
    emit_item(batch, item)
  end
end

-- The work may still go on at its transcriber, which keeps it for a later lease. It is offered there
-- first, with its place kept; after ADOPT_MS it may start anywhere.
local ADOPT_MS = 500

local function offer_adoption(batch, item)
  redis.call('ZADD', key('adopt', item.address), now, item.member)
  redis.call('PEXPIRE', key('adopt', item.address), 60000)
  redis.call('ZADD', key('delayed'), now + ADOPT_MS, item.member)
  adoptable[#adoptable + 1] = item.address
  settle_queue(batch)
end

-- ---- deletion ---------------------------------------------------------------------------------

local function delete_batch(batch)
  for _, item in ipairs(items_of(batch)) do
    if item.transcription_id then
      redis.call('UNLINK', key('transcript', batch.user, item.transcription_id))
    end
    redis.call('UNLINK', item.key)
  end
  delete_messages(batch)
  redis.call('UNLINK', batch.key, key('events', batch.user, batch.id),
    key('ready', batch.user, batch.id))
  redis.call('ZREM', key('index', batch.user), batch.id)
  redis.call('ZREM', key('expiry'), batch.user .. '/' .. batch.id)
  redis.call('ZREM', key('deadlines'), batch.user .. '/' .. batch.id)
  woken[batch.user .. '/' .. batch.id] = true
end
