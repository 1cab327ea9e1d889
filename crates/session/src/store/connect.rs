//! Opens a store by its URL, for applications that read it from their environment.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use express_session_core::store::Error;

use super::AnyStore;
use super::memory::MemoryStore;
use super::query::{self, decode};

/// Opens the store at a URL, and connects, so that a failure shows when the application starts.
///
/// | URL | store | feature |
/// |---|---|---|
/// | `memory://` | `memory::MemoryStore` | |
/// | `redis://host:6379/0`, `rediss://`, `redis+unix://`, `redis+sentinel://`, `redis+cluster://`, also with `valkey` | `redis::RedisStore` | `redis`, for `rediss` also `tls` |
/// | `postgres://host/database`, `postgresql://` | `postgres::PostgresStore` | `postgres` |
/// | `mysql://host/database` | `mysql::MySqlStore` | `mysql` |
/// | `memcached://host:11211` | `memcached::MemcachedStore` | `memcached` |
/// | `sqlite:///var/lib/sessions.db`, `sqlite://sessions.db` in the working folder, `sqlite://:memory:` | `sqlite::SqliteStore` | `sqlite` |
/// | `file:///var/lib/sessions`, `file://sessions` in the working folder | `file::FileStore` | `file` |
///
/// Options follow the `?`, by the names of the store's methods: `?prefix=shop:&ttl=30m`. Every store with a TTL
/// or a table also has `ttl` or `table`, and every store but the memory store has `timeout`. A time is a number
/// with `ms`, `s`, `m`, `h` or `d`, or of seconds; `never` stands for `None`. Options of the driver, such as
/// PostgreSQL's `sslmode`, are passed on. Special characters are percent-encoded, also the `?` and `@` of a
/// password.
///
/// Certificate authorities, shared pools and functions are set on the stores themselves.
///
/// # Errors
///
/// See [`ConnectErrorKind`]. A message shows nothing of the URL but the scheme and the names of options: any
/// other part may be a password in the wrong place.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use express_session::store::ConnectErrorKind;
/// use express_session::SessionLayer;
///
/// let url = "memory://?ttl=30m&max_sessions=100000"; // From the environment, say.
/// let store = express_session::connect(url).await?;
/// let layer = SessionLayer::new("keyboard cat").store(store);
/// # let _ = layer;
///
/// let error = express_session::connect("memory://?max_session=5").await.unwrap_err();
/// assert_eq!(error.kind(), ConnectErrorKind::UnknownOption);
/// assert_eq!(error.to_string(), "memory:// has no option max_session");
/// # Ok(())
/// # }
/// ```
pub async fn connect(url: &str) -> Result<AnyStore, ConnectError> {
    let address = Address::parse(url)?;
    match address.scheme {
        "memory" => memory(address),
        "postgres" | "postgresql" => postgres(address).await,
        "mysql" | "mysql2" | "mariadb" => mysql(address).await,
        "memcached" => memcached(address).await,
        "sqlite" => sqlite(address).await,
        "file" => file(address).await,
        _ => redis(address).await,
    }
}

/// The schemes that errors may show.
const SCHEMES: [&str; 27] = [
    "memory",
    "postgres",
    "postgresql",
    "mysql",
    "mysql2",
    "mariadb",
    "memcached",
    "sqlite",
    "file",
    "redis",
    "redis+unix",
    "redis+tls",
    "redis+ssl",
    "redis+sentinel",
    "redis+cluster",
    "rediss",
    "rediss+unix",
    "rediss+sentinel",
    "rediss+cluster",
    "valkey",
    "valkey+unix",
    "valkey+sentinel",
    "valkey+cluster",
    "valkeys",
    "valkeys+unix",
    "valkeys+sentinel",
    "valkeys+cluster",
];

