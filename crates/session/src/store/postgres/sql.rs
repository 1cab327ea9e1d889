//! The statements, written once for the table they are about.
//!
//! They use connect-pg-simple's expressions, so that both sides round alike and see the same time zone:
//! `expire` is written as `to_timestamp($n)`, and compared with one.
//!
//! The client's clock alone decides what is returned, and never what is deleted: a record is removed or
//! replaced only if it has ended by the server's clock too, and keeps its end where the new one is over only
//! because the client's clock is behind.

use express_session_core::Timestamp;

/// 0001-01-01, in seconds.
pub(super) const EARLIEST: i64 = -62_135_596_800;

/// The first whole second after `now`: a record whose `expire` is earlier has ended.
///
/// connect-pg-simple rounds `now` up. That is the same but where `now` is a whole second: a record
/// that ends then is live there, and not here.
pub(super) fn from(now: Timestamp) -> f64 {
    (now.millis().div_euclid(1000) + 1).max(EARLIEST) as f64
}

/// One of the [`Statements`].
pub(super) type Statement = fn(&Statements) -> &str;

/// Every statement of the store. `$1` is the id wherever there is one.
pub(super) struct Statements {
    /// The table's name, quoted.
    pub(super) table: String,
    /// `$1` the table's name as text. Gives `NULL` where there is no such table.
    pub(super) table_exists: String,
    /// Several statements, without parameters.
    pub(super) create_table: String,
    /// `$1` the table's name as text. Gives the names and types of the columns.
    pub(super) columns: &'static str,
    /// Asks for nothing.
    pub(super) ping: &'static str,
    /// `$2` live from. Gives the text and its end.
    pub(super) load: String,
    /// `$2` text, `$3` end, `$4` live from. Gives the digest, or no row for a live record.
    pub(super) create: String,
    /// `$2` live from, `$3` text, `$4` end, `$5` the digest expected. Gives a text and its end, or
    /// the digest of what was written; or no row.
    pub(super) update: String,
    /// `$2` live from, `$3` end. Gives a row if there is a record.
    pub(super) touch: String,
    /// `$2` live from, `$3` now in milliseconds, `$4` end by default. Gives the text and its end.
    pub(super) renew: String,
    pub(super) destroy: String,
    /// `$1` live from, `$2` how many. Gives text, end, id.
    pub(super) list_first: String,
    /// The same, and `$3` the id before the page.
    pub(super) list: String,
    /// `$1` live from.
    pub(super) count: String,
    /// `$1` how many. Gives how many there were.
    pub(super) clear: String,
    /// `$1` live from, `$2` how many. Gives how many there were.
    pub(super) purge: String,
    pub(super) locks: Locks,
}

/// The statements about locks. Leases end by the server's clock, not by the transaction's, since a statement
/// may have waited for another.
pub(super) struct Locks {
    /// The name of their table, quoted.
    pub(super) table: String,
    /// One statement, without parameters.
    pub(super) create_table: String,
    /// `$2` holder, `$3` lease in milliseconds. Gives the fencing token if the lock is the holder's now.
    pub(super) lock: String,
    /// As [`update`](Statements::update), and `$6` holder, `$7` the id again, which may have another type here. Always gives
    /// a row: the columns of `update`, and whether the lock is held.
    pub(super) update: String,
    /// `$2` holder.
    pub(super) unlock: String,
    /// Removes those whose lease was over a day ago. A released lock stays until then, so that the next holder has a
    /// higher fencing token.
    pub(super) purge: String,
}

