-- Gives back a lock, if it is the holder's.
--
-- KEYS[1]: the lock
-- ARGV[1]: the holder
--
-- Gives how many locks that were.
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then
  return 0
end
return redis.call('DEL', KEYS[1])