/// Does all of [`connect`] but the call to the server. The fuzzer's build has every store but SQLite, whose URL
/// is parsed like that of files.
#[cfg(fuzzing)]
pub(crate) fn prepare(url: &str) -> Result<(), ConnectError> {
    let address = Address::parse(url)?;
    match address.scheme {
        "memory" => memory(address).map(drop),
        "postgres" | "postgresql" => postgres_at(address).map(drop),
        "mysql" | "mysql2" | "mariadb" => mysql_at(address).map(drop),
        "memcached" => memcached_at(address).map(drop),
        "file" => file_at(address).map(drop),
        _ => redis_at(address).map(drop),
    }
}

fn memory(address: Address<'_>) -> Result<AnyStore, ConnectError> {
    if !address.place.is_empty() {
        return Err(ConnectError::no_url("memory:// takes options only"));
    }
    let mut store = MemoryStore::new();
    for option in address.options()? {
        store = match option.name {
            "ttl" => store.ttl(option.duration_or_never()?),
            "max_sessions" => store.max_sessions(option.number()?),
            "max_bytes" => store.max_bytes(option.number()?),
            "max_record_bytes" => store.max_record_bytes(option.number()?),
            _ => return Err(option.unknown()),
        };
    }
    Ok(AnyStore::with_admin(store))
}

#[cfg(feature = "redis")]
async fn redis(address: Address<'_>) -> Result<AnyStore, ConnectError> {
    let store = redis_at(address)?;
    store.check().await?;
    Ok(AnyStore::with_admin(store))
}

#[cfg(feature = "redis")]
fn redis_at(address: Address<'_>) -> Result<super::redis::RedisStore, ConnectError> {
    use super::redis::address::{PARAMETERS, instead_of};

    let server = address.scheme.split('+').next().unwrap_or_default();
    let is_encrypted = server.ends_with('s') && server != "redis";
    let is_encrypted =
        is_encrypted || ["+tls", "+ssl"].iter().any(|kind| address.scheme.ends_with(kind));
    if cfg!(not(feature = "tls")) && is_encrypted {
        return Err(ConnectError::missing(address.scheme, "tls"));
    }
    let (url, options) = address.for_server(PARAMETERS, instead_of)?;
    let mut store = super::redis::RedisStore::new(&url)?;
    let (mut replicas, mut replicas_timeout) = (None, None);
    for option in options {
        store = match option.name {
            "prefix" => store.prefix(option.text),
            "ttl" => store.ttl(option.duration()?),
            "disable_ttl" => store.disable_ttl(option.flag()?),
            "disable_touch" => store.disable_touch(option.flag()?),
            "user_index" => store.user_index(option.flag()?),
            "scan_count" => store.scan_count(option.number()?),
            "timeout" => store.timeout(option.duration()?),
            "max_waiting" => store.max_waiting(option.number()?),
            "replicas" => {
                replicas = Some(option.number()?);
                store
            }
            "replicas_timeout" => {
                replicas_timeout = Some(option.duration()?);
                store
            }
            _ => return Err(option.unknown()),
        };
    }
    match (replicas, replicas_timeout) {
        (None, None) => Ok(store),
        (Some(replicas), Some(timeout)) => Ok(store.wait_for_replicas(replicas, timeout)),
        (Some(_), None) | (None, Some(_)) => Err(ConnectError::new(
            ConnectErrorKind::InvalidOption,
            "replicas and replicas_timeout need each other",
        )),
    }
}

#[cfg(feature = "postgres")]
async fn postgres(address: Address<'_>) -> Result<AnyStore, ConnectError> {
    probed(postgres_at(address)?).await
}

#[cfg(feature = "postgres")]
fn postgres_at(address: Address<'_>) -> Result<super::postgres::PostgresStore, ConnectError> {
    use super::postgres::address::{PARAMETERS, instead_of};

    let (url, options) = address.for_server(PARAMETERS, instead_of)?;
    let mut store = super::postgres::PostgresStore::new(&url)?;
    for option in options {
        store = match option.name {
            "table" | "table_name" => store.table_name(option.text),
            "schema_name" => store.schema_name(option.text),
            "create_table_if_missing" => store.create_table_if_missing(option.flag()?),
            "user_index" => store.user_index(option.flag()?),
            "ttl" => store.ttl(option.duration()?),
            "disable_touch" => store.disable_touch(option.flag()?),
            "prune_session_interval" => store.prune_session_interval(option.duration_or_never()?),
            "prune_session_randomized_interval" => {
                store.prune_session_randomized_interval(option.flag()?)
            }
            "timeout" => store.timeout(option.duration()?),
            "max_waiting" => store.max_waiting(option.number()?),
            "max_connections" => store.max_connections(option.number()?),
            "prepare_statements" => store.prepare_statements(option.flag()?),
            _ => return Err(option.unknown()),
        };
    }
    Ok(store)
}

