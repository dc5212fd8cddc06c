#!lua flags=allow-oom
-- stage(member, epoch, worker, state, title, duration_ms) -> OK | STALE
-- Moves a leased item forward to FETCHING or TRANSCRIBING and stores what the transcriber learned.
-- The same stage again changes nothing and makes no revision.

local item, batch = load_both(ARGV[1])
if not item or not is_leased(item, tonumber(ARGV[2])) then return 'STALE' end
local worker, state, title, duration_ms = ARGV[3], tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6])

local is_first = item.attempt_epoch ~= item.epoch
local is_news = is_first or state > tonumber(item.state) or (title ~= '' and title ~= item.title)
  or (duration_ms > 0 and tonumber(item.duration_ms) ~= duration_ms)
if not is_news then return 'OK' end

count_attempt(batch, item)
mark_resolved(batch, item)
if is_first or state > tonumber(item.state) then move(batch, item, state) end
local fields = {worker = worker, not_before_ms = '', outcome = ''}
if title ~= '' then fields.title = title end
set(item, fields)
learn_duration(batch, item, duration_ms)
emit_item(batch, item)
commit()
return 'OK'
