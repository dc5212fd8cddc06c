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

-- The hashes that this script knows, and what it has not written of them yet; both by key. A hash is
-- read once and written once, whatever is done to it in between.
local loaded, unsaved = {}, {}

-- What is no hash was written by somebody else: what should be there is gone.
local function load_hash(name)
  if not loaded[name] then
    redis.setresp(3)
    local found = redis.pcall('HGETALL', name)
    redis.setresp(2)
    loaded[name] = found.map or {}
  end
  return loaded[name]
end

-- One field of a hash that need not be loaded for it.
local function field_of(name, field)
  if loaded[name] then return loaded[name][field] end
  return redis.call('HGET', name, field)
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

local function changes_of(thing)
  local name = thing.key
  if not unsaved[name] then loaded[name], unsaved[name] = thing, {} end
  return unsaved[name]
end

local function set(thing, fields)
  local changes = changes_of(thing)
  for field, value in pairs(fields) do
    value = tostring(value)
    thing[field], changes[field] = value, value
  end
end

local function add(thing, field, by)
  local value = string.format('%.0f', (tonumber(thing[field]) or 0) + by)
  thing[field], changes_of(thing)[field] = value, value
end

local function delete_hash(name)
  loaded[name], unsaved[name] = {}, nil
  redis.call('UNLINK', name)
end

-- Writes what is unsaved; nothing that a script has changed is kept without it.
local function save()
  for name, changes in pairs(unsaved) do
    local flat = {}
    for field, value in pairs(changes) do
      flat[#flat + 1] = field
      flat[#flat + 1] = value
    end
    redis.call('HSET', name, unpack(flat))
  end
  unsaved = {}
end

local function has_ended(state) return tonumber(state) >= SUCCEEDED end
local function batch_has_ended(batch) return tonumber(batch.state) >= BATCH_SUCCEEDED end
local function is_leased(item, epoch) return item.leased == '1' and tonumber(item.epoch) == epoch end
