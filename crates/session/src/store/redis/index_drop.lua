-- Drops entries that a listing has found no session of the user for.
--
-- KEYS[1]: the sessions of the user
-- ARGV: the ids
--
-- An entry is added before its record is written. So one whose deadline is to come gets another minute, and the next
-- listing drops it.
local now = tonumber(redis.call('TIME')[1])
local dropped = 0
for _, id in ipairs(ARGV) do
  local deadline = redis.call('ZSCORE', KEYS[1], id)
  if deadline and tonumber(deadline) <= now then
    dropped = dropped + redis.call('ZREM', KEYS[1], id)
  elseif deadline then
    redis.call('ZADD', KEYS[1], 'XX', 'LT', string.format('%.0f', now + 60), id)
  end
end
return dropped
