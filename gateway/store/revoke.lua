#!lua flags=allow-oom
-- revoke(by, key_id) -> OK | NOT_FOUND
-- Ends an API key; it stays on record for a while, so that it is not taken for a new one.

local apikey = load_apikey(ARGV[2])
if not apikey then return 'NOT_FOUND' end
if apikey.revoked_ms == '0' then
  set(apikey, {revoked_ms = now})
  save()
  redis.call('PEXPIRE', apikey.key, KEPT_AFTER_END_MS)
  audit(ARGV[1], 'revoke key', apikey.user, apikey.id)
end
return 'OK'
