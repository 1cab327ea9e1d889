-- sqlx takes a text with a binary collation, as the column has it, for bytes.
SELECT CONVERT(data USING utf8mb4), CAST(expires * 1000 AS SIGNED)
FROM sessions WHERE session_id = ? AND expires > ? DIV 1000