#[cfg(feature = "mysql")]
async fn mysql(address: Address<'_>) -> Result<AnyStore, ConnectError> {
    probed(mysql_at(address)?).await
}

#[cfg(feature = "mysql")]
fn mysql_at(address: Address<'_>) -> Result<super::mysql::MySqlStore, ConnectError> {
    use super::mysql::address::{PARAMETERS, instead_of};

    let (url, options) = address.for_server(PARAMETERS, instead_of)?;
    let mut store = super::mysql::MySqlStore::new(&url)?;
    for option in options {
        store = match option.name {
            "table" | "table_name" => store.table_name(option.text),
            "create_database_table" => store.create_database_table(option.flag()?),
            "ttl" | "expiration" => store.expiration(option.duration()?),
            "clear_expired" => store.clear_expired(option.flag()?),
            "check_expiration_interval" => store.check_expiration_interval(option.duration()?),
            "disable_touch" => store.disable_touch(option.flag()?),
            "connection_limit" => store.connection_limit(option.number()?),
            "timeout" => store.timeout(option.duration()?),
            "max_waiting" => store.max_waiting(option.number()?),
            _ => return Err(option.unknown()),
        };
    }
    Ok(store)
}

#[cfg(feature = "memcached")]
async fn memcached(address: Address<'_>) -> Result<AnyStore, ConnectError> {
    probed(memcached_at(address)?).await
}

#[cfg(feature = "memcached")]
fn memcached_at(address: Address<'_>) -> Result<super::memcached::MemcachedStore, ConnectError> {
    let (url, options) = address.for_driver(&[])?;
    let mut store = super::memcached::MemcachedStore::new(&url)?;
    for option in options {
        store = match option.name {
            "prefix" => store.prefix(option.text),
            "ttl" => store.ttl(option.duration()?),
            "timeout" => store.timeout(option.duration()?),
            "max_waiting" => store.max_waiting(option.number()?),
            "max_connections" => store.max_connections(option.number()?),
            _ => return Err(option.unknown()),
        };
    }
    Ok(store)
}

#[cfg(feature = "sqlite")]
async fn sqlite(address: Address<'_>) -> Result<AnyStore, ConnectError> {
    let store = sqlite_at(address)?;
    store.open().await?;
    Ok(AnyStore::with_admin(store))
}

#[cfg(feature = "sqlite")]
fn sqlite_at(address: Address<'_>) -> Result<super::sqlite::SqliteStore, ConnectError> {
    use super::sqlite::{Dialect, SqliteStore, Synchronous};

    let mut store = SqliteStore::new(address.path()?);
    for option in address.options()? {
        store = match option.name {
            "dialect" => store.dialect(match &*option.text {
                "connect-sqlite3" => Dialect::ConnectSqlite3,
                "better-sqlite3-session-store" => Dialect::BetterSqlite3SessionStore,
                "connect-session-knex" => Dialect::ConnectSessionKnex,
                _ => return Err(option.unfit("the name of an npm store for SQLite")),
            }),
            "table" => store.table(option.text),
            "sid_field_name" => store.sid_field_name(option.text),
            "create_table" => store.create_table(option.flag()?),
            "user_index" => store.user_index(option.flag()?),
            "create_dir_if_not_exists" => store.create_dir_if_not_exists(option.flag()?),
            "ttl" => store.ttl(option.duration()?),
            "cleanup_interval" => store.cleanup_interval(option.duration_or_never()?),
            "concurrent_db" => store.concurrent_db(option.flag()?),
            "synchronous" => store.synchronous(match &*option.text {
                "normal" => Synchronous::Normal,
                "full" => Synchronous::Full,
                _ => return Err(option.unfit("normal or full")),
            }),
            "busy_timeout" => store.busy_timeout(option.duration()?),
            "timeout" => store.timeout(option.duration()?),
            "readers" => store.readers(option.number()?),
            _ => return Err(option.unknown()),
        };
    }
    Ok(store)
}

