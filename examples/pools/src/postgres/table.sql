CREATE TABLE IF NOT EXISTS session (
    sid varchar PRIMARY KEY, sess json NOT NULL, expire timestamp(6) NOT NULL
)
