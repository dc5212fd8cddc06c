-- States, the clock, and Redis hashes as tables. Scripts check first and write last: Lua has no
-- rollback.
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

-- What is no hash was written by somebody else: what should be there is gone.
local function load_hash(name)
  local found = redis.pcall('HGETALL', name)
  return found.err and {} or as_hash(found)
end

-- Redis hashes as tables with their key; numbers stay strings until they are used as numbers.
local function load_batch(user, batch_id)
  local name = key('batch', user, batch_id)
  local batch = load_hash(name)
  if not batch.state then return nil end
  batch.key, batch.user, batch.id = name, user, batch_id
  return batch
end

local function load_item(member)
  local user, item_id = member:match('^([^/]+)/(.*)$')
  local name = key('item', user, item_id)
  local item = load_hash(name)
  if not item.state then return nil end
  item.key, item.user, item.id, item.member = name, user, item_id, member
  return item
end

-- An item and its batch; nil if something else lies in the place of either.
local function load_both(member)
  local item = load_item(member)
  local batch = item and load_batch(item.user, item.batch)
  if batch then return item, batch end
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
