use super::launch::{Launch, Server, demand};
use super::redis::tls;
use super::{probe, program, user};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A MariaDB.
#[derive(Debug)]
pub struct MariaDb(Server);

/// Starts a MariaDB with an empty database `test` and a user `root` without a password. Committed
/// data survives [`kill`](MariaDb::kill).
#[must_use]
pub fn mariadb() -> Option<MariaDb> {
    let programs = program::find_all("MariaDB", ["mariadbd", "mariadb-install-db"])?;
    let server = Server::start(|folder, port| launch(&programs, folder, port, &[]));
    Some(MariaDb(demand("MariaDB", server)))
}

/// Starts a MariaDB that offers TLS, whose certificate for `127.0.0.1` and `localhost` is signed by the
/// authority at [`ca_path`](MariaDb::ca_path). It also speaks plain text.
#[must_use]
pub fn mariadb_tls() -> Option<MariaDb> {
    let [server, install, openssl] =
        program::find_all("MariaDB with TLS", ["mariadbd", "mariadb-install-db", "openssl"])?;
    let programs = [server, install];
    let server = Server::start(|folder, port| {
        tls::certify(&openssl, folder)?;
        // It runs as another user, to whom the folder belongs.
        let readable = fs::Permissions::from_mode(0o644);
        fs::set_permissions(folder.join(tls::KEY), readable).map_err(|error| error.to_string())?;
        let files = [("--ssl-ca=", tls::AUTHORITY), ("--ssl-cert=", tls::CERTIFICATE)]
            .into_iter()
            .chain([("--ssl-key=", tls::KEY)])
            .map(|(option, file)| argument(option, &folder.join(file)));
        launch(&programs, folder, port, &files.collect::<Vec<_>>())
    });
    Some(MariaDb(demand("MariaDB with TLS", server)))
}

impl MariaDb {
    /// Returns its address as `mysql://root@127.0.0.1:PORT/test`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mysql://root@127.0.0.1:{}/test", self.port())
    }

    /// Returns its socket.
    #[must_use]
    pub fn socket_path(&self) -> PathBuf {
        self.0.folder().join("socket")
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

process_of!(MariaDb, 0, "Starts it again at the same port with its data.");

fn launch(
    [mariadbd, install]: &[PathBuf; 2],
    folder: &Path,
    port: u16,
    more: &[OsString],
) -> Result<Launch, String> {
    let mut command = user::without_root(folder, &["mysql", "nobody"])?;
    let data = argument("--datadir=", &folder.join("data"));
    let file = folder.join("process");
    initialise(&command, install, folder, &data)?;
    command.extend([mariadbd.into(), "--no-defaults".into(), data]);
    command.push(argument("--pid-file=", &file));
    command.push(argument("--socket=", &folder.join("socket")));
    command.push(argument("--tmpdir=", folder));
    command.push(format!("--port={port}").into());
    let settings = [
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        "--character-set-server=utf8mb4",
        "--max-connections=200",
        "--innodb-buffer-pool-size=32M",
        // Each commit is written, and the disk is not waited for: enough for the end of a process.
        "--innodb-flush-log-at-trx-commit=2",
    ];
    command.extend(settings.map(OsString::from));
    command.extend_from_slice(more);
    Ok(Launch {
        command,
        stop: "KILL",
        ready: Box::new(move |process| is_ready(&file, port, process)),
    })
}

fn initialise(
    user: &[OsString],
    install: &Path,
    folder: &Path,
    data: &OsString,
) -> Result<(), String> {
    let mut words = user.iter().cloned().chain([install.into()]);
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).current_dir("/").args(["--no-defaults", "--skip-name-resolve"]).arg(data);
    // Two concurrent installations would delete each other's files from the common one.
    command.arg(argument("--tmpdir=", folder));
    program::run(command.args(["--auth-root-authentication-method=normal"]))
}

fn is_ready(file: &Path, port: u16, process: u32) -> Result<(), String> {
    let number = fs::read_to_string(file).map_err(|error| error.to_string())?;
    if number.trim_end() != process.to_string() {
        return Err("its file names another process".to_owned());
    }
    let greeting = probe::connect(port).and_then(|mut stream| probe::ask::<5>(&mut stream, b""));
    // It speaks first: three bytes of length, a number, and then the version of the protocol or 255.
    match greeting {
        Ok([.., 10]) => Ok(()),
        Ok(_) => Err("it refuses to serve".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn argument(name: &str, value: &Path) -> OsString {
    let mut argument = OsString::from(name);
    argument.push(value);
    argument
}
