-- Takes a lock that no other holder has, or renews the holder's lease.
--
-- KEYS[1]: the lock: a hash, so that no scan for texts takes it for a session
-- KEYS[2]: the last fencing token of the lock, which outlives its lease by a day
-- ARGV[1]: the holder
-- ARGV[2]: the lease in milliseconds
--
-- Returns the fencing token if the holder has it now, 0 if another holder does.
local held = redis.call('HMGET', KEYS[1], 'holder', 'fence')
if held[1] and held[1] ~= ARGV[1] then
  return 0
end
local fence = held[2]
if not fence then
  local time = redis.call('TIME')
  local last = redis.call('HGET', KEYS[2], 'fence') or 0
  local next = math.max(time[1] * 1000000 + time[2], last + 1)
  fence = string.format('%.0f', next)
end
redis.call('HSET', KEYS[2], 'fence', fence)
redis.call('PEXPIRE', KEYS[2], string.format('%.0f', ARGV[2] + 86400000))
redis.call('HSET', KEYS[1], 'holder', ARGV[1], 'fence', fence)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return tonumber(fence)
