//! The Redis store: one server, sentinels, a cluster, replicas.

mod faults;
mod format;
mod laws;
mod locks;
mod logins;
mod replicas;
mod round_trips;
mod support;
#[cfg(feature = "tls")]
mod tls;
mod user_index;
