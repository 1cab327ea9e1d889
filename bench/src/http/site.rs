//! The servers, and how each is started.

use anyhow::Result;
use clap::ValueEnum as _;
use serde_json::json;

use super::load::Subject;
use super::serve::Stack;
use crate::process::{self, Core, Server};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sessions {
    None,
    Memory,
    Redis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Site {
    pub(super) stack: Stack,
    pub(super) sessions: Sessions,
}

/// All of them, in the order of the rounds.
pub(super) const SITES: &[Site] = &[
    Site { stack: Stack::Axum, sessions: Sessions::None },
    Site { stack: Stack::MinimalLayer, sessions: Sessions::Memory },
    Site { stack: Stack::Ours, sessions: Sessions::Memory },
    Site { stack: Stack::TowerSessions, sessions: Sessions::Memory },
    Site { stack: Stack::Ours, sessions: Sessions::Redis },
    Site { stack: Stack::TowerSessions, sessions: Sessions::Redis },
    Site { stack: Stack::Express, sessions: Sessions::None },
    Site { stack: Stack::Express, sessions: Sessions::Memory },
    Site { stack: Stack::Express, sessions: Sessions::Redis },
];

impl Subject for Site {
    fn name(self) -> String {
        let stack = match (self.stack, self.sessions) {
            (Stack::Axum, _) => "axum",
            (Stack::MinimalLayer, _) => "axum, the minimal layer",
            (Stack::Ours, _) => "axum, ours",
            (Stack::TowerSessions, Sessions::Redis) => "axum, tower-sessions 0.14",
            (Stack::TowerSessions, _) => "axum, tower-sessions 0.15",
            (Stack::Express, Sessions::None) => "Express",
            (Stack::Express, _) => "Express, express-session",
        };
        match self.sessions {
            Sessions::None => format!("{stack} without sessions"),
            Sessions::Memory => format!("{stack}, memory"),
            Sessions::Redis => format!("{stack}, Redis"),
        }
    }

    fn has_sessions(self) -> bool {
        self.sessions != Sessions::None
    }

    fn start(self, redis: &str) -> Result<Server> {
        if self.stack == Stack::Express {
            let sessions = match self.sessions {
                Sessions::None => "none",
                Sessions::Memory => "memory",
                Sessions::Redis => "redis",
            };
            let options = json!({ "sessions": sessions, "url": redis, "secret": "keyboard cat" });
            return process::node_server("server.mjs", &options);
        }
        let mut command = Core::Measured.command(process::itself()?);
        command.arg("serve");
        command.args(self.stack.to_possible_value().map(|value| value.get_name().to_owned()));
        if self.sessions == Sessions::Redis {
            command.args(["--redis", redis]);
        }
        Server::start(&mut command)
    }
}
