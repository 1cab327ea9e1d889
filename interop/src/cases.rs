//! The table of cases, each played with every store, which is empty at the beginning.

use std::future::Future;
use std::pin::Pin;

use anyhow::Result;

use crate::bench::Bench;

mod ends;
mod lists;
mod races;
mod records;
mod visitors;

#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) play: for<'b> fn(&'b mut Bench) -> Playing<'b>,
}

pub(crate) type Playing<'b> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'b>>;

/// Every case, in the order they are played.
pub(crate) const ALL: &[Case] = &[
    case("node writes, rust reads byte for byte", |b| Box::pin(records::node_writes(b))),
    case("rust changes one member, node reads", |b| Box::pin(records::rust_changes(b))),
    case("rust writes, node reads", |b| Box::pin(records::rust_writes(b))),
    case("rust writes, node changes, rust reads", |b| Box::pin(records::node_changes(b))),
    case("rust refuses an id that node uses", |b| Box::pin(records::taken(b))),
    case("every attribute of a cookie is kept", |b| Box::pin(records::cookies(b))),
    case("half a megabyte, both ways", |b| Box::pin(records::large(b))),
    case("an id with quotes and of another script", |b| Box::pin(records::odd_id(b))),
    case("node destroys, rust finds it gone", |b| Box::pin(records::node_destroys(b))),
    case("rust destroys, node finds nothing", |b| Box::pin(records::rust_destroys(b))),
    case("both change concurrently, 50 times in turn", |b| Box::pin(races::in_turn(b))),
    case("both change concurrently, in any order", |b| Box::pin(races::without_order(b))),
    case("node touches while rust changes", |b| Box::pin(races::touch_meanwhile(b))),
    case("node destroys while rust changes", |b| Box::pin(races::destroy_meanwhile(b))),
    case("rust's records end when node's do", |b| Box::pin(ends::alike(b))),
    case("without a max age too", |b| Box::pin(ends::alike_without_max_age(b))),
    case("a max age of 400 days", |b| Box::pin(ends::long(b))),
    case("rust reads the end that node set", |b| Box::pin(ends::read_by_rust(b))),
    case("node touches, rust reads the new end", |b| Box::pin(ends::node_touches(b))),
    case("rust touches as node does", |b| Box::pin(ends::rust_touches(b))),
    case("rust renews as node touches", |b| Box::pin(ends::rust_renews(b))),
    case("an expired session is gone for both", |b| Box::pin(ends::expired(b))),
    case("a max age in the past, alike for both", |b| Box::pin(ends::past(b))),
    case("both list and count the same", |b| Box::pin(lists::agree(b))),
    case("rust clears, node has none", |b| Box::pin(lists::rust_clears(b))),
    case("node clears, rust has none", |b| Box::pin(lists::node_clears(b))),
    case("a visitor is counted by both in turn", |b| Box::pin(visitors::counted(b))),
    case("connect-flash and ours take each other's messages", |b| Box::pin(visitors::flash(b))),
    case("csurf and ours accept each other's tokens", |b| Box::pin(visitors::csrf(b))),
    case("node carries our metadata along", |b| Box::pin(visitors::metadata(b))),
    case("a user's sessions of both end by ours", |b| Box::pin(visitors::user_sessions(b))),
    case("logged out by either, by both", |b| Box::pin(visitors::logged_out(b))),
    case("a visitor's requests to both overlap", |b| Box::pin(visitors::overlapping(b))),
    case("logged out by node while rust answers", |b| Box::pin(visitors::logged_out_meanwhile(b))),
];

const fn case(name: &'static str, play: for<'b> fn(&'b mut Bench) -> Playing<'b>) -> Case {
    Case { name, play }
}
