//! The statements, written once for the table they are about.
//!
//! They use connect-pg-simple's expressions, so that both sides round alike and see the same time zone:
//! `expire` is written as `to_timestamp($n)`, and compared with one.
//!
//! The client's clock alone decides what is returned, and never what is deleted: a record is removed or
//! replaced only if it has ended by the server's clock too, and gets its whole lifetime by that clock where the
//! client's is behind (rule 3 of `store::steady`).

use express_session_core::Timestamp;
use express_session_core::metadata::MEMBER;

use super::super::steady::DELAY;

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
    /// `$2` text, `$3` end, `$4` live from. Gives the text that was stored if it is another, or no row for a live record.
    pub(super) create: String,
    /// `$2` live from, `$3` text, `$4` end, `$5` the digest expected. Gives the text that was stored if it is another, or
    /// no row if the digest is not there.
    pub(super) update: String,
    /// `$2` live from, `$3` end. Gives a row if there is a record.
    pub(super) touch: String,
    pub(super) destroy: String,
    /// `$1` live from, `$2` how many. Gives text, end, id.
    pub(super) list_first: String,
    /// The same, and `$3` the id before the page.
    pub(super) list: String,
    /// The same two of the records that contain `$3`, the second with `$4` the id before the page.
    pub(super) list_first_with: String,
    pub(super) list_with: String,
    /// The same two of the records that contain `$3` and that the index of the users has under `$4`, the second with `$5`
    /// the id before the page.
    pub(super) list_first_of: String,
    pub(super) list_of: String,
    /// `$1` live from.
    pub(super) count: String,
    /// Gives the milliseconds since 1970 by the server's clock.
    pub(super) time: String,
    /// `$1` how many. Gives how many there were.
    pub(super) clear: String,
    /// `$1` live from, `$2` how many. Gives how many there were.
    pub(super) purge: String,
    pub(super) users: UserIndex,
    pub(super) locks: Locks,
}

/// The statements about the index of the users, which the server maintains with every write of any program.
pub(super) struct UserIndex {
    /// The index's name, quoted.
    pub(super) name: String,
    pub(super) create: String,
    /// Does not keep others from writing meanwhile.
    pub(super) create_concurrently: String,
    /// Gives whether no other process creates it at the moment: two at the same time would wait for each other.
    pub(super) begin: String,
    pub(super) end: String,
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
    /// a row: the text that is there and its end, or the digest of what was written, and whether the lock is held.
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
        let users = UserIndex::new(&table, &qualified(&index_of(name)), &quoted(&index_of(name)));
        let user = user();
        let list_of = |range: &str| {
            // Its own level, so that the planner does not walk along the ids or the ends of all records.
            format!(
                "SELECT text, {epoch}, sid::text FROM (SELECT sess::text AS text, expire, sid FROM {table} \
                 WHERE ({user} = $4 OR {user} = {UNREADABLE}) AND strpos(sess::text, $3) > 0 OFFSET 0) AS s \
                 WHERE {range}expire >= to_timestamp($1) ORDER BY sid LIMIT $2"
            )
        };
        let digest = |text: &str| format!("substring(sha256(convert_to({text}, 'UTF8')) for 16)");
        let stored = digest("s.sess::text");
        // A column of type `jsonb` keeps another text than was sent.
        let unlike = |sent: &str| format!("RETURNING NULLIF(s.sess::text, {sent}::text)");
        let replaced = format!(
            "UPDATE {table} AS s SET sess = $3::text::json, expire = {}",
            end("$4", "$2", "greatest(s.expire, to_timestamp($4))")
        );
        let locks = {
            let (records, table) = (&table, qualified(&format!("{name}_lock")));
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
                // in the meantime is looked at in its newest version, as the record is: a statement sees the
                // table as it was when it began, but for the rows that it locks.
                update: format!(
                    "WITH held AS (SELECT 1 FROM {table} \
                     WHERE sid = $7 AND holder = $6 AND until > clock_timestamp() FOR SHARE), \
                     seen AS (SELECT sid, sess::text AS text, expire FROM {records} \
                     WHERE sid = $1 AND expire >= to_timestamp($2) FOR NO KEY UPDATE), \
                     done AS ({replaced} FROM seen, held \
                     WHERE s.sid = seen.sid AND {} = $5 RETURNING {stored} AS digest) \
                     SELECT CASE WHEN done.digest IS NULL THEN seen.text END, {epoch}, done.digest, \
                     EXISTS (SELECT FROM held) \
                     FROM (SELECT) AS one LEFT JOIN seen ON true LEFT JOIN done ON true",
                    digest("seen.text")
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
                 SELECT $2::text::json, {}, $1 \
                 ON CONFLICT (sid) DO UPDATE SET sess = EXCLUDED.sess, expire = EXCLUDED.expire \
                 WHERE s.expire < least(to_timestamp($4), {NOW}) {}",
                end("$3", "$4", "to_timestamp($3)"),
                unlike("$2")
            ),
            // Of a row that another transaction was writing, READ COMMITTED compares the newest version, and
            // the other levels refuse the statement.
            update: format!(
                "{replaced} WHERE s.sid = $1 AND s.expire >= to_timestamp($2) AND {stored} = $5 {}",
                unlike("$3")
            ),
            touch: format!(
                "UPDATE {table} AS s SET expire = {} \
                 WHERE sid = $1 AND expire >= to_timestamp($2) RETURNING 1",
                end("$3", "$2", "greatest(s.expire, to_timestamp($3))")
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
            // Byte for byte, and without reading JSON: an escape that is no character would fail the whole listing.
            list_first_with: format!(
                "SELECT sess::text, {epoch}, sid::text FROM {table} \
                 WHERE strpos(sess::text, $3) > 0 AND expire >= to_timestamp($1) ORDER BY sid LIMIT $2"
            ),
            list_with: format!(
                "SELECT sess::text, {epoch}, sid::text FROM {table} \
                 WHERE sid > $4 AND strpos(sess::text, $3) > 0 AND expire >= to_timestamp($1) \
                 ORDER BY sid LIMIT $2"
            ),
            list_first_of: list_of(""),
            list_of: list_of("sid > $5 AND "),
            count: format!("SELECT count(*) FROM {table} WHERE expire >= to_timestamp($1)"),
            time: format!("SELECT floor(extract(epoch FROM {NOW}) * 1000)::int8"),
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
            users,
            locks,
        }
    }
}

