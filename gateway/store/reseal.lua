#!lua flags=allow-oom
-- reseal(user, old, new) -> OK | GONE
-- Puts a secret that is sealed anew in the place of the same one as it was.

local name = key('secrets', ARGV[1])
local valid_until = redis.call('ZSCORE', name, ARGV[2])
if not valid_until then return 'GONE' end
redis.call('ZREM', name, ARGV[2])
redis.call('ZADD', name, valid_until, ARGV[3])
return 'OK'
