//! The servers, and how each is started.

use anyhow::Result;
use serde_json::json;

use super::load::Subject;
use crate::process::{self, Core, Server};

/// What serves, and with whose sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stack {
    Axum,
    Least,
    Ours,
    TowerSessions,
    Express,
}

/// Where the sessions are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sessions {
    None,
    Memory,
    Redis,
}

/// A server with the view counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Site {
    pub(super) stack: Stack,
    pub(super) sessions: Sessions,
}

/// All of them, in the order of the rounds.
pub(super) const SITES: &[Site] = &[
    Site { stack: Stack::Axum, sessions: Sessions::None },
    Site { stack: Stack::Least, sessions: Sessions::Memory },
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
            (Stack::Least, _) => "axum, the least layer",
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
        let mut command;
        match self.stack {
            Stack::Express => {
                let sessions = match self.sessions {
                    Sessions::None => "none",
                    Sessions::Memory => "memory",
                    Sessions::Redis => "redis",
                };
                let options =
                    json!({ "sessions": sessions, "url": redis, "secret": "keyboard cat" });
                command = Core::Measured.command("node");
                command.arg("server.mjs").arg(options.to_string());
                command.current_dir(process::node_folder()?);
                command.env("NO_DEPRECATION", "express-session").env("NODE_ENV", "production");
            }
            Stack::Axum | Stack::Least | Stack::Ours | Stack::TowerSessions => {
                command = Core::Measured.command(process::subject()?);
                command.arg("serve").arg(match self.stack {
                    Stack::Least => "least",
                    Stack::Ours => "ours",
                    Stack::TowerSessions => "tower-sessions",
                    Stack::Axum | Stack::Express => "bare",
                });
                if self.sessions == Sessions::Redis {
                    command.args(["--redis", redis]);
                }
            }
        }
        Server::start(command)
    }
}
