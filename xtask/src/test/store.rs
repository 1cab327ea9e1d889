//! `cargo xtask test --store NAME`: what a change of one store must pass, in a minute or two.

use anyhow::Result;

use super::Report;
use crate::process::{self, cargo};
use crate::tools::{self, Tool};
use crate::workspace::Workspace;
use crate::{interop, races};

/// A store of the crate, and what it takes to check it.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) name: &'static str,
    /// The features that it is built with; none for the memory store.
    features: &'static str,
    /// The Debian packages of its servers.
    servers: &'static [&'static str],
    /// The npm stores that share its records.
    npm_stores: &'static [&'static str],
    /// How many tests run at the same time.
    threads: &'static str,
}

pub(super) const STORES: &[Store] = &[
    Store::new("memory", "", &[], &[]),
    // All calls of a store share one connection. The others have pools, and a server has only so many connections.
    Store::new("redis", "redis,tls", &["redis-server", "openssl"], &["connect-redis"])
        .threads("24"),
    Store::new("postgres", "postgres,tls", &["postgresql", "openssl"], &["connect-pg-simple"]),
    Store::new("mysql", "mysql", &["mariadb-server"], &["express-mysql-session"]),
    Store::new(
        "sqlite",
        "sqlite",
        &[],
        &["connect-sqlite3", "better-sqlite3-session-store", "connect-session-knex"],
    ),
    Store::new("file", "file", &[], &["session-file-store"]),
    Store::new("memcached", "memcached", &["memcached"], &["connect-memcached"]),
];

/// Runs the checks up to the first that fails.
pub(super) fn check(workspace: &Workspace, name: &str, report: &mut Report) {
    let Some(store) = STORES.iter().find(|store| store.name == name) else { return };
    report.attempt("tools", "what the steps need is installed", || store.provide(workspace));
    report.attempt("lint", "no warnings", || lint(workspace));
    report
        .attempt("unit", "laws, format, failures, model and round trips", || store.test(workspace));
    if !store.npm_stores.is_empty() {
        report.attempt("interop", "the npm stores and ours share sessions", || {
            store.npm_stores.iter().try_for_each(|npm| interop::check_store(workspace, npm))
        });
    }
    report.attempt("races", "nothing is lost of requests that overlap", || {
        races::check_store(workspace, store.name)
    });
}

/// Lints with all features, as the whole check does: with one alone, what the stores share is found unused.
fn lint(workspace: &Workspace) -> Result<()> {
    let mut command = cargo(workspace, ["clippy", "--package=express-session", "--all-features"]);
    command.args(["--lib", "--test=stores", "--", "-D", "warnings"]);
    process::run(&mut command)
}

impl Store {
    const fn new(
        name: &'static str,
        features: &'static str,
        servers: &'static [&'static str],
        npm_stores: &'static [&'static str],
    ) -> Self {
        Self { name, features, servers, npm_stores, threads: super::cargo::TEST_THREADS }
    }

    const fn threads(self, threads: &'static str) -> Self {
        Self { threads, ..self }
    }

    fn provide(&self, workspace: &Workspace) -> Result<()> {
        let shares = (!self.npm_stores.is_empty()).then_some(Tool::NodeStores);
        [Tool::Clippy, Tool::ServersOf(self.servers), Tool::NodePeers]
            .into_iter()
            .chain(shares)
            .try_for_each(|tool| tools::provide(workspace, tool))
    }

    fn test(&self, workspace: &Workspace) -> Result<()> {
        let mut command = cargo(workspace, ["test"]);
        command.args(self.selection()).env("EXPRESS_SESSION_REQUIRE_SERVERS", "1");
        // The memory store is in every build, and is not the one that was changed.
        if self.name != "memory" {
            command.args(["--", "--skip=memory::"]);
        }
        process::run(command.env("RUST_TEST_THREADS", self.threads))
    }

    /// The crate and the tests of its stores, with this one alone.
    fn selection(&self) -> [&'static str; 6] {
        [
            "--package=express-session",
            "--lib",
            "--test=stores",
            "--no-default-features",
            "--features",
            self.features,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_are_built_with_their_own_feature() {
        for store in STORES.iter().filter(|store| store.name != "memory") {
            assert_eq!(store.features.split(',').next(), Some(store.name));
        }
    }
}
