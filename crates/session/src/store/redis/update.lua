-- Replaces a record if its text is still the one that was loaded. A deleted record stays deleted.
--
-- KEYS[1]: the record
-- KEYS[2]: the lock, if the holder must have it
-- ARGV[1]: the text that was loaded, or the first 32 hexadecimal digits of its SHA-1
-- ARGV[2]: the new text
-- ARGV[3]: the TTL in seconds, or '' for ever; 0 or less deletes it
-- ARGV[4]: 'text' or 'sha1', whichever ARGV[1] is
-- ARGV[5]: the holder
--
-- Returns 1 when done, 0 where the lock is lost, nothing where the record is gone, or the text that is
-- there and its PTTL.
if KEYS[2] and redis.call('HGET', KEYS[2], 'holder') ~= ARGV[5] then
  return 0
end
local text = redis.call('GET', KEYS[1])
if not text or text == '' then
  return false
end
local found = text
if ARGV[4] == 'sha1' then
  found = string.sub(redis.sha1hex(text), 1, 32)
end
if found ~= ARGV[1] then
  return {text, redis.call('PTTL', KEYS[1])}
end
if ARGV[3] == '' then
  redis.call('SET', KEYS[1], ARGV[2])
elseif tonumber(ARGV[3]) > 0 then
  redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
else
  redis.call('DEL', KEYS[1])
end
return 1
