-- Who is next: ready items, runnable batches, waiting users, and the places of a batch.

local function least_service()
  local first = redis.call('ZRANGE', key('users'), 0, 0, 'WITHSCORES')
  return tonumber(first[2] or '0')
end

local function leave_queue(user, batch_id)
  redis.call('ZREM', key('runnable', user), batch_id)
  if redis.call('ZCARD', key('runnable', user)) > 0 then return end
  local has_left = redis.call('ZREM', key('users'), user) == 1
  -- When nobody waits nobody is ahead of anybody.
  if has_left and redis.call('ZCARD', key('users')) == 0 then redis.call('DEL', key('served')) end
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
    has_startable = true
  else
    leave_queue(batch.user, batch.id)
  end
end

-- By index, and within a playlist by place. What may be a playlist comes first where order is free:
-- until it is resolved nobody knows how much there is to do.
local function rank(batch, item)
  local order = tonumber(item.index) + (tonumber(item.place or 1) - 1) / 1000
  local goes_first = item.unresolved == '1' and batch.serial ~= '1'
  return goes_first and order - 1000 or order
end

local function make_ready(batch, item)
  redis.call('ZADD', key('ready', batch.user, batch.id), rank(batch, item), item.member)
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
