#!lua flags=allow-oom
-- release(member, epoch, kind, delay_ms, outcome, reason, limit, last_outcome, boot_id)
--   -> OK | STALE
-- Gives a leased item up without an end, unless it is one too many of its kind: then it has FAILED
-- with last_outcome. An item that was to be cancelled is CANCELLED instead. Kinds:
--   retry  the attempt failed; the next may start after delay_ms
--   crash  as retry, and its transcriber's child died on it; at most `limit` of these
--   site   its site asked us to wait; all of the site's items do, and no attempt is used; at most
--          `limit` of these
--   back   the transcriber did not take it; no attempt is used
--   over   this gateway is going away; the work goes on and may be adopted; no attempt is used
--   lost   the transcriber vanished; no attempt is used, and `boot_id` says which run it was

local item, batch = load_both(ARGV[1])
if not item or not is_leased(item, tonumber(ARGV[2])) then return 'STALE' end
local kind, delay_ms, outcome, reason = ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]
local limit, last_outcome, boot_id = tonumber(ARGV[7]), ARGV[8], ARGV[9]
local FIRST_WAIT_MS, LONGEST_WAIT_MS = 60000, 3600000

local function wait_retry(wait_ms)
  start_batch(batch)
  end_lease(item)
  move(batch, item, WAITING)
  set(item, {not_before_ms = now + wait_ms, outcome = outcome})
  emit_item(batch, item)
  requeue(batch, item, math.max(wait_ms, 1))
end

local function is_one_too_many(counter)
  set(item, {[counter] = tonumber(item[counter]) + 1})
  if tonumber(item[counter]) < limit then return false end
  count_attempt(batch, item)
  settle_item(batch, item, FAILED, last_outcome, reason)
  return true
end

local function open_breaker()
  local breaker = key('breaker', item.site)
  local was_ms = tonumber(redis.call('HGET', breaker, 'wait_ms') or FIRST_WAIT_MS / 2)
  local until_ms = tonumber(redis.call('HGET', breaker, 'until_ms') or 0)
  -- Items that were under way when it opened say nothing new.
  if until_ms > now then return until_ms - now end
  local wait_ms = math.min(was_ms * 2, LONGEST_WAIT_MS)
  redis.call('HSET', breaker, 'wait_ms', wait_ms, 'until_ms', now + wait_ms)
  redis.call('PEXPIRE', breaker, wait_ms + LONGEST_WAIT_MS)
  return wait_ms
end

local kinds = {}

function kinds.retry()
  count_attempt(batch, item)
  log_attempt(item, ATTEMPT.FAILED, reason)
  wait_retry(delay_ms)
end

function kinds.crash()
  if not is_one_too_many('crashes') then kinds.retry() end
end

function kinds.site()
  if is_one_too_many('site_waits') then return end
  log_attempt(item, ATTEMPT.HANDED_BACK, reason)
  uncount_attempt(item)
  wait_retry(open_breaker() + delay_ms)
end

function kinds.back()
  undo_attempt(batch, item, ATTEMPT.HANDED_BACK, reason)
  requeue(batch, item, delay_ms)
end

function kinds.over()
  set(item, {lost = tonumber(item.lost) + 1})
  undo_attempt(batch, item, ATTEMPT.LOST, reason)
  offer_adoption(batch, item)
end

function kinds.lost()
  set(item, {lost = tonumber(item.lost) + 1})
  if boot_id ~= '' then
    redis.call('SADD', key('suspects', boot_id), item.member)
    redis.call('PEXPIRE', key('suspects', boot_id), 3600000)
  end
  undo_attempt(batch, item, ATTEMPT.LOST, reason)
  requeue(batch, item, delay_ms)
end

if item.cancel == '1' then
  settle_item(batch, item, CANCELLED)
else
  kinds[kind]()
end
commit()
return 'OK'
