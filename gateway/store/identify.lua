#!lua flags=no-writes
-- identify(key_id) -> {verdict, digest, user, tier, role, left_ms} | nil, verdict OK | EXPIRED | REVOKED
-- Whose an API key is; `left_ms` is the time until it expires, 0 if it does not.

local apikey = load_apikey(ARGV[1])
local account = apikey and load_account(apikey.user)
if not account then return nil end
local end_ms = tonumber(apikey.end_ms)
local verdict = 'OK'
if end_ms > 0 and end_ms <= now then verdict = 'EXPIRED' end
if apikey.revoked_ms ~= '0' then verdict = 'REVOKED' end
return {verdict, apikey.digest, account.user, account.tier, account.role, math.max(0, end_ms - now)}
