//! The statements, written once for the table they are about.
//!
//! The number of affected rows does not tell whether a statement found one: a flag of the connection makes it
//! the rows found or the rows changed, and an insert that finds a row counts as zero, one or two. So a
//! statement marks the rows that matter with `LAST_INSERT_ID(1)`, which is evaluated for these alone. Its
//! argument comes back as the id of the last insert, which is 0 in a table without numbered rows.
//!
//! The client's clock alone decides what is returned, and never what is deleted: a record is removed or
//! replaced only if it has ended by the server's clock too, and gets its whole lifetime by that clock where the
//! client's is behind (rule 3 of `store::steady`).

use express_session_core::Timestamp;

use super::super::steady::DELAY;

/// How many characters an id may have.
pub(super) const ID_CHARACTERS: usize = 128;

/// How many bytes a MEDIUMTEXT may have.
pub(super) const TEXT_BYTES: usize = (1 << 24) - 1;

/// How many records one statement removes.
pub(super) const STEP: u64 = 250;

/// Makes a value that does not fit its column an error instead of truncating it.
pub(super) const STRICT: &str =
    "SET SESSION sql_mode = CONCAT(@@SESSION.sql_mode, ',STRICT_TRANS_TABLES')";

/// The first whole second after `now`: a record whose `expires` is earlier has ended.
///
/// express-mysql-session rounds `now` to the nearest second, and thereby returns a record for up to
/// half a second after its end.
pub(super) fn from(now: Timestamp) -> i64 {
    now.millis().div_euclid(1000) + 1
}

/// One of the [`Statements`].
pub(super) type Statement = fn(&Statements) -> &str;

/// Every statement of the store, with its parameters in the order of the text.
pub(super) struct Statements {
    /// The table's name, quoted.
    pub(super) table: String,
    pub(super) create_table: String,
    /// Asks for nothing.
    pub(super) ping: &'static str,
    /// Id, live from. Gives the text and its end.
    pub(super) load: String,
    /// Id, [end](End), text, live from, live from. Leaves a mark for a live record.
    pub(super) create: String,
    /// Text, [end](End), id, live from, the digest expected. Leaves a mark if that is there.
    pub(super) update: String,
    /// [End](End), id, live from. Leaves a mark if there is a record.
    pub(super) touch: String,
    pub(super) destroy: String,
    /// Live from, how many. Gives text, end, id.
    pub(super) list: String,
    /// The id before the page, live from, how many. Gives text, end, id.
    pub(super) list_on: String,
    /// The same two of the records that contain a text, which comes first.
    pub(super) list_with: String,
    pub(super) list_with_on: String,
    /// Live from.
    pub(super) count: String,
    /// Gives the milliseconds since 1970 by the server's clock.
    pub(super) time: String,
    /// How many.
    pub(super) clear: String,
    /// Live from, how many. Gives ids.
    pub(super) expired: String,
    /// [`STEP`] ids, live from.
    pub(super) purge: String,
    pub(super) locks: Locks,
}

/// The statements about locks. Leases end by the server's clock.
pub(super) struct Locks {
    pub(super) create_table: String,
    /// Id, holder, lease in milliseconds. Leaves a mark if another holder has it, or else the fencing token.
    pub(super) lock: String,
    /// Text, [end](End), id, id, holder, live from, the digest expected. Leaves a mark if that is there, and the lock is
    /// held.
    pub(super) update: String,
    /// Id, holder, id, live from. Gives whether the lock is held, and the text and its end.
    pub(super) load: String,
    /// Id, holder.
    pub(super) unlock: String,
    /// How many. A released lock stays for a day, so that the next holder has a higher fencing token.
    pub(super) purge: String,
}

