//! Sessions for [axum](https://docs.rs/axum) and any [tower](https://docs.rs/tower) service:
//! [express-session](https://github.com/expressjs/session) 1.19.0, with the same options, the same signed
//! cookie and the same stored records.
//!
//! ```
//! use axum::{Router, routing::get};
//! use express_session::{Error, Session, SessionLayer};
//!
//! async fn views(session: Session) -> Result<String, Error> {
//!     let count = |views: Option<u64>| views.unwrap_or(0) + 1;
//!     let views = session.update("views", count)?;
//!     Ok(format!("{views} views"))
//! }
//!
//! let app: Router = Router::new()
//!     .route("/", get(views))
//!     .layer(SessionLayer::new("keyboard cat"));
//! # let request = http::Request::new(axum::body::Body::empty());
//! # let response = express_session_testkit::block_on(tower::ServiceExt::oneshot(app, request))?;
//! assert!(response.headers().contains_key("set-cookie"));
//! # Ok::<(), std::convert::Infallible>(())
//! ```
//!
//! - [`guide`]: quick start, recipes, production, troubleshooting, a page for each store, and every option and method
//!   beside its name in express-session.
//! - [`SessionLayer`] has the options, [`Session`] the operations of a handler, [`Typed`] the session as a struct.
//! - [`SessionLayer::hardened`] and [`preset`] set what an audit asks for, [`report`] shows what a layer meets.
//! - [`store`] has the stores, the trait for a store of your own, and [`connect`], which opens a store by its URL.
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `axum` | yes | [`Session`], `Option<Session>`, [`LazySession`], [`Typed`], [`Flash`] and `Fresh` as arguments of handlers, [`Error`] as a response; the original path under nested routers |
//! | `csrf` | no | CSRF tokens, shared with npm's csurf |
//! | `redis` | no | sessions in Redis or Valkey, shared with npm's connect-redis |
//! | `postgres` | no | sessions in PostgreSQL, shared with connect-pg-simple |
//! | `mysql` | no | sessions in MySQL or MariaDB, shared with express-mysql-session |
//! | `sqlite` | no | sessions in an SQLite file, shared with connect-sqlite3, better-sqlite3-session-store or connect-session-knex |
//! | `file` | no | sessions in files, shared with session-file-store |
//! | `memcached` | no | sessions in memcached, shared with connect-memcached |
//! | `sealed` | no | [`SealedStore`](store::sealed::SealedStore): records that are encrypted before they reach their store, under hashed ids |
//! | `tls` | no | encrypted connections to Redis, PostgreSQL and MySQL |
//!
//! Without `axum` the layer works around any `tower` service, and [`Session::from_extensions`] returns the session.
#![forbid(unsafe_code)]

mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod handle;
mod layer;
mod middleware;
mod request;
mod runtime;
pub mod store;

pub use error::{ConfigError, Error, ErrorKind};
pub use express_session_core::cookie::{Cookie, Priority, SameSite, Secure};
pub use express_session_core::metadata::Client;
pub use express_session_core::policy::{AtLimit, ClientDetail};
pub use express_session_core::record::{LimitExceeded, RecordLimits};
pub use express_session_core::{
    AmbiguousCookie, CacheHeaders, Clock, Departures, Document, EndedBy, LateWrite, Metadata,
    Outage, Random, SessionId, Timestamp, TouchAfter, UnreadableRecord, Unset,
};
#[cfg(feature = "csrf")]
pub use handle::csrf::Csrf;
pub use handle::flash::Flash;
pub use handle::lock::SessionLock;
#[cfg(feature = "axum")]
pub use handle::login::Fresh;
pub use handle::login::Login;
pub use handle::session::{LazySession, Session, SessionCookie};
pub use handle::typed::Typed;
pub use handle::users::UserSession;
pub use layer::config::Secret;
pub use layer::{SessionLayer, preset, report};
pub use middleware::body::SessionBody;
pub use middleware::https::SecureConnection;
pub use middleware::{ResponseFuture, SessionService};
pub use store::connect;
pub use store::memory::MemoryStore;

#[cfg(doc)]
pub mod guide {
    #![doc = include_str!("docs/guide.md")]
    pub mod concurrency {
        #![doc = include_str!("docs/concurrency.md")]
    }
    pub mod lifetime {
        #![doc = include_str!("docs/lifetime.md")]
    }
    pub mod moving {
        #![doc = include_str!("docs/moving.md")]
    }
    pub mod options {
        #![doc = include_str!("docs/options.md")]
    }
    pub mod production {
        #![doc = include_str!("docs/production.md")]
    }
    pub mod quickstart {
        #![doc = include_str!("docs/quickstart.md")]
    }
    pub mod recipes {
        #![doc = include_str!("docs/recipes.md")]
    }
    pub mod security {
        #![doc = include_str!("docs/security.md")]
    }
    pub mod session {
        #![doc = include_str!("docs/session.md")]
    }
    pub mod stores {
        #![doc = include_str!("docs/stores.md")]
        pub mod file {
            #![doc = include_str!("docs/stores/file.md")]
        }
        pub mod memcached {
            #![doc = include_str!("docs/stores/memcached.md")]
        }
        pub mod memory {
            #![doc = include_str!("docs/stores/memory.md")]
        }
        pub mod mysql {
            #![doc = include_str!("docs/stores/mysql.md")]
        }
        pub mod own {
            #![doc = include_str!("docs/stores/own.md")]
        }
        pub mod postgres {
            #![doc = include_str!("docs/stores/postgres.md")]
        }
        pub mod redis {
            #![doc = include_str!("docs/stores/redis.md")]
        }
        pub mod sealed {
            #![doc = include_str!("docs/stores/sealed.md")]
        }
        pub mod sqlite {
            #![doc = include_str!("docs/stores/sqlite.md")]
        }
    }
    pub mod testing {
        #![doc = include_str!("docs/testing.md")]
    }
    pub mod troubleshooting {
        #![doc = include_str!("docs/troubleshooting.md")]
    }
}
