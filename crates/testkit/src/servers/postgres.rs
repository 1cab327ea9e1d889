use super::launch::{Launch, Server, demand};
use super::{probe, program, user};
use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A PostgreSQL.
#[derive(Debug)]
pub struct Postgres(Server);

/// Starts a PostgreSQL with an empty database and a superuser, both named `postgres`, who needs no
/// password. Committed data survives [`kill`](Postgres::kill).
#[must_use]
pub fn postgres() -> Option<Postgres> {
    let programs = program::find_all("PostgreSQL", ["postgres", "initdb"])?;
    Some(Postgres(demand(
        "PostgreSQL",
        Server::start(|folder, port| launch(&programs, folder, port)),
    )))
}

impl Postgres {
    /// Returns its address as `postgres://postgres@127.0.0.1:PORT/postgres`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port())
    }
}

process_of!(Postgres, 0, "Starts it again at the same port with its data.");

fn launch([postgres, initdb]: &[PathBuf; 2], folder: &Path, port: u16) -> Result<Launch, String> {
    // It refuses to run as root.
    let mut command = user::without_root(folder, &["postgres", "nobody"])?;
    let data = folder.join("data");
    initialise(&command, initdb, &data)?;
    command.extend([postgres.into(), "-D".into(), data.clone().into()]);
    let settings = [
        format!("port={port}"),
        "listen_addresses=127.0.0.1".to_owned(),
        "unix_socket_directories=".to_owned(),
        // Enough for the end of a process; only the machine's own end would lose anything.
        "fsync=off".to_owned(),
        "full_page_writes=off".to_owned(),
        "max_connections=200".to_owned(),
        "shared_buffers=32MB".to_owned(),
    ];
    command.extend(settings.into_iter().flat_map(|setting| ["-c".into(), setting.into()]));
    Ok(Launch {
        command,
        // Ends its children as well, without a checkpoint.
        stop: "QUIT",
        ready: Box::new(move |process| is_ready(&data, port, process)),
    })
}

fn initialise(user: &[OsString], initdb: &Path, data: &Path) -> Result<(), String> {
    let mut words = user.iter().cloned().chain([initdb.into()]);
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).current_dir("/").arg("-D").arg(data);
    command.args([
        "--username=postgres",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
    ]);
    program::run(&mut command)
}

fn is_ready(data: &Path, port: u16, process: u32) -> Result<(), String> {
    let file =
        fs::read_to_string(data.join("postmaster.pid")).map_err(|error| error.to_string())?;
    if file.lines().next() != Some(&*process.to_string()) {
        return Err("its file names another process".to_owned());
    }
    greet(port)
}

/// Logs in, as a client would.
fn greet(port: u16) -> Result<(), String> {
    let parameters = b"\0\x03\0\0user\0postgres\0database\0postgres\0\0";
    let mut message = vec![0, 0, 0];
    // As long as the text above, and these four bytes.
    message.push(u8::try_from(parameters.len() + 4).unwrap_or(u8::MAX));
    message.extend_from_slice(parameters);
    let ask = || {
        let mut stream = probe::connect(port)?;
        let answer = probe::ask::<1>(&mut stream, &message)?;
        stream.write_all(b"X\0\0\0\x04")?;
        Ok::<_, std::io::Error>(answer)
    };
    match ask() {
        Ok([b'R']) => Ok(()),
        Ok(_) => Err("it refuses to serve".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
