-- expand(member, epoch, is_cut, notice, refusal, (video, task, site, digest, title, duration_ms)...)
--   -> OK | STALE
-- Puts the videos of a leased playlist in its place, in order, each to start when its turn comes: the
-- first takes over the playlist's item, the others are new. There are as many as the batch has room
-- for; if that is not all, or `is_cut`, the first carries `notice`. What was made of a `digest` before
-- is made of its video at once. If the user may not have so many, the playlist has FAILED with
-- `refusal`.

local item, batch = load_both(ARGV[1])
local epoch, is_cut, notice, refusal = tonumber(ARGV[2]), ARGV[3] == '1', ARGV[4], ARGV[5]
if item and tonumber(item.expanded_epoch) == epoch then return 'OK' end
if not item or not is_leased(item, epoch) then return 'STALE' end

local FIRST, WIDTH = 6, 6
local given = (#ARGV - FIRST + 1) / WIDTH
local count = math.min(given, batch.max_total - batch.total + 1)
local known, fresh = {}, 0
for place = 1, count do
  known[place] = known_result(item.user, ARGV[FIRST + (place - 1) * WIDTH + 3])
  if not known[place] then fresh = fresh + 1 end
end
-- The playlist itself counts as one.
local growth = fresh - 1

local function entry(place)
  local at = FIRST + (place - 1) * WIDTH
  local fields = {video = ARGV[at], task = ARGV[at + 1], site = ARGV[at + 2], title = ARGV[at + 4]}
  return fields, ARGV[at + 5]
end

local function become_first()
  local fields, duration_ms = entry(1)
  end_lease(item)
  mark_resolved(batch, item)
  if tonumber(item.state) ~= PENDING then move(batch, item, PENDING) end
  fields.entries, fields.expanded_epoch = count, epoch
  fields.notice = (is_cut or count < given) and notice or ''
  fields.started_ms, fields.not_before_ms, fields.outcome = '', '', ''
  set(item, anew(fields))
  learn_duration(batch, item, duration_ms)
  emit_item(batch, item)
  requeue(batch, item, 0)
  return item
end

local function add_entry(place)
  local fields, duration_ms = entry(place)
  fields.index, fields.place = item.index, place
  add(batch, 'total', 1)
  add(batch, 'n' .. PENDING, 1)
  local added = add_item(batch, item.id .. '_' .. place, fields)
  learn_duration(batch, added, duration_ms)
  emit_item(batch, added)
  return added
end

local function replace()
  reserve(batch, growth)
  set(batch, {asked = batch.asked or batch.total})
  local items = {become_first()}
  for place = 2, count do items[place] = add_entry(place) end
  for place = 1, count do
    if known[place] then reuse_result(batch, items[place], known[place]) end
  end
  -- What is found after a failure is too late to start.
  local has_failed = tonumber(batch['n' .. FAILED]) > 0
  if has_failed and batch.continue_on_error ~= '1' then skip_unstarted(batch) end
  settle_queue(batch)
  end_batch_if_done(batch)
end

if item.cancel == '1' then
  settle_item(batch, item, CANCELLED)
elseif growth_refusal(batch, math.max(growth, 0)) then
  settle_item(batch, item, FAILED, refusal)
else
  replace()
end
commit()
return 'OK'
