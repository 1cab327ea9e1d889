-- Takes a lock that nobody else has, or starts the holder's lease anew.
--
-- KEYS[1]: the lock: a hash, so that no scan for texts takes it for a session
-- ARGV[1]: the holder
-- ARGV[2]: the lease in milliseconds
--
-- Gives 1 when it is the holder's, 0 where somebody else has it.
local holder = redis.call('HGET', KEYS[1], 'holder')
if holder and holder ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'holder', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
