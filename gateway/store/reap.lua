#!lua flags=allow-oom
-- reap(outage_ms, grace_ms, max_lost, lost_outcome, expired_outcome) -> {reaped items, ended batches}
-- Takes back leases that ran out, ends batches that are over their deadline, and deletes those that
-- have expired; any gateway, every second. If nobody reaped for outage_ms, Redis or every gateway was
-- away: owners get grace_ms to renew first.

local outage_ms, grace_ms, max_lost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

local function forgive_outage()
  local last = tonumber(redis.call('GET', key('reaped')) or now)
  redis.call('SET', key('reaped'), string.format('%.0f', now))
  if now - last <= outage_ms then return end
  for _, member in ipairs(redis.call('ZRANGE', key('leases'), 0, -1)) do
    redis.call('ZADD', key('leases'), 'GT', now + grace_ms, member)
  end
end

local function due(name, most)
  return redis.call('ZRANGEBYSCORE', key(name), '-inf', now, 'LIMIT', 0, most)
end

local function take_back(member)
  local item, batch = load_both(member)
  if not item then return redis.call('ZREM', key('leases'), member) end
  set(item, {lost = tonumber(item.lost) + 1})
  if item.cancel == '1' then
    settle_item(batch, item, CANCELLED)
  elseif tonumber(item.lost) > max_lost then
    settle_item(batch, item, FAILED, ARGV[4], 'WORKER_LOST')
  else
    undo_attempt(batch, item, ATTEMPT.LOST, 'LEASE_EXPIRED')
    offer_adoption(batch, item)
  end
end

local function each(index, do_with)
  local members = due(index, 10)
  for _, member in ipairs(members) do
    local batch = load_batch(member:match('^([^/]+)/(.+)$'))
    redis.call('ZREM', key(index), member)
    if batch then do_with(batch) end
  end
  return #members
end

local function end_overdue(batch)
  for _, item in ipairs(items_of(batch)) do
    if not has_ended(item.state) then finish_item(batch, item, FAILED, ARGV[5], 'EXPIRED') end
  end
  settle_queue(batch)
  end_batch_if_done(batch)
end

forgive_outage()
local lost = due('leases', 100)
for _, member in ipairs(lost) do take_back(member) end
local ended = each('deadlines', end_overdue) + each('expiry', delete_batch)
commit()
return {#lost, ended}
