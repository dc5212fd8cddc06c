#!lua flags=allow-oom
-- secrets(user, spare) -> {secret...} newest first
-- The secrets that sign a user's webhooks now; a user without one gets `spare`.

local name = key('secrets', ARGV[1])
redis.call('ZREMRANGEBYSCORE', name, '-inf', now)
if redis.call('ZCARD', name) == 0 then redis.call('ZADD', name, '+inf', ARGV[2]) end
return redis.call('ZREVRANGE', name, 0, -1)
