UPDATE sessions SET
    -- A touch has no text.
    data = COALESCE(?, data),
    -- A caller whose clock is behind ends no record that is live by the server's clock.
    expires = IF(? < UNIX_TIMESTAMP() AND expires >= UNIX_TIMESTAMP(), expires, ?)
WHERE session_id = ? AND expires > ? DIV 1000
    -- A touch has no digest either.
    AND ? IN ('', LEFT(SHA2(CONVERT(data USING utf8mb4), 256), 32))
