-- The webhook messages of a batch.

local MESSAGE_PENDING = 1

local function load_message(member)
  local user, id = member:match('^([^/]+)/(.*)$')
  local name = key('message', user, id)
  local message = load_hash(name)
  if not message.state then return nil end
  message.key, message.user, message.member = name, user, member
  return message
end

local function make_due(message, at)
  set(message, {next_ms = at})
  redis.call('ZADD', key('outbox'), at, message.member)
end

local function webhook_id(batch, round)
  return (batch.id:gsub('^batch_', 'msg_')) .. '_' .. round
end

-- Each round of a batch has one message, which tells of the revision that ended it.
local function post_message(batch)
  if (batch.webhook or '') == '' then return end
  local id = webhook_id(batch, batch.round)
  local message = {key = key('message', batch.user, id), member = batch.user .. '/' .. id}
  set(message, {
    id = id, batch = batch.id, revision = batch.revision, url = batch.webhook,
    state = MESSAGE_PENDING, epoch = 0, attempts = 0, tries = 0, created_ms = now,
    trace = batch.trace or '',
  })
  make_due(message, now)
end

local function delete_messages(batch)
  for round = 1, tonumber(batch.round) do
    local id = webhook_id(batch, round)
    delete_hash(key('message', batch.user, id))
    redis.call('ZREM', key('outbox'), batch.user .. '/' .. id)
  end
end
