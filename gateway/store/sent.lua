#!lua flags=allow-oom
-- sent(member, epoch, state, http_status, error, delay_ms) -> OK | STALE
-- Records how an attempt to send a message went. A message that stays PENDING is due after delay_ms.

local message = load_message(ARGV[1])
local epoch, state, delay_ms = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[6])
if not message or tonumber(message.epoch) ~= epoch then return 'STALE' end
if not is_leased(message, epoch) then return 'OK' end

set(message, {leased = 0, state = state, http_status = ARGV[4], error = ARGV[5]})
if state == MESSAGE_PENDING then
  make_due(message, now + delay_ms)
else
  redis.call('ZREM', key('outbox'), message.member)
end
save()
return 'OK'
