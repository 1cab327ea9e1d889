-- Releases a lock, if the holder has it.
--
-- KEYS[1]: the lock
-- ARGV[1]: the holder
--
-- Returns how many locks it released.
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then
  return 0
end
return redis.call('DEL', KEYS[1])
