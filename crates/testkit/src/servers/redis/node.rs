//! One process of Redis in any role.

use std::ffi::OsString;
use std::path::Path;

use super::super::launch::{Launch, Ready};
use super::resp::{self, Client};

/// How to run it with settings on top of those that all have.
pub(super) fn launch(
    program: &Path,
    folder: &Path,
    port: u16,
    password: Option<&str>,
    settings: &[OsString],
) -> Launch {
    let common = format!("--port {port} --bind 127.0.0.1 --daemonize no --save");
    let mut command: Vec<OsString> = vec![program.into()];
    command.extend(common.split(' ').map(OsString::from));
    command.extend(["".into(), "--dir".into(), folder.into()]);
    // Each command is written before it is answered, and the disk is not waited for: an
    // acknowledged write survives a crash of the process.
    command.extend("--appendonly yes --appendfsync no".split(' ').map(OsString::from));
    if let Some(password) = password {
        command.extend(["--requirepass", password].map(OsString::from));
    }
    command.extend_from_slice(settings);
    Launch { command, stop: "KILL", ready: is_ready(port, password.map(str::to_owned)) }
}

/// Whether the process at a port is this one, and serves.
pub(super) fn is_ready(port: u16, password: Option<String>) -> Ready {
    Box::new(move |process| {
        let mut client = Client::connect(port)?;
        if let Some(password) = &password {
            client.call_words(&["AUTH", password])?;
        }
        let info = client.text("INFO server")?;
        if resp::field(&info, "process_id") != Some(&*process.to_string()) {
            return Err("another process is at its port".to_owned());
        }
        // An error while it still reads its file.
        client.text("PING").map(drop)
    })
}
