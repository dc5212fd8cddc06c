#!lua flags=allow-oom
-- ended() -> {state | batch/round, count | ms...}
-- What has ended since any gateway asked: how many items in which state, and how long each batch took
-- from its start. From now on for a minute it is noted.

local ended = redis.call('HGETALL', key('ended'))
redis.call('DEL', key('ended'))
redis.call('HSET', key('ended'), '0', 0)
redis.call('PEXPIRE', key('ended'), 60000)
return ended
