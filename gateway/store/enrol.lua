-- enrol(by, key_id, digest, label, ttl_ms, user, tier, role, default_tier) -> CREATED | KNOWN
-- Stores an API key of a user, and the user with it; a key that is known, or was once, stays as it is.

local by, id, user = ARGV[1], ARGV[2], ARGV[6]
local ttl_ms = tonumber(ARGV[5])
if load_apikey(id) then return 'KNOWN' end

put_account(user, ARGV[7], ARGV[8], ARGV[9])
local apikey = {key = key('apikey', id)}
set(apikey, {user = user, digest = ARGV[3], label = ARGV[4], created_ms = now, revoked_ms = 0,
  end_ms = ttl_ms > 0 and now + ttl_ms or 0})
save()
if ttl_ms > 0 then redis.call('PEXPIRE', apikey.key, ttl_ms + KEPT_AFTER_END_MS) end
redis.call('ZADD', key('apikeys', user), now, id)
audit(by, 'create key', user, id)
return 'CREATED'
