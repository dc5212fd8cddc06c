-- resend(user, webhook_id) -> message as a flat hash | nil
-- Makes a message due now, whatever became of it, with all its retries before it again. One that is
-- being sent at this moment is left alone.

local message = load_message(ARGV[1] .. '/' .. ARGV[2])
if not message then return nil end
local score = redis.call('ZSCORE', key('outbox'), message.member)
local is_being_sent = message.leased == '1' and tonumber(score) > now
set(message, {state = MESSAGE_PENDING, tries = 0})
if not is_being_sent then make_due(message, now) end
save()
return redis.call('HGETALL', message.key)