#[cfg(feature = "file")]
async fn file(address: Address<'_>) -> Result<AnyStore, ConnectError> {
    let store = file_at(address)?;
    store.open().await?;
    Ok(AnyStore::with_admin(store))
}

#[cfg(feature = "file")]
fn file_at(address: Address<'_>) -> Result<super::file::FileStore, ConnectError> {
    let mut store = super::file::FileStore::new(address.path()?);
    for option in address.options()? {
        store = match option.name {
            "ttl" => store.ttl(option.duration()?),
            "file_extension" => store.file_extension(option.text),
            "reap_interval" => store.reap_interval(option.duration_or_never()?),
            "fsync" => store.fsync(option.flag()?),
            "mode" => {
                let mode = u32::from_str_radix(&option.text, 8).ok();
                store.mode(mode.ok_or_else(|| option.unfit("a mode as chmod takes it"))?)
            }
            "timeout" => store.timeout(option.duration()?),
            _ => return Err(option.unknown()),
        };
    }
    Ok(store)
}

/// Replaces the stores whose feature is off.
macro_rules! left_out {
    ($($store:ident = $feature:literal),* $(,)?) => {
        $(
            #[cfg(not(feature = $feature))]
            async fn $store(address: Address<'_>) -> Result<AnyStore, ConnectError> {
                Err(ConnectError::missing(address.scheme, $feature))
            }
        )*
    };
}

left_out! {
    redis = "redis",
    postgres = "postgres",
    mysql = "mysql",
    memcached = "memcached",
    sqlite = "sqlite",
    file = "file",
}

/// Loads a missing session, to check that the store answers.
#[cfg(any(feature = "postgres", feature = "mysql", feature = "memcached"))]
async fn probed<S: super::Admin>(store: S) -> Result<AnyStore, ConnectError> {
    use express_session_core::{Clock as _, SessionId};

    use crate::runtime::system::System;

    if let Some(id) = SessionId::new("connect") {
        store.load(&id, System.now().into()).await?;
    }
    Ok(AnyStore::with_admin(store))
}

/// A parsed URL.
#[derive(Clone, Copy)]
struct Address<'a> {
    scheme: &'static str,
    /// The part between `://` and `?`, which may hold a password.
    place: &'a str,
    query: &'a str,
}

#[allow(dead_code, reason = "each store uses some of it")]
impl<'a> Address<'a> {
    fn parse(url: &'a str) -> Result<Self, ConnectError> {
        let no_url = || ConnectError::no_url("a store's URL is scheme://place?option=value");
        let (scheme, rest) = url.split_once("://").ok_or_else(no_url)?;
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_lowercase())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        if !is_scheme {
            return Err(no_url());
        }
        let Some(scheme) = SCHEMES.into_iter().find(|known| *known == scheme) else {
            let message = "no session store has the scheme of this URL; there are memory, redis, postgres, \
                           mysql, memcached, sqlite and file";
            return Err(ConnectError::new(ConnectErrorKind::UnknownScheme, message));
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        // An `@` precedes a host: the `?` was part of a password, of which nothing may be shown.
        if query.contains('@') {
            let message =
                "in a store's URL, a ? in a password is written %3F, and an @ in an option %40";
            return Err(ConnectError::no_url(message));
        }
        // The same of a `/`, but in paths.
        let is_path = place.starts_with('/') || ["sqlite", "file"].contains(&scheme);
        if !is_path && place.split_once('/').is_some_and(|(_, path)| path.contains('@')) {
            let message = "in a store's URL, a / in a password is written %2F";
            return Err(ConnectError::no_url(message));
        }
        Ok(Self { scheme, place, query })
    }

