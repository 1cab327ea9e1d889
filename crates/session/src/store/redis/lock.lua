-- Takes a lock that no other holder has, or renews the holder's lease.
--
-- KEYS[1]: the lock: a hash, so that no scan for texts takes it for a session
-- ARGV[1]: the holder
-- ARGV[2]: the lease in milliseconds
--
-- Returns 1 if the holder has it now, 0 if another holder does.
local holder = redis.call('HGET', KEYS[1], 'holder')
if holder and holder ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'holder', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
