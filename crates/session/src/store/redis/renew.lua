-- Loads a record, and resets its expiry to its cookie.originalMaxAge, in milliseconds.
--
-- KEYS[1]: the record
-- ARGV[1]: the TTL in seconds of a record whose cookie has none
--
-- Returns the text, its PTTL, and 1 or 0: whether the expiry was reset. It is not reset if the record is not
-- a session or would expire immediately; the caller decides then.
local text = redis.call('GET', KEYS[1])
if not text or text == '' then
  return false
end

-- JSON.stringify puts it here, unless a key is a number. Decoding a whole record for it takes the
-- server three times as long.
local age = string.match(text, '^{"cookie":{"originalMaxAge":(%d+)[,}]')
local seconds
if age then
  age = tonumber(age)
elseif string.find(text, '^{"cookie":{"originalMaxAge":null[,}]') then
  seconds = ARGV[1]
else
  local decoded, session = pcall(cjson.decode, text)
  local cookie = decoded and type(session) == 'table' and session.cookie
  if type(cookie) == 'table' then
    age = cookie.originalMaxAge
    -- A falsy value in JavaScript is no max age.
    if age == nil or age == cjson.null or age == false or age == '' then
      seconds = ARGV[1]
    end
  end
end
-- Beyond 8.64e15 there is no date in JavaScript.
if type(age) == 'number' and age >= 1 and age <= 8.64e15 then
  seconds = string.format('%.0f', math.ceil(math.floor(age) / 1000))
end

if seconds then
  redis.call('EXPIRE', KEYS[1], seconds)
  return {text, seconds * 1000, 1}
end
return {text, redis.call('PTTL', KEYS[1]), 0}
