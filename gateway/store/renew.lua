#!lua flags=allow-oom
-- renew(lease_ms, (member, epoch)...) -> {OK | CANCEL | STALE ...}, one for each
-- Extends leases. CANCEL: still leased, and someone asked to stop it. STALE: somebody else's now.

local answers = {}
for i = 2, #ARGV, 2 do
  local item = load_item(ARGV[i])
  if not item or not is_leased(item, tonumber(ARGV[i + 1])) then
    answers[#answers + 1] = 'STALE'
  else
    redis.call('ZADD', key('leases'), 'XX', now + tonumber(ARGV[1]), item.member)
    answers[#answers + 1] = item.cancel == '1' and 'CANCEL' or 'OK'
  end
end
return answers
