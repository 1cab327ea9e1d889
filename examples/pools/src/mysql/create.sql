INSERT INTO sessions (session_id, expires, data) VALUES (
    ?,
    -- As in change.sql.
    IF(UNIX_TIMESTAMP() > ? AND ? >= UNIX_TIMESTAMP(), LEAST(UNIX_TIMESTAMP() + 1 + ?, 4294967295), ?),
    ?
)
-- A record has ended only if it has ended by the server's clock too. The first assignment still sees the old end.
ON DUPLICATE KEY UPDATE
    data = IF(expires <= LEAST(? DIV 1000, UNIX_TIMESTAMP() - 1), VALUES(data), data),
    -- For a live record, the answer has 1 as the id of the last insert.
    expires = IF(
        expires <= LEAST(? DIV 1000, UNIX_TIMESTAMP() - 1), VALUES(expires), expires + 0 * LAST_INSERT_ID(1)
    )