impl Statements {
    pub(super) fn new(schema: Option<&str>, name: &str) -> Self {
        let qualified = |name: &str| match schema {
            Some(schema) => format!("{}.{}", quoted(schema), quoted(name)),
            None => quoted(name),
        };
        let table = qualified(name);
        let epoch = "extract(epoch from expire::timestamptz)::float8";
        let digest = |text: &str| format!("substring(sha256(convert_to({text}, 'UTF8')) for 16)");
        let stored = digest("s.sess::text");
        let seen = digest("seen.text");
        // The end that follows from the cookie's `originalMaxAge`, or NULL. The JSON
        // operators fail over the escape of a NUL or of half a surrogate pair: a text with any such
        // escape is left alone. OFFSET keeps the server from parsing it once for each mention.
        let renewed = format!(
            "SELECT CASE WHEN json_typeof(cookie) IS DISTINCT FROM 'object' THEN NULL \
             WHEN coalesce(json_typeof(cookie->'originalMaxAge'), 'null') = 'null' THEN $4::float8 \
             WHEN json_typeof(cookie->'originalMaxAge') = 'number' \
             AND cookie->>'originalMaxAge' ~ '^-?[0-9]{{1,15}}([.][0-9]{{1,9}})?$' \
             THEN greatest({EARLIEST}, \
             ceil(trunc($3::int8 + (cookie->>'originalMaxAge')::numeric) / 1000))::float8 END \
             FROM (SELECT CASE WHEN strpos(sess::text, E'\\\\u') = 0 THEN sess::json->'cookie' END \
             AS cookie OFFSET 0) AS own"
        );
        let found = format!(
            "seen AS (SELECT sid, sess::text AS text, expire FROM {table} \
             WHERE sid = $1 AND expire >= to_timestamp($2) FOR NO KEY UPDATE)"
        );
        let replaced = format!(
            "UPDATE {table} AS s SET sess = $3::text::json, expire = {}",
            kept("to_timestamp($4)")
        );
        let is_expected = format!("s.sid = seen.sid AND {seen} = $5");
        let returning = format!("RETURNING {stored} AS digest");
        let outcome =
            format!("CASE WHEN done.digest IS NULL THEN seen.text END, {epoch}, done.digest");
        let locks = {
            let table = qualified(&format!("{name}_lock"));
            let until = "clock_timestamp() + $3::float8 * interval '1 millisecond'";
            let micros = "(extract(epoch FROM clock_timestamp()) * 1000000)::int8";
            Locks {
                // A crash ends the holders' requests too, so that the table need not be logged.
                create_table: format!(
                    "CREATE UNLOGGED TABLE IF NOT EXISTS {table} (\
                     sid varchar COLLATE \"default\" PRIMARY KEY, \
                     holder bytea NOT NULL, until timestamptz NOT NULL, fence int8 NOT NULL)"
                ),
                lock: format!(
                    "INSERT INTO {table} AS l (sid, holder, until, fence) \
                     VALUES ($1, $2, {until}, {micros}) \
                     ON CONFLICT (sid) DO UPDATE SET holder = EXCLUDED.holder, until = {until}, \
                     fence = CASE WHEN l.holder = EXCLUDED.holder AND l.until > clock_timestamp() \
                     THEN l.fence ELSE greatest(l.fence + 1, {micros}) END \
                     WHERE l.holder IN (EXCLUDED.holder, '') OR l.until <= clock_timestamp() \
                     RETURNING fence"
                ),
                // The lock is kept from others until the change is committed. One that was taken over
                // in the meantime is looked at in its newest version, as the record is.
                update: format!(
                    "WITH held AS (SELECT 1 FROM {table} \
                     WHERE sid = $7 AND holder = $6 AND until > clock_timestamp() FOR SHARE), \
                     {found}, done AS ({replaced} FROM seen, held WHERE {is_expected} {returning}) \
                     SELECT {outcome}, EXISTS (SELECT FROM held) \
                     FROM (SELECT) AS one LEFT JOIN seen ON true LEFT JOIN done ON true"
                ),
                unlock: format!(
                    "UPDATE {table} SET holder = '', until = least(until, clock_timestamp()) \
                     WHERE sid = $1 AND holder = $2"
                ),
                // One that is locked is being taken, or written under.
                purge: format!(
                    "DELETE FROM {table} WHERE sid IN (SELECT sid FROM {table} \
                     WHERE until <= clock_timestamp() - interval '1 day' FOR UPDATE SKIP LOCKED)"
                ),
                table,
            }
        };
        Self {
            table_exists: "SELECT to_regclass($1)::text".to_owned(),
            create_table: create_table(&table, name),
            columns: "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute \
                 WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped",
            ping: "SELECT",
            load: format!(
                "SELECT sess::text, {epoch} FROM {table} \
                 WHERE sid = $1 AND expire >= to_timestamp($2)"
            ),
            // Of a row that is in the way, the newest version is looked at, under its lock.
            create: format!(
                "INSERT INTO {table} AS s (sess, expire, sid) \
                 SELECT $2::text::json, to_timestamp($3), $1 \
                 ON CONFLICT (sid) DO UPDATE SET sess = EXCLUDED.sess, expire = EXCLUDED.expire \
                 WHERE s.expire < least(to_timestamp($4), {NOW}) RETURNING {stored}"
            ),
            // Under READ COMMITTED a statement sees the table as it was when it began, but for the
            // rows that it locks: of these it sees the newest version. So the row is locked first,
            // and what is compared, written and handed back is one and the same version of it.
            update: format!(
                "WITH {found}, done AS ({replaced} FROM seen WHERE {is_expected} {returning}) \
                 SELECT {outcome} FROM seen LEFT JOIN done ON true"
            ),
            touch: format!(
                "UPDATE {table} AS s SET expire = {} \
                 WHERE sid = $1 AND expire >= to_timestamp($2) RETURNING 1",
                kept("to_timestamp($3)")
            ),
            renew: format!(
                "UPDATE {table} AS s SET expire = (SELECT {} FROM (SELECT \
                 coalesce(to_timestamp(({renewed})), s.expire::timestamptz) AS new OFFSET 0) AS given) \
                 WHERE sid = $1 AND expire >= to_timestamp($2) RETURNING sess::text, {epoch}",
                kept("given.new")
            ),
            destroy: format!("DELETE FROM {table} WHERE sid = $1"),
            list_first: format!(
                "SELECT sess::text, {epoch}, sid::text FROM {table} \
                 WHERE expire >= to_timestamp($1) ORDER BY sid LIMIT $2"
            ),
            list: format!(
                "SELECT sess::text, {epoch}, sid::text FROM {table} \
                 WHERE sid > $3 AND expire >= to_timestamp($1) ORDER BY sid LIMIT $2"
            ),
            count: format!("SELECT count(*) FROM {table} WHERE expire >= to_timestamp($1)"),
            clear: format!(
                "WITH these AS (SELECT sid FROM {table} LIMIT $1 FOR UPDATE), \
                 gone AS (DELETE FROM {table} AS s USING these WHERE s.sid = these.sid RETURNING 1) \
                 SELECT count(*) FROM gone"
            ),
            // A row that is locked is being written, which may well make it live again.
            purge: format!(
                "WITH expired AS (SELECT sid FROM {table} WHERE expire < least(to_timestamp($1), {NOW}) \
                 LIMIT $2 FOR UPDATE SKIP LOCKED), \
                 gone AS (DELETE FROM {table} AS s USING expired WHERE s.sid = expired.sid RETURNING 1) \
                 SELECT count(*) FROM gone"
            ),
            table,
            locks,
        }
    }
}

