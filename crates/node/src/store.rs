//! The stores, for JavaScript.
