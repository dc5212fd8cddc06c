#!lua flags=allow-oom
-- outbox(count, lease_ms, receiver...)
--   -> {{member, epoch, batch_id, revision, url, tries, receiver, trace}...}
-- Leases up to `count` webhook messages that are due; a lease that runs out is due again. One user
-- and one receiver get a few places only, so that those who hang hold up nobody else: `receiver`
-- names, for each message that the caller is sending already, whom it goes to.

local count, lease_ms = tonumber(ARGV[1]), tonumber(ARGV[2])
local MOST_PER_USER, MOST_PER_RECEIVER = 4, 2
local LOOK_AT = 200

local taken = {}

local function take(receiver)
  for _, lane in ipairs({receiver, receiver:match('^[^/]+')}) do
    taken[lane] = (taken[lane] or 0) + 1
  end
end

local function receiver_of(message)
  return message.user .. '/' .. message.url:match('^%a+://([^/?#]*)')
end

local function has_room(receiver, user)
  return (taken[receiver] or 0) < MOST_PER_RECEIVER and (taken[user] or 0) < MOST_PER_USER
end

for i = 3, #ARGV do take(ARGV[i]) end

local leased = {}
local due = redis.call('ZRANGEBYSCORE', key('outbox'), '-inf', now, 'LIMIT', 0, LOOK_AT)
for _, member in ipairs(due) do
  if #leased == count then break end
  local message = load_message(member)
  local receiver = message and receiver_of(message)
  if not message then
    redis.call('ZREM', key('outbox'), member)
  elseif has_room(receiver, message.user) then
    take(receiver)
    set(message, {
      leased = 1, epoch = message.epoch + 1, attempts = message.attempts + 1,
      tries = message.tries + 1, last_ms = now,
    })
    redis.call('ZADD', key('outbox'), now + lease_ms, member)
    leased[#leased + 1] = {
      member, tonumber(message.epoch), message.batch, tonumber(message.revision), message.url,
      tonumber(message.tries), receiver, message.trace or '',
    }
  elseif #due == LOOK_AT then
    -- To the end of the queue: those that cannot be seen from here must come into view.
    redis.call('ZADD', key('outbox'), now, member)
  end
end
save()
return leased
