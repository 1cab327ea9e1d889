INSERT INTO session AS s (sid, expire, sess) VALUES ($1, to_timestamp($3::int8 / 1e3), $4::text::json)
-- A record has ended only if it has ended by the server's clock too.
ON CONFLICT (sid) DO UPDATE SET sess = EXCLUDED.sess, expire = EXCLUDED.expire
WHERE s.expire <= least(to_timestamp($2::int8 / 1e3), statement_timestamp())
