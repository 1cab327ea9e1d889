//! The tower service around an application: finds the session's cookie, and saves before the response leaves.

pub(crate) mod body;
pub(crate) mod https;
pub(crate) mod request_view;
pub(crate) mod service;
