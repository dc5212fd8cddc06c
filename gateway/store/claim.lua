-- claim(op_id, address, slots, count, lease_ms) -> {{member, epoch, batch, attempts, task}...}
-- Leases up to `count` ready items for the transcriber at `address`, never more than its `slots` over
-- all gateways, fairly between users. The same op_id again returns the same answer for 120 s.

local op_id, address = ARGV[1], ARGV[2]
local slots, count, lease_ms = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])

local earlier = redis.call('GET', key('op', op_id))
if earlier then return cmsgpack.unpack(earlier) end

local function promote_due()
  local due = redis.call('ZRANGEBYSCORE', key('delayed'), '-inf', now, 'LIMIT', 0, 100)
  for _, member in ipairs(due) do
    local item = load_item(member)
    requeue(load_batch(item.user, item.batch), item, 0)
  end
end

-- The waiting user with the least service, and of that user the batch whose turn it is.
local function next_batch()
  local user = redis.call('ZRANGE', key('users'), 0, 0)[1]
  if not user then return nil end
  local batch_id = redis.call('ZRANGE', key('runnable', user), 0, 0)[1]
  return load_batch(user, batch_id)
end

local function lease(batch)
  local ready = key('ready', batch.user, batch.id)
  local item = load_item(redis.call('ZPOPMIN', ready)[1])
  local fields = {epoch = tonumber(item.epoch) + 1, leased = 1, address = address}
  if not item.started_ms then fields.started_ms = now end
  set(item, fields)
  take_place(batch, item)
  redis.call('ZADD', key('leases'), now + lease_ms, item.member)
  redis.call('SADD', key('worker', address), item.member)
  redis.call('ZINCRBY', key('users'), 1 / tonumber(batch.weight), batch.user)
  redis.call('ZADD', key('runnable', batch.user), redis.call('INCR', key('turn')), batch.id)
  settle_queue(batch)
  return {item.member, tonumber(item.epoch), item.batch, tonumber(item.attempts), item.task}
end

promote_due()
local free = math.min(count, slots - redis.call('SCARD', key('worker', address)))
local leases = {}
while #leases < free do
  local batch = next_batch()
  if not batch then break end
  leases[#leases + 1] = lease(batch)
end
if #leases > 0 then
  redis.call('SET', key('op', op_id), cmsgpack.pack(leases), 'PX', 120000)
end
-- Nothing to wake for what was just taken; but what was promoted may suit another gateway.
if #leases == count then wake() end
return leases