    fn options(&self) -> Result<Vec<Choice<'a>>, ConnectError> {
        self.for_driver(&[]).map(|(_, options)| options)
    }

    /// Returns the URL with the driver's options, and the store's options.
    fn for_driver(&self, drivers: &[&str]) -> Result<(String, Vec<Choice<'a>>), ConnectError> {
        let scheme = self.scheme;
        let mut url = format!("{scheme}://{}", self.place);
        let mut separator = '?';
        let mut options = Vec::new();
        for ((name, value), position) in query::pairs(self.query).zip(1..) {
            if drivers.contains(&name) {
                url.extend([separator.encode_utf8(&mut [0; 4]), name, "=", value]);
                separator = '&';
                continue;
            }
            let text = decode(value).ok_or_else(|| {
                let message = format!("option {position} of the URL is not UTF-8 where it has a %");
                ConnectError::new(ConnectErrorKind::InvalidOption, message)
            })?;
            options.push(Choice { scheme, position, name, text });
        }
        Ok((url, options))
    }

    /// The same for a store with a server: an option of other clients is an error that says what to use instead.
    #[cfg(any(feature = "redis", feature = "postgres", feature = "mysql"))]
    fn for_server(
        &self,
        drivers: &[&str],
        instead_of: fn(&str) -> Option<&'static str>,
    ) -> Result<(String, Vec<Choice<'a>>), ConnectError> {
        let (url, options) = self.for_driver(drivers)?;
        match options.iter().find_map(|option| Some((option.name, instead_of(option.name)?))) {
            Some((name, instead)) => {
                let message = format!("{}:// has no option {name}: {instead}", self.scheme);
                Err(ConnectError::new(ConnectErrorKind::UnknownOption, message))
            }
            None => Ok((url, options)),
        }
    }

    /// Returns the place as a path of this machine.
    fn path(&self) -> Result<String, ConnectError> {
        let path = decode(self.place).filter(|path| !path.is_empty());
        let path = path.ok_or_else(|| ConnectError::no_url("the URL has no path"))?;
        // file:///C:/sessions
        let behind = path.strip_prefix('/').filter(|path| path.as_bytes().get(1) == Some(&b':'));
        Ok(behind.filter(|_| cfg!(windows)).map(str::to_owned).unwrap_or(path))
    }
}

/// An option in a URL.
struct Choice<'a> {
    scheme: &'static str,
    /// Its place in the URL, from 1.
    position: usize,
    name: &'a str,
    text: String,
}

#[allow(dead_code, reason = "each store uses some of it")]
impl Choice<'_> {
    fn duration(&self) -> Result<Duration, ConnectError> {
        let digits = self.text.trim_start_matches(|digit: char| digit.is_ascii_digit());
        let (number, unit) = self.text.split_at(self.text.len() - digits.len());
        let seconds = |seconds: u64| number.parse::<u64>().ok()?.checked_mul(seconds);
        let duration = match unit {
            "ms" => number.parse().ok().map(Duration::from_millis),
            "" | "s" => seconds(1).map(Duration::from_secs),
            "m" => seconds(60).map(Duration::from_secs),
            "h" => seconds(60 * 60).map(Duration::from_secs),
            "d" => seconds(24 * 60 * 60).map(Duration::from_secs),
            _ => None,
        };
        duration.ok_or_else(|| self.unfit("a time, as 500ms, 30s, 15m, 24h or 7d"))
    }

    fn duration_or_never(&self) -> Result<Option<Duration>, ConnectError> {
        if self.text == "never" { Ok(None) } else { self.duration().map(Some) }
    }

    fn number(&self) -> Result<usize, ConnectError> {
        self.text.parse().map_err(|_| self.unfit("a whole number"))
    }

    fn flag(&self) -> Result<bool, ConnectError> {
        self.text.parse().map_err(|_| self.unfit("true or false"))
    }

    /// Makes an error without the value, which may be a secret. The store knows the name.
    fn unfit(&self, expected: &str) -> ConnectError {
        let message = format!("the option {} of {}:// is not {expected}", self.name, self.scheme);
        ConnectError::new(ConnectErrorKind::InvalidOption, message)
    }

    fn unknown(&self) -> ConnectError {
        let message = if query::is_name(self.name, &self.text) {
            format!("{}:// has no option {}", self.scheme, self.name)
        } else {
            format!("{}:// does not have option {} of the URL", self.scheme, self.position)
        };
        ConnectError::new(ConnectErrorKind::UnknownOption, message)
    }
}