impl Statements {
    pub(super) fn new(table: &str, session_id: &str, expires: &str, data: &str) -> Self {
        let qualified = |name: &str| name.split('.').map(quoted).collect::<Vec<_>>().join(".");
        let beside = qualified(&format!("{table}_lock"));
        let table = qualified(table);
        let (session_id, expires, data) = (quoted(session_id), quoted(expires), quoted(data));
        let locks = Locks::new(&beside, &table, [&session_id, &expires, &data]);
        let list = |range: &str| {
            format!(
                "SELECT {data}, {expires}, {session_id} FROM {table} \
                 WHERE {range}{expires} >= ? ORDER BY {session_id} LIMIT ?"
            )
        };
        let ids = vec!["?"; STEP as usize].join(", ");
        Self {
            create_table: format!(
                "CREATE TABLE IF NOT EXISTS {table} (\
                 {session_id} varchar({ID_CHARACTERS}) COLLATE utf8mb4_bin NOT NULL, \
                 {expires} int(11) unsigned NOT NULL, \
                 {data} mediumtext COLLATE utf8mb4_bin, \
                 PRIMARY KEY ({session_id})) ENGINE=InnoDB"
            ),
            ping: "DO 0",
            load: format!(
                "SELECT {data}, {expires} FROM {table} \
                 WHERE {session_id} = ? AND {expires} >= ?"
            ),
            // The assignments are made in this order: the first still sees the old end.
            create: format!(
                "INSERT INTO {table} ({session_id}, {expires}, {data}) VALUES (?, {}, ?) \
                 ON DUPLICATE KEY UPDATE \
                 {data} = IF({expires} < LEAST(?, {NOW}), VALUES({data}), {data}), \
                 {expires} = IF({expires} < LEAST(?, {NOW}), VALUES({expires}), {expires} + 0 * LAST_INSERT_ID(1))",
                end("0")
            ),
            update: format!(
                "UPDATE {table} SET {data} = ?, {expires} = {} + 0 * LAST_INSERT_ID(1) \
                 WHERE {session_id} = ? AND {expires} >= ? \
                 AND LEFT(SHA2(CONVERT({data} USING utf8mb4), 256), 32) = ?",
                end(&expires)
            ),
            touch: format!(
                "UPDATE {table} SET {expires} = {} + 0 * LAST_INSERT_ID(1) \
                 WHERE {session_id} = ? AND {expires} >= ?",
                end(&expires)
            ),
            destroy: format!("DELETE FROM {table} WHERE {session_id} = ?"),
            // No lower bound on the first page: to the collation, a control character is less than
            // the end of a text.
            list: list(""),
            list_on: list(&format!("{session_id} > ? AND ")),
            // By the collation of the column, which may find more than the text itself, and without reading JSON: a record
            // that is none would fail the whole listing.
            list_with: list(&format!("LOCATE(?, {data}) > 0 AND ")),
            list_with_on: list(&format!("LOCATE(?, {data}) > 0 AND {session_id} > ? AND ")),
            count: format!("SELECT COUNT(*) FROM {table} WHERE {expires} >= ?"),
            time: format!("SELECT {MILLIS}"),
            clear: format!("DELETE FROM {table} ORDER BY {session_id} LIMIT ?"),
            expired: format!(
                "SELECT {session_id} FROM {table} WHERE {expires} < LEAST(?, {NOW}) LIMIT ?"
            ),
            purge: format!(
                "DELETE FROM {table} WHERE {session_id} IN ({ids}) AND {expires} < LEAST(?, {NOW})"
            ),
            table,
            locks,
        }
    }
}

