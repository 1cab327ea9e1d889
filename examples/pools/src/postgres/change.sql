-- The row is locked first, so that one version of it is compared, written and returned.
WITH seen AS (
    SELECT sess::text AS text, expire FROM session
    WHERE sid = $1 AND expire > to_timestamp($2::int8 / 1e3) FOR NO KEY UPDATE
), done AS (
    UPDATE session AS s SET
        -- A touch has no text.
        sess = coalesce($4::text::json, s.sess),
        -- The server's clock gives a record its whole lifetime where the caller's is behind, but by the 5 seconds that a
        -- call may take. An end that has come by the caller's clock is meant.
        expire = CASE
            WHEN $3::int8 > $2::int8 AND greatest(s.expire, to_timestamp($3::int8 / 1e3)) > statement_timestamp()
                AND to_timestamp(least($3::int8, $2::int8 + 5000) / 1e3) <= statement_timestamp()
            THEN statement_timestamp() + ($3::int8 - $2::int8) * interval '1 millisecond'
            ELSE to_timestamp($3::int8 / 1e3)
        END
    FROM seen WHERE s.sid = $1
        AND ($5::bytea IS NULL OR $5 = substring(sha256(convert_to(seen.text, 'UTF8')) FOR 16))
    RETURNING 1
)
SELECT text, (extract(epoch FROM expire::timestamptz) * 1000)::int8, EXISTS (SELECT FROM done) FROM seen