/// The error of [`connect`].
///
/// ```
/// use std::error::Error as _;
/// use express_session::store::ConnectErrorKind;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let error = express_session::connect("mongodb://localhost").await.unwrap_err();
/// assert_eq!(error.kind(), ConnectErrorKind::UnknownScheme);
/// assert!(error.to_string().starts_with("no session store has the scheme of this URL"));
/// assert!(error.source().is_none());
/// # }
/// ```
#[derive(Debug)]
pub struct ConnectError {
    kind: ConnectErrorKind,
    message: Box<str>,
    source: Option<Error>,
}

/// The kind of a [`ConnectError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectErrorKind {
    /// The URL is malformed, or not one for this store.
    NoUrl,
    /// No store of this crate has the scheme.
    UnknownScheme,
    /// This build does not have the store. The message names the feature to add.
    MissingFeature,
    /// The store has no such option. The message has its place in the URL.
    UnknownOption,
    /// An option has an invalid value. The message names the option.
    InvalidOption,
    /// The store failed. Its own error is the [source](StdError::source).
    Store,
}

impl ConnectError {
    /// Returns the kind of the failure.
    #[must_use]
    pub fn kind(&self) -> ConnectErrorKind {
        self.kind
    }

    fn new(kind: ConnectErrorKind, message: impl Into<Box<str>>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    fn no_url(message: &'static str) -> Self {
        Self::new(ConnectErrorKind::NoUrl, message)
    }

    #[allow(dead_code, reason = "with every feature, none is missing")]
    fn missing(scheme: &str, feature: &str) -> Self {
        let message = format!("for {scheme}:// add the feature \"{feature}\" of express-session");
        Self::new(ConnectErrorKind::MissingFeature, message)
    }
}

impl From<Error> for ConnectError {
    fn from(error: Error) -> Self {
        let message = "the session store cannot be opened".into();
        Self { kind: ConnectErrorKind::Store, message, source: Some(error) }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for ConnectError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|error| error as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(call: impl Future<Output = T>) -> T {
        tokio::runtime::Runtime::new().unwrap().block_on(call)
    }

    fn refused(url: &str) -> ConnectError {
        block_on(connect(url)).expect_err(url)
    }

    #[test]
    fn memory_takes_its_options() {
        for url in [
            "memory://",
            "memory://?",
            "memory://?ttl=never",
            "memory://?ttl=30m&max_sessions=10&max_bytes=1000000&max_record_bytes=1000",
        ] {
            assert!(block_on(connect(url)).is_ok(), "{url}");
        }
        assert_eq!(refused("memory://here").kind(), ConnectErrorKind::NoUrl);
    }

    #[test]
    fn times_have_units() {
        let time = |text: &str| {
            let choice =
                Choice { scheme: "memory", position: 1, name: "ttl", text: text.to_owned() };
            choice.duration().ok()
        };
        for (text, millis) in [
            ("500ms", 500),
            ("30", 30_000),
            ("30s", 30_000),
            ("15m", 900_000),
            ("24h", 86_400_000),
            ("7d", 604_800_000),
            ("0", 0),
        ] {
            assert_eq!(time(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "1w", "-1", "1.5h", "1 h", "99999999999999999999d", "é"] {
            assert_eq!(time(text), None, "{text}");
        }
    }

    #[test]
    fn kind_names_the_fault() {
        use ConnectErrorKind::{InvalidOption, NoUrl, UnknownOption, UnknownScheme};
        for (url, kind) in [
            ("", NoUrl),
            ("redis", NoUrl),
            ("://", NoUrl),
            ("Redis://localhost", NoUrl),
            ("localhost:6379", NoUrl),
            ("mongodb://localhost", UnknownScheme),
            ("memory://?max_session=1", UnknownOption),
            ("memory://?prefix", UnknownOption),
            ("memory://?ttl", InvalidOption),
            ("memory://?ttl=soon", InvalidOption),
            ("memory://?ttl=%", InvalidOption),
            ("memory://?ttl=%ff", InvalidOption),
            ("memory://?max_sessions=-1", InvalidOption),
        ] {
            assert_eq!(refused(url).kind(), kind, "{url}");
        }
    }

    #[cfg(all(feature = "redis", feature = "mysql", feature = "tls"))]
    #[tokio::test]
    async fn connection_strings_of_hosts_are_read_as_given() {
        for url in [
            // Heroku, and its documented answer to its own certificate.
            "rediss://:p12345@ec2-1-2-3-4.compute-1.amazonaws.com:7010",
            "rediss://:p12345@ec2-1-2-3-4.compute-1.amazonaws.com:7010?ssl_cert_reqs=none",
            // Upstash, DigitalOcean, Aiven, Azure, ElastiCache, Fly.
            "rediss://default:AbC123@eu1-adapted-fox-12345.upstash.io:6379",
            "rediss://default:AVNS_x@db-redis-1-do-user-1-0.b.db.ondigitalocean.com:25061",
            "rediss://default:AVNS_x@valkey-1-project.a.aivencloud.com:12345",
            "valkeys://default:AVNS_x@valkey-1-project.a.aivencloud.com:12345",
            "rediss://:key%3D@name.redis.cache.windows.net:6380",
            "rediss://user:pw@master.name.abc.euw1.cache.amazonaws.com:6379",
            "rediss+cluster://user:pw@clustercfg.name.abc.euw1.cache.amazonaws.com:6379",
            "redis://default:pw@fly-name.upstash.io:6379?family=6",
        ] {
            assert!(redis_at(Address::parse(url).unwrap()).is_ok(), "{url}");
        }
        for url in [
            r#"mysql://u:pscale_pw_x@aws.connect.psdb.cloud/shop?ssl={"rejectUnauthorized":true}"#,
            "mysql://u:pscale_pw_x@aws.connect.psdb.cloud/shop?sslaccept=strict",
            "mysql://avnadmin:AVNS_x@mysql-1-project.a.aivencloud.com:12345/defaultdb?ssl-mode=REQUIRED",
            "mysql://doadmin:AVNS_x@db-1-0.b.db.ondigitalocean.com:25060/defaultdb?ssl-mode=REQUIRED",
            "mysql://admin:pw@name.abc.eu-west-1.rds.amazonaws.com:3306/shop?ssl-mode=VERIFY_IDENTITY",
            "mysql://web:pw@name.mysql.database.azure.com/shop?useSSL=true&requireSSL=true",
            "mysql://b1:pw@eu-cdbr-west-03.cleardb.net/heroku_1?reconnect=true",
            "mysql://web:pw@host/shop?charset=utf8mb4&timezone=Z&serverTimezone=UTC",
            "mariadb://web:pw@host/shop?connection_limit=5",
        ] {
            assert!(mysql_at(Address::parse(url).unwrap()).is_ok(), "{url}");
        }
    }

    #[test]
    fn store_that_is_left_out_names_its_feature() {
        for (url, feature, has_it) in [
            ("redis://localhost", "redis", cfg!(feature = "redis")),
            ("redis+cluster://localhost", "redis", cfg!(feature = "redis")),
            ("postgres://localhost", "postgres", cfg!(feature = "postgres")),
            ("postgresql://localhost", "postgres", cfg!(feature = "postgres")),
            ("mysql://localhost", "mysql", cfg!(feature = "mysql")),
            ("memcached://localhost", "memcached", cfg!(feature = "memcached")),
            ("sqlite://sessions.db", "sqlite", cfg!(feature = "sqlite")),
            ("file://sessions", "file", cfg!(feature = "file")),
        ] {
            if !has_it {
                let error = refused(url);
                assert_eq!(error.kind(), ConnectErrorKind::MissingFeature);
                let scheme = url.split("://").next().unwrap_or_default();
                let expected =
                    format!("for {scheme}:// add the feature \"{feature}\" of express-session");
                assert_eq!(error.to_string(), expected);
            }
        }
    }

    #[test]
    fn audit_l8_no_error_shows_a_password() {
        for url in [
            "redis://user:hunter2@localhost:1?unknown=hunter2",
            "redis://user:a?hunter2=b@localhost",
            "rediss://:hunter2@localhost:1",
            "redis+sentinel://:hunter2@localhost",
            "redis+nothing://:hunter2@localhost",
            "redis://:hunter2@local host",
            "postgres://user:hunter2@localhost:1/db?unknown=hunter2",
            "postgres://user:hunter2@localhost:port/db",
            "mysql://user:hunter2@localhost:1/db?unknown=hunter2",
            "mysql://user:hunter2@localhost:port/db",
            "memcached://user:hunter2@localhost:1",
            "hunter2",
            "user:hunter2@localhost",
            "user:hunter2://localhost",
            "memory://hunter2",
            "memory://?ttl=hunter2",
            // A secret in the place of any other part.
            "hunter2://localhost",
            "hunter2://user:password@localhost/0?ttl=1h",
            "redis+hunter2://localhost",
            "rediss+hunter2://localhost?hunter2=1",
            "memory://?hunter2",
            "memory://?hunter2=%",
            "memory://?ttl=1h&hunter2=5",
            "redis://localhost?hunter2=1",
            "redis://localhost/hunter2",
            "redis://localhost:hunter2",
            "redis://:a/hunter2@localhost",
            "redis://:1/hunter2@localhost",
            "redis+cluster://:1/hunter2@localhost",
            "redis+cluster://localhost:1?protocol=2#hunter2",
            "redis+sentinel://localhost/master?hunter2=1",
            "redis+sentinel://localhost/hunter2?db=hunter2",
            "redis+unix:///run/no.sock?hunter2=1",
            "postgres://localhost?hunter2=1",
            "postgres://localhost?sslmode=hunter2",
            "postgres://localhost:1/hunter2",
            "postgres://localhost:1?options=hunter2",
            "postgres://a:1/hunter2@localhost",
            "mysql://localhost?hunter2=1",
            "mysql://localhost?tcp_keepalive=hunter2",
            "mysql://localhost:1/hunter2",
            "mysql://a:1/hunter2@localhost",
            "memcached://localhost?hunter2=1",
            "memcached://localhost:hunter2",
            "memcached://localhost/hunter2",
            "sqlite://:memory:?hunter2=1",
            "sqlite://:memory:?dialect=hunter2",
            "file://sessions?hunter2=1",
            "file://sessions?mode=hunter2",
        ] {
            let error = refused(url);
            let mut shown = format!("{error} {error:?}");
            let mut source = StdError::source(&error);
            while let Some(cause) = source {
                shown += &cause.to_string();
                source = cause.source();
            }
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }

    #[test]
    fn options_of_the_driver_are_passed_on_as_they_are() {
        let address =
            Address::parse("postgres://u:p%40@h/d?ttl=1h&sslmode=require&x=%41&table=a%26b");
        let (url, options) = address.unwrap().for_driver(&["sslmode", "x"]).unwrap();
        assert_eq!(url, "postgres://u:p%40@h/d?sslmode=require&x=%41");
        let options: Vec<_> =
            options.iter().map(|option| (option.name, option.text.as_str())).collect();
        assert_eq!(options, [("ttl", "1h"), ("table", "a&b")]);
    }

    #[test]
    fn paths_are_relative_or_absolute() {
        let path = |url| Address::parse(url).unwrap().path().ok();
        assert_eq!(path("sqlite://sessions.db").as_deref(), Some("sessions.db"));
        assert_eq!(path("sqlite://./a%20b/s.db?ttl=1h").as_deref(), Some("./a b/s.db"));
        assert_eq!(path("sqlite:///var/s%3F.db").as_deref(), Some("/var/s?.db"));
        assert_eq!(path("sqlite://:memory:").as_deref(), Some(":memory:"));
        assert_eq!(path("sqlite://"), None);
    }
}
