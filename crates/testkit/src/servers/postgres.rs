use super::launch::{Launch, Server, demand};
use super::redis::tls;
use super::{probe, program, user};
use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
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
        Server::start(|folder, port| launch(&programs, folder, port, &[], "")),
    )))
}

/// Starts a PostgreSQL that offers TLS, whose certificate for `127.0.0.1` and `localhost` is signed by the authority at
/// [`ca_path`](Postgres::ca_path).
///
/// `postgres` may log in as it likes, `encrypted` with TLS only, `scram` with TLS and a password, and `certified` with a
/// certificate of that authority. Any other user than `postgres` has to be created.
#[must_use]
pub fn postgres_tls() -> Option<Postgres> {
    let [postgres, initdb, openssl] =
        program::find_all("PostgreSQL with TLS", ["postgres", "initdb", "openssl"])?;
    let programs = [postgres, initdb];
    let server = Server::start(|folder, port| {
        tls::certify(&openssl, folder)?;
        let owner = user::owner(folder, USERS)?;
        let key = folder.join(tls::KEY);
        let told = |error: std::io::Error| error.to_string();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).map_err(told)?;
        if let Some((user, group)) = owner {
            chown(&key, Some(user), Some(group)).map_err(told)?;
        }
        let file = |setting, name| format!("{setting}={}", folder.join(name).display());
        let settings = [
            "ssl=on".to_owned(),
            file("ssl_ca_file", tls::AUTHORITY),
            file("ssl_cert_file", tls::CERTIFICATE),
            file("ssl_key_file", tls::KEY),
        ];
        launch(&programs, folder, port, &settings, LOGINS)
    });
    Some(Postgres(demand("PostgreSQL with TLS", server)))
}

const LOGINS: &str = "hostssl all encrypted 127.0.0.1/32 trust\n\
     hostssl all scram 127.0.0.1/32 scram-sha-256\n\
     hostssl all certified 127.0.0.1/32 trust clientcert=verify-ca\n\
     host all postgres 127.0.0.1/32 trust\n";

/// Those that may run it, of whom one exists.
const USERS: &[&str] = &["postgres", "nobody"];

impl Postgres {
    /// Returns its address as `postgres://postgres@127.0.0.1:PORT/postgres`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port())
    }

    /// Returns the file with the certificate of the authority that a client is to trust. There is one
    /// only with TLS.
    #[must_use]
    pub fn ca_path(&self) -> PathBuf {
        self.0.folder().join(tls::AUTHORITY)
    }

    /// Returns the files with a certificate of that authority and its key, for the server and for clients.
    #[must_use]
    pub fn certificate_paths(&self) -> [PathBuf; 2] {
        [tls::CERTIFICATE, tls::KEY].map(|file| self.0.folder().join(file))
    }
}

process_of!(Postgres, 0, "Starts it again at the same port with its data.");

fn launch(
    [postgres, initdb]: &[PathBuf; 2],
    folder: &Path,
    port: u16,
    more: &[String],
    logins: &str,
) -> Result<Launch, String> {
    // It refuses to run as root.
    let mut command = user::without_root(folder, USERS)?;
    let data = folder.join("data");
    initialise(&command, initdb, &data)?;
    if !logins.is_empty() {
        fs::write(data.join("pg_hba.conf"), logins).map_err(|error| error.to_string())?;
    }
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
    let settings = settings.into_iter().chain(more.iter().cloned());
    command.extend(settings.flat_map(|setting| ["-c".into(), setting.into()]));
    Ok(Launch {
        command,
        // Ends its children as well, without a checkpoint.
        stop: "QUIT",
        ready: Box::new(move |process| is_ready(&data.join("postmaster.pid"), port, process)),
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

/// Asks whether the server whose file has the number of this process lets one in.
pub(super) fn is_ready(file: &Path, port: u16, process: u32) -> Result<(), String> {
    let file = fs::read_to_string(file).map_err(|error| error.to_string())?;
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
