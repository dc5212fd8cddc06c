-- claim(op_id, lease_ms, (address, slots, count)...)
--   -> {{address, member, epoch, batch, attempts, options, task, video | '', trace}...}
-- Leases items to transcribers: to each first those whose work still runs there, whatever its slots;
-- then up to `count` ready ones, fairly between users, never more than `slots` over all gateways, each
-- to the transcriber with the most slots free. The same op_id again returns the same leases, as long
-- as they last. An item that has to be resolved first comes with its `video`.

local op_id, lease_ms = ARGV[1], tonumber(ARGV[2])
-- A transcriber that vanished this often with an item on it may have died of the item.
local SUSPECT_RUNS_ALONE = 2
local RESERVATION_MS = 30000
-- Ready items at a time, so that nobody else waits long for Redis; those left over wake for the rest.
local MOST_LEASES = 100

local earlier = redis.call('GET', key('op', op_id))
if earlier then return cmsgpack.unpack(earlier) end

local leases, transcribers = {}, {}
for i = 3, #ARGV, 3 do
  transcribers[#transcribers + 1] = {
    address = ARGV[i], slots = tonumber(ARGV[i + 1]), count = tonumber(ARGV[i + 2]),
    held = redis.call('SCARD', key('worker', ARGV[i])),
  }
end

local function lease(transcriber, batch, item)
  local address = transcriber.address
  set(item, {epoch = tonumber(item.epoch) + 1, leased = 1, leased_ms = now, address = address})
  if (item.started_ms or '') == '' then set(item, {started_ms = now}) end
  take_place(batch, item)
  redis.call('ZREM', key('ready', batch.user, batch.id), item.member)
  redis.call('ZREM', key('delayed'), item.member)
  redis.call('ZADD', key('leases'), now + lease_ms, item.member)
  redis.call('SADD', key('worker', address), item.member)
  settle_queue(batch)
  transcriber.held = transcriber.held + 1
  leases[#leases + 1] = {
    address, item.member, tonumber(item.epoch), item.batch, tonumber(item.attempts), batch.options,
    item.task, item.unresolved == '1' and item.video or '', batch.trace or '',
  }
end

local function is_waiting(item)
  return item and item.leased ~= '1' and not has_ended(item.state)
end

local function adopt(transcriber)
  local adoptable = key('adopt', transcriber.address)
  local offered = redis.call('ZRANGE', adoptable, 0, -1)
  if #offered > 0 then redis.call('DEL', adoptable) end
  for _, member in ipairs(offered) do
    local item, batch = load_both(member)
    if is_waiting(item) then lease(transcriber, batch, item) end
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

-- Nothing starts beside a suspect.
local function lease_alone(transcriber, batch, item)
  lease(transcriber, batch, item)
  redis.call('SET', key('alone', transcriber.address), item.member)
  transcriber.free = 0
end

-- Keeps a transcriber for a suspect item, which has its place already: nothing new starts there until
-- it is empty.
local function reserve(transcriber, batch, item)
  redis.call('SET', key('alone', transcriber.address), item.member, 'PX', RESERVATION_MS)
  set(item, {address = transcriber.address})
  take_place(batch, item)
  redis.call('ZREM', key('ready', batch.user, batch.id), item.member)
  redis.call('ZADD', key('delayed'), now + RESERVATION_MS, item.member)
  settle_queue(batch)
  transcriber.free = 0
end

local function site_wait_ms(item)
  return tonumber(redis.call('HGET', key('breaker', item.site), 'until_ms') or now) - now
end

local function take_next(transcriber, batch)
  local item = first_ready(batch)
  if not item then return end
  local wait_ms = site_wait_ms(item)
  local is_suspect = tonumber(item.suspect) >= SUSPECT_RUNS_ALONE
  if wait_ms > 0 then
    put_off(batch, item, wait_ms)
  elseif is_suspect and transcriber.held > 0 then
    reserve(transcriber, batch, item)
  else
    serve(batch)
    if is_suspect then lease_alone(transcriber, batch, item) else lease(transcriber, batch, item) end
  end
end

-- True if the transcriber is free for others again: the item is gone, or its site asked to wait.
local function take_reserved(transcriber, member)
  local item, batch = load_both(member)
  if not item then return redis.call('DEL', key('alone', transcriber.address)) == 1 end
  if not is_waiting(item) then return false end
  local wait_ms = site_wait_ms(item)
  if wait_ms > 0 then
    requeue(batch, item, wait_ms)
  elseif transcriber.held == 0 then
    lease_alone(transcriber, batch, item)
  end
  return wait_ms > 0
end

-- Notes how many items may start at a transcriber; none beside one for which it is kept.
local function look_at(transcriber)
  transcriber.free = math.min(transcriber.count, transcriber.slots - transcriber.held)
  if transcriber.free <= 0 then return end
  local reserved = redis.call('GET', key('alone', transcriber.address))
  if reserved and not take_reserved(transcriber, reserved) then transcriber.free = 0 end
end

-- Starts one item at a transcriber, or keeps it for one; false if none waits.
local function start_one(transcriber)
  local before = #leases
  while #leases == before and transcriber.free > 0 do
    local batch = next_batch()
    if not batch then return false end
    take_next(transcriber, batch)
  end
  return true
end

-- Whoever has the most slots free comes first.
local function fill()
  local most, adopted = 0, #leases
  for _, transcriber in ipairs(transcribers) do most = math.max(most, transcriber.free) end
  for level = most, 1, -1 do
    for _, transcriber in ipairs(transcribers) do
      if #leases - adopted == MOST_LEASES then return end
      if transcriber.free >= level and not start_one(transcriber) then return end
    end
  end
end

for _, transcriber in ipairs(transcribers) do adopt(transcriber) end
promote_due()
for _, transcriber in ipairs(transcribers) do look_at(transcriber) end
fill()
if #leases > 0 then
  redis.call('SET', key('op', op_id), cmsgpack.pack(leases))
  redis.call('PEXPIRE', key('op', op_id), lease_ms)
end
commit()
return leases
