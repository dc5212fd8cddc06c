#!lua flags=allow-oom
-- reap(outage_ms, grace_ms, max_lost, lost_outcome) -> {reaped items, deleted batches}
-- Takes back leases that ran out and deletes batches that expired; any gateway, every second. If
-- nobody reaped for outage_ms, Redis or every gateway was away: owners get grace_ms to renew first.

local outage_ms, grace_ms, max_lost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

local last = tonumber(redis.call('GET', key('reaped')) or now)
redis.call('SET', key('reaped'), string.format('%.0f', now))
if now - last > outage_ms then
  for _, member in ipairs(redis.call('ZRANGE', key('leases'), 0, -1)) do
    redis.call('ZINCRBY', key('leases'), grace_ms, member)
  end
end

local due = redis.call('ZRANGEBYSCORE', key('leases'), '-inf', now, 'LIMIT', 0, 100)
for _, member in ipairs(due) do
  local item = load_item(member)
  local batch = load_batch(item.user, item.batch)
  set(item, {lost = tonumber(item.lost) + 1})
  if item.cancel == '1' then
    settle_item(batch, item, CANCELLED)
  elseif tonumber(item.lost) > max_lost then
    settle_item(batch, item, FAILED, ARGV[4])
  else
    hand_back(batch, item, 0)
  end
end

local expired = redis.call('ZRANGEBYSCORE', key('expiry'), '-inf', now, 'LIMIT', 0, 10)
for _, member in ipairs(expired) do
  local user, batch_id = member:match('^([^/]+)/(.+)$')
  local batch = load_batch(user, batch_id)
  if batch then delete_batch(batch) end
  redis.call('ZREM', key('expiry'), member)
end
wake()
return {#due, #expired}
