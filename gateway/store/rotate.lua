-- rotate(user, secret, keep_ms) -> time in ms until which the old secret signs too | 0
-- Makes `secret` the one that signs a user's webhooks. Those before it go on signing for a while, also
-- those of rotations whose answer was lost: nobody saw them, and the one in use must not be dropped.

local MOST = 5
local name = key('secrets', ARGV[1])
local old_until = now + tonumber(ARGV[3])

redis.call('ZREMRANGEBYSCORE', name, '-inf', now)
local old = redis.call('ZRANGEBYSCORE', name, '+inf', '+inf')
for _, secret in ipairs(old) do redis.call('ZADD', name, old_until, secret) end
redis.call('ZADD', name, '+inf', ARGV[2])
redis.call('ZREMRANGEBYRANK', name, 0, -MOST - 1)
return #old > 0 and old_until or 0