/// The user of a record, as text: that of passport or, without one, of the metadata. It may also be one whom passport has
/// logged out, so that the record decides.
///
/// No record may make the expression fail, or no program could write it: `->` fails for an escape that is no character,
/// wherever it is in the text. Records with such an escape have a value of their own, which every listing includes.
fn user() -> String {
    format!(
        "(CASE WHEN strpos(sess::text, {UNREADABLE}) > 0 THEN {UNREADABLE} \
         ELSE coalesce(sess -> 'passport' ->> 'user', sess -> '{MEMBER}' ->> 'user') END)"
    )
}

/// The beginning of an escape, as a literal that no setting of the connection reads differently.
const UNREADABLE: &str = "E'\\\\u'";

/// The first part of the number of an advisory lock, so that it is not one of another program.
const KEY: u32 = 0x005e_551d;

/// Names the index of a table, within the 63 bytes that the server keeps of a name.
fn index_of(table: &str) -> String {
    let end = (0..=57).rev().find(|end| table.is_char_boundary(*end)).unwrap_or_default();
    format!("{}_user", table.get(..end).unwrap_or(table))
}

impl UserIndex {
    fn new(table: &str, qualified: &str, name: &str) -> Self {
        // A hash index has values of any length, and none for records without a user.
        let on = format!("ON {table} USING hash ({})", user());
        let lock = format!("hashtext('{}')", qualified.replace('\'', "''"));
        Self {
            create: format!("CREATE INDEX {name} {on}"),
            create_concurrently: format!("CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} {on}"),
            begin: format!("SELECT pg_try_advisory_lock({KEY}, {lock})"),
            end: format!("SELECT pg_advisory_unlock({KEY}, {lock})"),
            name: qualified.to_owned(),
        }
    }
}

/// The server's clock, as a value that an index can be searched for.
const NOW: &str = "statement_timestamp()";

/// The end of a record where the client's clock says `new` and that it is live from `from`, both in seconds. `last` is
/// the later of its ends before and after that. An end before `from` is meant.
fn end(new: &str, from: &str, last: &str) -> String {
    let (delay, latest) = (DELAY.as_secs(), Timestamp::MAX.millis() / 1000);
    format!(
        "to_timestamp(least({latest}, {new}::float8 + CASE WHEN {new}::float8 >= {from}::float8 \
         AND {NOW} > to_timestamp(least({new}::float8, {from}::float8 - 1 + {delay})) AND {last} >= {NOW} \
         THEN floor(extract(epoch FROM {NOW}))::float8 + 1 - {from}::float8 ELSE 0 END))"
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
        assert_eq!(sql.users.name, r#""a""b"."c d""; DROP_user""#);
    }

    #[test]
    fn name_of_the_index_is_not_cut_off_by_the_server() {
        for (table, index) in [
            ("session".to_owned(), "session_user".to_owned()),
            ("s".repeat(63), format!("{}_user", "s".repeat(57))),
            ("é".repeat(31), format!("{}_user", "é".repeat(28))),
        ] {
            assert_eq!(index_of(&table), index);
            assert!(index.len() <= 63);
        }
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
