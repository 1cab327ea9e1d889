//! Laws for stores.
