-- What the end, the return and the deletion of items mean for their batch.

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
  if (batch.started_ms or '') ~= '' then
    note_end(batch.id .. '/' .. batch.round, string.format('%.0f', now - tonumber(batch.started_ms)))
  end
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
    make_ready(batch, item)
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

local function delete_batch(batch)
  for _, item in ipairs(items_of(batch)) do
    if item.transcription_id then
      redis.call('UNLINK', key('transcript', batch.user, item.transcription_id))
    end
    forget_result(item)
    delete_hash(item.key)
  end
  delete_messages(batch)
  delete_hash(batch.key)
  redis.call('UNLINK', key('events', batch.user, batch.id), key('ready', batch.user, batch.id))
  redis.call('ZREM', key('index', batch.user), batch.id)
  redis.call('ZREM', key('expiry'), batch.user .. '/' .. batch.id)
  redis.call('ZREM', key('deadlines'), batch.user .. '/' .. batch.id)
  woken[batch.user .. '/' .. batch.id] = true
end
