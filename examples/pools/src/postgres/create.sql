INSERT INTO session AS s (sid, expire, sess) VALUES (
    $1,
    -- As in change.sql.
    CASE
        WHEN $3::int8 > $2::int8 AND to_timestamp($3::int8 / 1e3) > statement_timestamp()
            AND to_timestamp(($2::int8 + 5000) / 1e3) <= statement_timestamp()
        THEN statement_timestamp() + ($3::int8 - $2::int8) * interval '1 millisecond'
        ELSE to_timestamp($3::int8 / 1e3)
    END,
    $4::text::json
)
-- A record has ended only if it has ended by the server's clock too.
ON CONFLICT (sid) DO UPDATE SET sess = EXCLUDED.sess, expire = EXCLUDED.expire
WHERE s.expire <= least(to_timestamp($2::int8 / 1e3), statement_timestamp())
