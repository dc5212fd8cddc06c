-- claim(op_id, address, slots, count, lease_ms)
--   -> {{member, epoch, batch, attempts, options, task, video | '', trace}...}
-- Leases items to the transcriber at `address`: first those whose work still runs there, whatever
-- its slots; then up to `count` ready ones, fairly between users, never more than `slots` over all
-- gateways. The same op_id again returns the same leases, as long as they last. An item that has to
-- be resolved first comes with its `video`.

local op_id, address = ARGV[1], ARGV[2]
local slots, count, lease_ms = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local alone = key('alone', address)
-- A transcriber that vanished this often with an item on it may have died of the item.
local SUSPECT_RUNS_ALONE = 2
local RESERVATION_MS = 30000

local earlier = redis.call('GET', key('op', op_id))
if earlier then return cmsgpack.unpack(earlier) end

local leases = {}

local function held() return redis.call('SCARD', key('worker', address)) end

local function lease(batch, item)
  set(item, {epoch = tonumber(item.epoch) + 1, leased = 1, leased_ms = now, address = address})
  if (item.started_ms or '') == '' then set(item, {started_ms = now}) end
  take_place(batch, item)
  redis.call('ZREM', key('ready', batch.user, batch.id), item.member)
  redis.call('ZREM', key('delayed'), item.member)
  redis.call('ZADD', key('leases'), now + lease_ms, item.member)
  redis.call('SADD', key('worker', address), item.member)
  settle_queue(batch)
  leases[#leases + 1] = {
    item.member, tonumber(item.epoch), item.batch, tonumber(item.attempts), batch.options, item.task,
    item.unresolved == '1' and item.video or '', batch.trace or '',
  }
end

local function is_waiting(item)
  return item and item.leased ~= '1' and not has_ended(item.state)
end

local function adopt()
  local offered = redis.call('ZRANGE', key('adopt', address), 0, -1)
  if #offered > 0 then redis.call('DEL', key('adopt', address)) end
  for _, member in ipairs(offered) do
    local item, batch = load_both(member)
    if is_waiting(item) then lease(batch, item) end
  end
end

local function promote_due()
  local due = redis.call('ZRANGEBYSCORE', key('delayed'), '-inf', now, 'LIMIT', 0, 100)
  for _, member in ipairs(due) do
    local item, batch = load_both(member)
    if item then
      requeue(batch, item, 0)
    else
      redis.call('ZREM', key('delayed'), member)
    end
  end
end

-- The waiting user with the least service, and of that user the batch whose turn it is.
local function next_batch()
  local user = redis.call('ZRANGE', key('users'), 0, 0)[1]
  if not user then return nil end
  local batch_id = redis.call('ZRANGE', key('runnable', user), 0, 0)[1]
  local batch = load_batch(user, batch_id)
  if batch then return batch end
  leave_queue(user, batch_id)
  return next_batch()
end

local function serve(batch)
  local received = redis.call('ZINCRBY', key('users'), 1 / tonumber(batch.weight), batch.user)
  redis.call('HSET', key('served'), batch.user, received)
  redis.call('ZADD', key('runnable', batch.user), redis.call('INCR', key('turn')), batch.id)
end

-- The first ready item of a batch; nil if something else lies in its place, which is passed over.
local function first_ready(batch)
  local ready = key('ready', batch.user, batch.id)
  local member = redis.call('ZRANGE', ready, 0, 0)[1]
  local item = load_item(member)
  if not item then
    redis.call('ZREM', ready, member)
    settle_queue(batch)
  end
  return item
end

local function put_off(batch, item, delay_ms)
  redis.call('ZREM', key('ready', batch.user, batch.id), item.member)
  requeue(batch, item, delay_ms)
end

-- Keeps this transcriber for a suspect item, which has its place already: nothing new starts there
-- until it is empty.
local function reserve(batch, item)
  redis.call('SET', alone, item.member, 'PX', RESERVATION_MS)
  set(item, {address = address})
  take_place(batch, item)
  redis.call('ZREM', key('ready', batch.user, batch.id), item.member)
  redis.call('ZADD', key('delayed'), now + RESERVATION_MS, item.member)
  settle_queue(batch)
end

local function site_wait_ms(item)
  return tonumber(redis.call('HGET', key('breaker', item.site), 'until_ms') or now) - now
end

local function take_next(batch)
  local item = first_ready(batch)
  if not item then return end
  local wait_ms = site_wait_ms(item)
  if wait_ms > 0 then
    put_off(batch, item, wait_ms)
  elseif tonumber(item.suspect) >= SUSPECT_RUNS_ALONE and held() > 0 then
    reserve(batch, item)
  else
    serve(batch)
    lease(batch, item)
    if tonumber(item.suspect) >= SUSPECT_RUNS_ALONE then redis.call('SET', alone, item.member) end
  end
end

-- True if the transcriber is free for others again: the item is gone, or its site asked to wait.
local function take_reserved(member)
  local item, batch = load_both(member)
  if not item then return redis.call('DEL', alone) == 1 end
  if not is_waiting(item) then return false end
  local wait_ms = site_wait_ms(item)
  if wait_ms > 0 then
    requeue(batch, item, wait_ms)
  elseif held() == 0 then
    lease(batch, item)
    redis.call('SET', alone, item.member)
  end
  return wait_ms > 0
end

adopt()
promote_due()
local most = #leases + count
while #leases < most and held() < slots do
  local reserved = redis.call('GET', alone)
  if reserved then
    if not take_reserved(reserved) then break end
  else
    local batch = next_batch()
    if not batch then break end
    take_next(batch)
  end
end
if #leases > 0 then
  redis.call('SET', key('op', op_id), cmsgpack.pack(leases))
  redis.call('PEXPIRE', key('op', op_id), lease_ms)
end
-- Nothing to wake for what was just taken; but what was promoted may suit another gateway.
if #leases == most then wake() end
return leases
