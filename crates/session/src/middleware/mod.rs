//! The tower service around an application: attaches the session to the request, and commits it before the response
//! leaves.

mod admission;
pub(crate) mod body;
mod cache;
mod error_response;
mod finish;
mod future;
pub(crate) mod https;
mod quoted;
mod request_view;
mod service;

pub(crate) use admission::SessionExtension;
pub(crate) use error_response::ErrorResponse;
#[cfg(feature = "axum")]
pub(crate) use error_response::error_response;
pub use future::ResponseFuture;
pub use service::SessionService;
