-- Users, their API keys, and the record of what operators did.

local KEPT_AFTER_END_MS = 90 * 24 * 3600 * 1000
local MOST_AUDITED = 10000

local function load_account(user)
  local name = key('account', user)
  local account = load_hash(name)
  if not account.tier then return nil end
  account.key, account.user = name, user
  return account
end

local function load_apikey(id)
  local name = key('apikey', id)
  local apikey = load_hash(name)
  if not apikey.user then return nil end
  apikey.key, apikey.id = name, id
  return apikey
end

local function audit(by, action, user, subject)
  redis.call('XADD', key('audit'), 'MAXLEN', '~', MOST_AUDITED, '*',
    'by', by, 'action', action, 'user', user, 'subject', subject)
end

-- An empty tier or role leaves what there is, and is the default for a new user.
local function put_account(user, tier, role, default_tier)
  local account = load_account(user)
  local old = account or {role = 'user', tier = default_tier, created_ms = now}
  local new = {
    tier = tier ~= '' and tier or old.tier,
    role = role ~= '' and role or old.role,
    created_ms = old.created_ms,
  }
  if account and old.tier == new.tier and old.role == new.role then return 'SAME' end
  redis.call('ZADD', key('accounts'), new.created_ms, user)
  set({key = key('account', user)}, new)
  return account and 'CHANGED' or 'CREATED'
end
