-- The row is locked first, so that one version of it is compared, written and returned.
WITH seen AS (
    SELECT sess::text AS text, expire FROM session
    WHERE sid = $1 AND expire > to_timestamp($2::int8 / 1e3) FOR NO KEY UPDATE
), done AS (
    UPDATE session AS s SET
        -- A touch has no text.
        sess = coalesce($4::text::json, s.sess),
        -- A caller whose clock is behind ends no record that is live by the server's clock.
        expire = CASE
            WHEN $3::int8 > $2::int8 AND s.expire > statement_timestamp()
                AND to_timestamp($3::int8 / 1e3) <= statement_timestamp() THEN s.expire
            ELSE to_timestamp($3::int8 / 1e3)
        END
    FROM seen WHERE s.sid = $1
        AND ($5::bytea IS NULL OR $5 = substring(sha256(convert_to(seen.text, 'UTF8')) FOR 16))
    RETURNING 1
)
SELECT text, (extract(epoch FROM expire::timestamptz) * 1000)::int8, EXISTS (SELECT FROM done) FROM seen
