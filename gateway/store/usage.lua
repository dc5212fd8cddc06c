#!lua flags=no-writes
-- usage(user, month, batches_per_minute, videos, most_videos, most_audio_ms)
--   -> {rate_wait_ms, {refusal...}, usage...}
-- What a user has had in a month, the present one if none is named; when the next batch may come, and
-- whether so many more videos would be refused.

local user, month = ARGV[1], ARGV[2] ~= '' and ARGV[2] or month_of(now)
local refusal = quota_refusal(user, month, tonumber(ARGV[4]), ARGV[5], ARGV[6])
return {rate_wait_ms(user, tonumber(ARGV[3])), refusal or {}, unpack(usage_of(user, month))}
