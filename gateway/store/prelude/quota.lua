-- What users have had: batches of the last minute, and videos and audio by month (UTC).
--
-- A video counts in the month in which its batch's round began. It is reserved there until its end:
-- then it is used if it succeeded, with its audio, and given back if not. So what is reserved in a
-- month is the number of its batches' open items.

local MINUTE_MS, DAY_MS = 60000, 86400000
local KEEP_USAGE_MS = 400 * DAY_MS

-- Counted in years that begin with March, so that the odd day comes last; true until February 2100.
local function month_of(ms)
  local days = math.floor(ms / DAY_MS) - 11017
  local year = math.floor((4 * days + 3) / 1461)
  local month = math.floor((5 * (days - math.floor(1461 * year / 4)) + 2) / 153)
  if month >= 10 then return string.format('%d-%02d', 2001 + year, month - 9) end
  return string.format('%d-%02d', 2000 + year, month + 3)
end

-- {now, month, reserved, videos, audio_ms}; read by usage.py.
local function usage_of(user, month)
  local name = key('usage', user, month)
  local used = redis.call('HMGET', name, 'reserved', 'videos', 'audio_ms')
  return {now, month, tonumber(used[1] or 0), tonumber(used[2] or 0), tonumber(used[3] or 0)}
end

-- How long a user has to wait for the next batch, when there may be `most` within a minute.
local function rate_wait_ms(user, most)
  local earlier = most and tonumber(redis.call('LINDEX', key('rate', user), most - 1) or 0)
  return earlier and math.max(0, math.min(MINUTE_MS, earlier + MINUTE_MS - now)) or 0
end

local function count_batch(user, most)
  if not most then return end
  local name = key('rate', user)
  redis.call('LPUSH', name, string.format('%.0f', now))
  redis.call('LTRIM', name, 0, most - 1)
  redis.call('PEXPIRE', name, MINUTE_MS)
end

-- {VIDEOS | AUDIO, usage...} if `count` more videos are more than a user may have; else nil.
local function quota_refusal(user, month, count, most_videos, most_audio_ms)
  if count == 0 then return nil end
  local usage = usage_of(user, month)
  local videos = usage[3] + usage[4] + count
  if videos > (tonumber(most_videos) or math.huge) then return {'VIDEOS', unpack(usage)} end
  if usage[5] >= (tonumber(most_audio_ms) or math.huge) then return {'AUDIO', unpack(usage)} end
  return nil
end

-- A batch may grow within what its user could have when it was created or retried.
local function growth_refusal(batch, count)
  return quota_refusal(batch.user, batch.month, count, batch.most_videos, batch.most_audio_ms)
end

-- Reserves in the month of the batch's round.
local function reserve(batch, count)
  if count == 0 then return end
  local name = key('usage', batch.user, batch.month)
  redis.call('HINCRBY', name, 'reserved', count)
  redis.call('PEXPIRE', name, KEEP_USAGE_MS)
  redis.call('SADD', key('usage_users', batch.month), batch.user)
  redis.call('PEXPIRE', key('usage_users', batch.month), KEEP_USAGE_MS)
end

-- Called once for each end of an item. What is reused was never reserved, nor was anything of a
-- batch of before there were quotas.
local function settle_reservation(batch, item)
  if not batch.month or item.reused_from then return end
  local name = key('usage', batch.user, batch.month)
  redis.call('HINCRBY', name, 'reserved', -1)
  if tonumber(item.state) ~= SUCCEEDED then return end
  redis.call('HINCRBY', name, 'videos', 1)
  redis.call('HINCRBY', name, 'audio_ms', item.duration_ms or 0)
end
