use super::launch::{Launch, Server, demand};
use super::postgres::{Postgres, is_ready};
use super::{program, user};
use std::fs;
use std::path::Path;

/// A PgBouncer.
#[derive(Debug)]
pub struct PgBouncer(Server);

/// Starts a PgBouncer before a PostgreSQL. It pools by transaction: each statement may get another of its four
/// connections.
#[must_use]
pub fn pgbouncer(postgres: &Postgres) -> Option<PgBouncer> {
    let [program] = program::find_all("PgBouncer", ["pgbouncer"])?;
    let server = Server::start(|folder, port| launch(&program, folder, port, postgres.port()));
    Some(PgBouncer(demand("PgBouncer", server)))
}

impl PgBouncer {
    /// Returns its address as `postgres://postgres@127.0.0.1:PORT/postgres`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port())
    }
}

process_of!(PgBouncer, 0, "Starts it again at the same port.");

fn launch(program: &Path, folder: &Path, port: u16, server: u16) -> Result<Launch, String> {
    // It refuses to run as root.
    let mut command = user::without_root(folder, &["postgres", "nobody"])?;
    let (file, number) = (folder.join("pgbouncer.ini"), folder.join("process"));
    let settings = format!(
        "[databases]\n* = host=127.0.0.1 port={server} user=postgres\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
         auth_type = any\npool_mode = transaction\ndefault_pool_size = 4\n\
         max_client_conn = 1000\npidfile = {}\n",
        number.display()
    );
    fs::write(&file, settings).map_err(|error| error.to_string())?;
    command.extend([program.into(), file.into()]);
    Ok(Launch {
        command,
        stop: "KILL",
        ready: Box::new(move |process| is_ready(&number, port, process)),
    })
}
