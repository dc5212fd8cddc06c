-- account(by, user, tier, role, default_tier) -> CREATED | CHANGED | SAME
-- Sets the tier and the role of a user, new or known; what is empty stays as it is.

local by, user, tier, role = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local verdict = put_account(user, tier, role, ARGV[5])
save()
if verdict ~= 'SAME' then audit(by, 'set user', user, tier .. ' ' .. role) end
return verdict
