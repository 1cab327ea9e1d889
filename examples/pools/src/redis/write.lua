-- Writes a record where there is none, or in place of the one that was loaded. A deleted record stays deleted.
--
-- KEYS[1]: the record
-- ARGV[1]: the first 32 hexadecimal digits of the SHA-1 of the text that was loaded, or '' to create a record
-- ARGV[2]: the text
-- ARGV[3]: its TTL in seconds; 0 or less is over
--
-- Returns 1 or 0: whether it was done; and the text that was there, and its PTTL.
local text = redis.call('GET', KEYS[1])
local left = redis.call('PTTL', KEYS[1])
local seen = text and string.sub(redis.sha1hex(text), 1, 32) or ''
if seen ~= ARGV[1] then
  return {0, text, left}
end
if tonumber(ARGV[3]) > 0 then
  redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
else
  redis.call('DEL', KEYS[1])
end
return {1, text, left}
