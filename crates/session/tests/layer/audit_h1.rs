//! Finding H1: a process that is forked into a new PID namespace has its parent's process id, and draws other session ids.

use std::fs;
use std::process::{Command, Stdio};

use express_session::{Error, Session, SessionLayer};
use express_session_testkit::{TemporaryFolder, block_on};
use fork::Fork;
use http::{Request, Response};
use nix::sched::{CloneFlags, unshare};
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::support::read;

const FOLDER: &str = "EXPRESS_SESSION_FORK_FOLDER";

/// Draws the ids of three new sessions by the system's source.
fn draw() -> String {
    let service =
        SessionLayer::new("keyboard cat").layer(service_fn(async |request: Request<()>| {
            let session = Session::from_extensions(request.extensions())?.load().await?;
            Ok::<_, Error>(Response::new(session.id().as_str().to_owned()))
        }));
    let visit =
        || block_on(async { read(service.clone().oneshot(Request::new(())).await.unwrap()).await });
    [visit(), visit(), visit()].map(|answer| answer.body).join("\n")
}

/// Runs as process 1 of a PID namespace, with one thread, where the test below starts it.
#[test]
fn process_that_forks_into_a_pid_namespace() {
    let Some(folder) = std::env::var_os(FOLDER).map(std::path::PathBuf::from) else { return };
    let keep = |name: &str| {
        let text = format!("{}\n{}", std::process::id(), draw());
        fs::write(folder.join(name), text).unwrap();
    };
    keep("before");
    unshare(CloneFlags::CLONE_NEWPID).unwrap();
    match fork::fork().unwrap() {
        Fork::Child => {
            keep("child");
            std::process::exit(0);
        }
        Fork::Parent(child) => {
            fork::waitpid(child).unwrap();
            keep("parent");
        }
    }
}

#[test]
fn audit_h1_fork_into_a_new_pid_namespace_draws_other_ids() {
    let namespaces: [&[&str]; 2] = [&["--pid"], &["--user", "--map-root-user", "--pid"]];
    let may = |flags: &[&str]| {
        let mut trial = Command::new("unshare");
        trial.args(flags).args(["--fork", "true"]).stderr(Stdio::null());
        trial.status().is_ok_and(|status| status.success())
    };
    let Some(flags) = namespaces.into_iter().find(|flags| may(flags)) else {
        eprintln!("left out: this user may not make a PID namespace");
        return;
    };
    let folder = TemporaryFolder::new("express-session-fork").unwrap();
    let test = concat!(module_path!(), "::process_that_forks_into_a_pid_namespace");
    let (_, test) = test.split_once("::").unwrap();
    let ran = Command::new("unshare")
        .args(flags)
        .arg("--fork")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--test-threads=1"])
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    assert!(ran.status.success(), "{ran:?}");
    let read = |name| fs::read_to_string(folder.path().join(name)).unwrap();
    let [before, child, parent] = ["before", "child", "parent"].map(read);
    let mut ids = std::collections::HashSet::new();
    for text in [&before, &child, &parent] {
        let (process, drawn) = text.split_once('\n').unwrap();
        assert_eq!(process, "1", "each is process 1 of its namespace");
        ids.extend(drawn.lines());
    }
    assert_eq!(ids.len(), 9, "an id was drawn twice");
}