impl Locks {
    fn new(table: &str, records: &str, [session_id, expires, data]: [&str; 3]) -> Self {
        Self {
            create_table: format!(
                "CREATE TABLE IF NOT EXISTS {table} (\
                 session_id varchar({ID_CHARACTERS}) COLLATE utf8mb4_bin NOT NULL, \
                 holder binary(16) NOT NULL, \
                 until bigint unsigned NOT NULL, \
                 fence bigint unsigned NOT NULL, \
                 PRIMARY KEY (session_id)) ENGINE=InnoDB"
            ),
            // The assignments are made in this order: the first sees whose it was, the last whose it is now.
            lock: format!(
                "INSERT INTO {table} (session_id, holder, until, fence) \
                 VALUES (?, ?, {MILLIS} + ?, LAST_INSERT_ID({MICROS})) \
                 ON DUPLICATE KEY UPDATE \
                 fence = CASE WHEN until <= {MILLIS} \
                 THEN LAST_INSERT_ID(GREATEST(fence + 1, {MICROS})) \
                 WHEN holder = VALUES(holder) THEN LAST_INSERT_ID(fence) \
                 ELSE fence + 0 * LAST_INSERT_ID(1) END, \
                 holder = IF(holder = VALUES(holder) OR until <= {MILLIS}, VALUES(holder), holder), \
                 until = IF(holder = VALUES(holder), VALUES(until), until)"
            ),
            // Writing the lock's row locks it under any isolation, so that no other request takes the lock meanwhile.
            update: format!(
                "UPDATE {table} AS l, {records} AS s \
                 SET s.{data} = ?, s.{expires} = {} + 0 * LAST_INSERT_ID(1), l.until = l.until \
                 WHERE s.{session_id} = ? AND l.session_id = ? AND l.holder = ? \
                 AND l.until > {MILLIS} AND s.{expires} >= ? \
                 AND LEFT(SHA2(CONVERT(s.{data} USING utf8mb4), 256), 32) = ?",
                end(&format!("s.{expires}"))
            ),
            load: format!(
                "SELECT (SELECT COUNT(*) FROM {table} \
                 WHERE session_id = ? AND holder = ? AND until > {MILLIS}), s.{data}, s.{expires} \
                 FROM (SELECT 1) AS one LEFT JOIN (SELECT {data}, {expires} FROM {records} \
                 WHERE {session_id} = ? AND {expires} >= ?) AS s ON TRUE"
            ),
            unlock: format!(
                "UPDATE {table} SET holder = '', until = LEAST(until, {MILLIS}) \
                 WHERE session_id = ? AND holder = ?"
            ),
            purge: format!("DELETE FROM {table} WHERE until + 86400000 <= {MILLIS} LIMIT ?"),
        }
    }
}

/// The server's clock, in whole seconds since 1970.
const NOW: &str = "UNIX_TIMESTAMP()";

/// The end of a record that ended at `old`. Its parameters are those of an [`End`].
fn end(old: &str) -> String {
    format!("IF({NOW} > ? AND GREATEST({old}, ?) >= {NOW}, LEAST({NOW} + 1 + ?, {MAX_END}), ?)")
}

/// The end of a record by the client's clock.
pub(super) struct End {
    end: i64,
    from: i64,
}

impl End {
    /// `end` is in whole seconds since 1970.
    pub(super) fn new(end: i64, now: Timestamp) -> Self {
        Self { end, from: from(now) }
    }

    /// Returns when the client's clock is behind by the server's, the end, the lifetime, and the end.
    pub(super) fn parameters(&self) -> [i64; 4] {
        let Self { end, from } = *self;
        // An end that has come by the client's clock is meant.
        let is_meant = end < from;
        let late = from - 1 + DELAY.as_secs() as i64;
        [if is_meant { i64::MAX } else { end.min(late) }, end, end - from, end]
    }
}

/// The milliseconds since 1970 by the server's clock, in any time zone of the connection.
const MILLIS: &str = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000";
const MICROS: &str = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))";

/// The largest value of the column of ends.
const MAX_END: u32 = u32::MAX;

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        let sql = Statements::new("a.b`; DROP", "id`", "e", "d");
        assert_eq!(sql.table, "`a`.`b``; DROP`");
        assert!(sql.locks.unlock.starts_with("UPDATE `a`.`b``; DROP_lock` SET"));
        assert_eq!(sql.destroy, "DELETE FROM `a`.`b``; DROP` WHERE `id``` = ?");
    }

    #[test]
    fn record_ends_at_its_second_and_not_after_it() {
        for (now, live_from) in
            [(0, 1), (1, 1), (999, 1), (1000, 2), (1_700_000_000_001, 1_700_000_001), (-1, 0)]
        {
            assert_eq!(from(Timestamp::from_millis(now)), live_from, "{now}");
        }
    }
}