/// The server's clock, as a value that an index can be searched for.
const NOW: &str = "statement_timestamp()";

/// The end of a record of `s` that is to be `new`, where `$2` is live from. One before that is meant.
fn kept(new: &str) -> String {
    format!(
        "CASE WHEN {new} >= to_timestamp($2) AND {new} < {NOW} AND s.expire >= {NOW} \
         THEN s.expire::timestamptz ELSE {new} END"
    )
}

/// The table of connect-pg-simple's table.sql. Only the one called `session` has the names of its key
/// and its index: they could not be there twice in a schema.
fn create_table(table: &str, name: &str) -> String {
    let columns = "\"sid\" varchar NOT NULL COLLATE \"default\", \"sess\" json NOT NULL, \
         \"expire\" timestamp(6) NOT NULL";
    let (key, index) = match name {
        "session" => ("CONSTRAINT \"session_pkey\" ", "\"IDX_session_expire\" "),
        _ => ("", ""),
    };
    format!(
        "CREATE TABLE {table} ({columns}, {key}PRIMARY KEY (\"sid\")); \
         CREATE INDEX {index}ON {table} (\"expire\")"
    )
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        let sql = Statements::new(Some("a\"b"), "c d\"; DROP");
        assert_eq!(sql.table, r#""a""b"."c d""; DROP""#);
        assert_eq!(sql.locks.table, r#""a""b"."c d""; DROP_lock""#);
        assert_eq!(Statements::new(None, "session").table, r#""session""#);
    }

    #[test]
    fn record_ends_at_its_second_and_not_after_it() {
        for (now, live_from) in [
            (0, 1.0),
            (1, 1.0),
            (999, 1.0),
            (1000, 2.0),
            (1_700_000_000_001, 1_700_000_001.0),
            (-1, 0.0),
            (-1000, 0.0),
            (i64::MIN, -62_135_596_800.0),
        ] {
            assert_eq!(from(Timestamp::from_millis(now)), live_from, "{now}");
        }
    }
}
