-- Adds a session to those of a user, or moves its deadline further.
--
-- KEYS[1]: the sessions of the user, by the latest deadline that is known of each, in seconds since 1970
-- ARGV[1]: the id
-- ARGV[2]: the TTL of the record in seconds, or '' for ever
--
-- Entries go a day after their deadline, which touches of other programs may have moved; the set goes with the last one.
local now = redis.call('TIME')[1]
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 86400)
local deadline = '+inf'
if ARGV[2] ~= '' then
  deadline = string.format('%.0f', now + ARGV[2])
end
redis.call('ZADD', KEYS[1], 'GT', deadline, ARGV[1])
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]
if last == 'inf' then
  redis.call('PERSIST', KEYS[1])
else
  redis.call('EXPIREAT', KEYS[1], string.format('%.0f', last + 86400))
end
return 1
