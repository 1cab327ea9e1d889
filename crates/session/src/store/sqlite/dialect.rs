//! The tables of the npm stores: their columns, how they write a time, and the SQL for them.

use std::time::Duration;

use express_session_core::Timestamp;
use express_session_core::metadata::MEMBER;
use rusqlite::types::Value;

/// Which npm store a table belongs to, or is to be made for.
///
/// ```
/// use express_session::store::sqlite::{Dialect, SqliteStore};
///
/// let store = SqliteStore::new("sessions.db").dialect(Dialect::ConnectSessionKnex);
/// assert!(format!("{store:?}").contains("dialect: Some(ConnectSessionKnex)"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// connect-sqlite3: `sid`, `expired` and `sess` without types, the time as a number of
    /// milliseconds.
    ConnectSqlite3,
    /// better-sqlite3-session-store: `sid`, `sess` and `expire`, the time as ISO 8601. A session
    /// ends with the second before its time: at 17:05:11.000 where it was to end at 17:05:11.252.
    BetterSqlite3SessionStore,
    /// connect-session-knex: `sid`, `sess` and `expired` with types, the time as ISO 8601.
    ConnectSessionKnex,
}

impl Dialect {
    /// Returns the dialect of a table by its columns, each with its name in lower case and its declared type.
    pub(super) fn of_columns(columns: &[(String, String)], sid: &str) -> Option<Self> {
        let kind = |name: &str| {
            columns
                .iter()
                .find(|(column, _)| column.eq_ignore_ascii_case(name))
                .map(|(_, kind)| kind)
        };
        kind("sess")?;
        kind(sid)?;
        match (kind("expired"), kind("expire")) {
            (Some(kind), _) if kind.is_empty() => Some(Self::ConnectSqlite3),
            (Some(_), _) => Some(Self::ConnectSessionKnex),
            (None, Some(_)) => Some(Self::BetterSqlite3SessionStore),
            (None, None) => None,
        }
    }

    /// How often the npm store removes what has expired.
    pub(super) fn cleanup_interval(self) -> Duration {
        match self {
            Self::ConnectSqlite3 => Duration::from_secs(24 * 60 * 60),
            Self::BetterSqlite3SessionStore => Duration::from_secs(15 * 60),
            Self::ConnectSessionKnex => Duration::from_secs(60),
        }
    }

    /// Returns whether a touch moves the end of a session without `max_age`.
    pub(super) fn touches_browser_sessions(self) -> bool {
        match self {
            Self::BetterSqlite3SessionStore => true,
            Self::ConnectSqlite3 | Self::ConnectSessionKnex => false,
        }
    }

    /// Writes a deadline as the npm store does, and gives the deadline that this is.
    pub(super) fn deadline(self, deadline: Timestamp) -> (Value, Timestamp) {
        match self {
            // node-sqlite3 binds every number of this size as a real; one of this size is exact.
            Self::ConnectSqlite3 => (Value::Real(deadline.millis() as f64), deadline),
            Self::BetterSqlite3SessionStore | Self::ConnectSessionKnex => {
                // SQLite reads no time outside of these years, and to Node such a record is not there.
                let millis = deadline.millis().clamp(YEAR_0, YEAR_9999);
                let deadline = Timestamp::from_millis(millis);
                (Value::Text(deadline.iso()), deadline)
            }
        }
    }

    pub(super) fn is_live(self, deadline: Timestamp, now: Timestamp) -> bool {
        match self {
            Self::ConnectSqlite3 | Self::ConnectSessionKnex => deadline > now,
            Self::BetterSqlite3SessionStore => deadline.millis() / 1000 > now.millis() / 1000,
        }
    }

    /// Returns whether the column would turn this text into a number, as one of type `json` does.
    pub(super) fn spoils(self, text: &str) -> bool {
        let is_numeric = match self {
            Self::ConnectSqlite3 => false,
            Self::BetterSqlite3SessionStore | Self::ConnectSessionKnex => true,
        };
        is_numeric && text.trim_start().starts_with(|first: char| "+-.0123456789".contains(first))
    }
}

/// 0000-01-01T00:00:00.000Z and 9999-12-31T23:59:59.999Z.
const YEAR_0: i64 = -62_167_219_200_000;
const YEAR_9999: i64 = 253_402_300_799_999;

