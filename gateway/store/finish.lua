#!lua flags=allow-oom
-- finish(member, epoch, state, outcome, transcription_id, transcript, duration_ms, worker,
--        reason, digest, model, sha256) -> OK | STALE
-- Ends an item: SUCCEEDED, with its transcript, FAILED or CANCELLED. The first end wins; a replay of
-- it is OK. A cancel that was asked for turns a failure into CANCELLED, never a success.

local item, batch = load_both(ARGV[1])
local epoch, state = tonumber(ARGV[2]), tonumber(ARGV[3])
if not item then return 'STALE' end
if has_ended(item.state) and tonumber(item.ended_epoch) == epoch then return 'OK' end
if not is_leased(item, epoch) then return 'STALE' end

if state == FAILED and item.cancel == '1' then state = CANCELLED end
count_attempt(batch, item)
learn_duration(batch, item, ARGV[7])
if ARGV[8] ~= '' then set(item, {worker = ARGV[8]}) end
if state == SUCCEEDED then
  mark_resolved(batch, item)
  set(item, {transcription_id = ARGV[5]})
  redis.call('SET', key('transcript', item.user, ARGV[5]), ARGV[6])
  if ARGV[10] ~= '' then
    remember_result(item, ARGV[10])
    redis.call('HSET', key('weights'), ARGV[11], ARGV[12])
  end
  redis.call('DEL', key('breaker', item.site))
end
set(item, {ended_epoch = epoch})
settle_item(batch, item, state, state == CANCELLED and '' or ARGV[4], ARGV[9])
commit()
return 'OK'
