UPDATE sessions SET
    -- A touch has no text.
    data = COALESCE(?, data),
    -- The server's clock gives a record its whole lifetime where the caller's is behind.
    expires = IF(
        UNIX_TIMESTAMP() > ? AND GREATEST(expires, ?) >= UNIX_TIMESTAMP(),
        LEAST(UNIX_TIMESTAMP() + 1 + ?, 4294967295), ?
    )
WHERE session_id = ? AND expires > ? DIV 1000
    -- A touch has no digest either.
    AND ? IN ('', LEFT(SHA2(CONVERT(data USING utf8mb4), 256), 32))