/// The SQL for one table.
///
/// Where it takes parameters, `?1` is the id, `?2` the deadline and `?3` the text, but for the
/// statements of several records, which say so.
#[derive(Debug)]
pub(super) struct Sql {
    /// Gives the text, and the deadline in milliseconds.
    pub(super) load: String,
    pub(super) insert: String,
    pub(super) replace: String,
    pub(super) touch: String,
    pub(super) destroy: String,
    /// Up to `?3` live records with ids after `?1`, at `?2`: id, text and deadline.
    pub(super) list: String,
    /// The same of those that contain `?4`.
    pub(super) list_with: String,
    /// The same of those that contain `?4` and that the index of the users has under it.
    pub(super) list_of: String,
    /// Live records at `?1`.
    pub(super) count: String,
    pub(super) clear: String,
    /// Up to `?2` records that have expired at `?1`.
    pub(super) purge: String,
    /// The `?2`-th id after `?1`.
    pub(super) step: String,
    /// Expired records at `?3` with ids after `?1`, and up to `?2` or, where that is null, to the last.
    pub(super) clean: String,
    /// Makes the table and what belongs to it.
    pub(super) create: String,
    /// The name of the index of the users, and the statement that makes it.
    pub(super) user_index: [String; 2],
    pub(super) locks: LockSql,
}

/// The SQL for the table of the locks, which no npm store knows: `?1` is the id, `?2` the holder.
#[derive(Debug)]
pub(super) struct LockSql {
    /// A row where there is the table.
    pub(super) is_there: String,
    pub(super) create: String,
    /// Until `?3`, if it is free at `?4` or the holder's: then it returns the fencing token, which is `?5` or higher.
    pub(super) lock: String,
    /// A row where the holder has it at `?3`.
    pub(super) is_held: String,
    pub(super) unlock: String,
    /// Up to `?2` locks whose lease was over at `?1`. A released lock stays until then, so that the next holder has a
    /// higher fencing token.
    pub(super) clean: String,
}

impl LockSql {
    fn new(table: &str) -> Self {
        let name = format!("{table}_locks");
        let l = quote(&name);
        Self {
            is_there: format!(
                "SELECT 1 FROM pragma_table_info('{}') LIMIT 1",
                name.replace('\'', "''")
            ),
            create: format!(
                "CREATE TABLE IF NOT EXISTS {l} (sid TEXT NOT NULL PRIMARY KEY, \
                 holder BLOB NOT NULL, until INTEGER NOT NULL, fence INTEGER NOT NULL) \
                 WITHOUT ROWID"
            ),
            lock: format!(
                "INSERT INTO {l} (sid, holder, until, fence) VALUES (?1, ?2, ?3, ?5) \
                 ON CONFLICT (sid) DO UPDATE SET fence = CASE \
                 WHEN holder = excluded.holder AND until > ?4 THEN fence \
                 ELSE max(fence + 1, excluded.fence) END, \
                 holder = excluded.holder, until = excluded.until \
                 WHERE holder IN (excluded.holder, x'') OR until <= ?4 RETURNING fence"
            ),
            is_held: format!("SELECT 1 FROM {l} WHERE sid = ?1 AND holder = ?2 AND until > ?3"),
            unlock: format!(
                "UPDATE {l} SET holder = x'', \
                 until = min(until, 1000 * CAST(strftime('%s', 'now') AS INTEGER)) \
                 WHERE sid = ?1 AND holder = ?2"
            ),
            clean: format!(
                "DELETE FROM {l} WHERE sid IN (SELECT sid FROM {l} WHERE until <= ?1 LIMIT ?2)"
            ),
        }
    }
}

