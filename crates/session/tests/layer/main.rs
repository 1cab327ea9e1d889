//! Tests of the layer, the handle and the responses, none of which needs a server.

#![allow(clippy::unwrap_used, reason = "a failure here fails a test")]

mod advisories;
mod audit_cookies;
mod audit_core;
mod audit_drain;
#[cfg(target_os = "linux")]
mod audit_h1;
mod audit_handles;
mod audit_m2;
#[cfg(feature = "axum")]
mod audit_m3;
#[cfg(feature = "axum")]
mod axum;
mod by_id;
mod contention;
#[cfg(feature = "csrf")]
mod csrf;
mod diagnoses;
mod documents;
mod errors_and_timing;
mod flash;
mod handle;
mod layers;
mod lifetime;
mod locks;
mod options;
#[cfg(feature = "axum")]
mod outages;
mod renewal;
mod requests;
mod responses;
mod streaming;
#[path = "../support/mod.rs"]
mod support;
#[cfg(feature = "axum")]
mod tower_stack;
mod unheard;
#[cfg(feature = "axum")]
mod unreadable;
mod upgrades;
mod user_epoch;
mod user_sessions;