impl Sql {
    pub(super) fn new(dialect: Dialect, table: &str, sid: &str) -> Self {
        let (sid_name, index) = (sid, quote(&format!("{}_expired_index", table.to_lowercase())));
        let (t, sid) = (&quote(table), &quote(sid_name));
        // The time in whole milliseconds, and whether it has not come, or has passed: as the npm
        // store compares, but for the very millisecond of the deadline, where a session of ours is gone.
        let (end, millis, live, past) = match dialect {
            Dialect::ConnectSqlite3 => {
                ("expired", "CAST(expired AS INTEGER)", "{end} > {now}", "{end} < {now}")
            }
            Dialect::ConnectSessionKnex => {
                ("expired", MILLIS_OF_EXPIRED, "{end} > {now}", "{end} / 1000 < {now} / 1000")
            }
            Dialect::BetterSqlite3SessionStore => (
                "expire",
                MILLIS_OF_EXPIRE,
                "{end} / 1000 > {now} / 1000",
                "{end} / 1000 < {now} / 1000",
            ),
        };
        let at = |condition: &str, now| condition.replace("{end}", millis).replace("{now}", now);
        let create = match dialect {
            Dialect::ConnectSqlite3 => {
                format!("CREATE TABLE IF NOT EXISTS {t} ({sid} PRIMARY KEY, expired, sess)")
            }
            Dialect::BetterSqlite3SessionStore => format!(
                "CREATE TABLE IF NOT EXISTS {t} ({sid} TEXT NOT NULL PRIMARY KEY, \
                 sess JSON NOT NULL, expire TEXT NOT NULL)"
            ),
            Dialect::ConnectSessionKnex => format!(
                "CREATE TABLE IF NOT EXISTS {t} ({sid} varchar(255), sess json not null, \
                 expired datetime not null, primary key ({sid})); \
                 CREATE INDEX IF NOT EXISTS {index} ON {t} (expired)"
            ),
        };
        let list = |condition: &str, sid: &str| {
            format!(
                "SELECT {sid}, sess, {millis} FROM {t} WHERE {condition}{sid} > ?1 \
                 AND typeof({sid}) = 'text' AND {live} ORDER BY {sid} LIMIT ?3",
                live = at(live, "?2"),
            )
        };
        let user_index = format!("{}_user_index", table.to_lowercase());
        let create_user_index =
            format!("CREATE INDEX IF NOT EXISTS {} ON {t} ({})", quote(&user_index), user());
        Self {
            load: format!("SELECT sess, {millis} FROM {t} WHERE {sid} = ?1"),
            insert: format!("INSERT INTO {t} ({sid}, {end}, sess) VALUES (?1, ?2, ?3)"),
            replace: format!("UPDATE {t} SET {end} = ?2, sess = ?3 WHERE {sid} = ?1"),
            touch: format!("UPDATE {t} SET {end} = ?2 WHERE {sid} = ?1"),
            destroy: format!("DELETE FROM {t} WHERE {sid} = ?1"),
            list: list("", sid),
            // Byte for byte, and without reading JSON: a record that is none is no error.
            list_with: list("instr(sess, ?4) > 0 AND ", sid),
            // With a sign before the id, SQLite does not search along the ids instead.
            list_of: list(
                &format!(
                    "{} IN (json_extract(?4, '$'), {UNREADABLE}) AND instr(sess, ?4) > 0 AND ",
                    user()
                ),
                &format!("+{sid}"),
            ),
            count: format!("SELECT count(*) FROM {t} WHERE {}", at(live, "?1")),
            clear: format!("DELETE FROM {t}"),
            purge: format!(
                "DELETE FROM {t} WHERE {sid} IN (SELECT {sid} FROM {t} WHERE {} LIMIT ?2)",
                at(past, "?1"),
            ),
            step: format!(
                "SELECT {sid} FROM {t} WHERE {sid} > ?1 ORDER BY {sid} LIMIT 1 OFFSET ?2"
            ),
            clean: format!(
                "DELETE FROM {t} WHERE {sid} > ?1 AND (?2 IS NULL OR {sid} <= ?2) AND {}",
                at(past, "?3"),
            ),
            create,
            user_index: [user_index, create_user_index],
            locks: LockSql::new(table),
        }
    }
}

/// The user of a record, as a value of SQLite: that of passport or, without one, of the metadata.
///
/// No record may make the expression fail, or no program could write it. Records that are no JSON to SQLite have a value of
/// their own, which every listing includes.
fn user() -> String {
    format!(
        "CASE WHEN json_valid(sess) THEN coalesce(json_extract(sess, '$.passport.user'), \
         json_extract(sess, '$.{MEMBER}.user')) ELSE {UNREADABLE} END"
    )
}

const UNREADABLE: &str = "''";

const MILLIS_OF_EXPIRED: &str = "CAST(round(unixepoch(expired, 'subsec') * 1000) AS INTEGER)";
const MILLIS_OF_EXPIRE: &str = "CAST(round(unixepoch(expire, 'subsec') * 1000) AS INTEGER)";

/// Makes a name of SQL out of any text.
fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn list_of_a_user_searches_the_index_in_every_dialect() {
        for dialect in [
            Dialect::ConnectSqlite3,
            Dialect::BetterSqlite3SessionStore,
            Dialect::ConnectSessionKnex,
        ] {
            let connection = Connection::open_in_memory().unwrap();
            let sql = Sql::new(dialect, "a \"b\"", "the id");
            connection.execute_batch(&sql.create).unwrap();
            connection.execute(&sql.user_index[1], []).unwrap();
            let explain = format!("EXPLAIN QUERY PLAN {}", sql.list_of);
            let mut statement = connection.prepare(&explain).unwrap();
            let plan = statement.query_map(("", 0, 10, "\"bob\""), |row| row.get(3)).unwrap();
            let plan: Vec<String> = plan.map(Result::unwrap).collect();
            assert!(plan[0].starts_with("SEARCH"), "{plan:?}");
            assert!(plan[0].contains(&sql.user_index[0]), "{plan:?}");
        }
    }
}
