//! Each server starts, answers, comes back at its port with its data, and leaves nothing behind.

#![cfg(all(feature = "servers", unix))]
#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use express_session_testkit::servers;

/// Sends bytes to a port and reads until the answer ends in some way.
fn ask(port: u16, question: &str, end: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(question.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(end.as_bytes()) {
        let count = stream.read(&mut byte).unwrap();
        assert_eq!(count, 1, "it hung up after {:?}", String::from_utf8_lossy(&answer));
        answer.extend(byte);
    }
    String::from_utf8(answer).unwrap()
}

fn runs(process: u32) -> bool {
    Command::new("kill")
        .args(["-0", &process.to_string()])
        .stderr(Stdio::null())
        .status()
        .unwrap()
        .success()
}

fn wait_for_end(process: u32) {
    for _ in 0..1_000 {
        if !runs(process) {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("process {process} still runs");
}

#[test]
fn redis_keeps_its_data_over_a_crash_and_leaves_nothing_behind() {
    let Some(redis) = servers::redis() else { return };
    assert_eq!(redis.url(), format!("redis://127.0.0.1:{}", redis.port()));
    assert_eq!(ask(redis.port(), "SET a yes\r\n", "\r\n"), "+OK\r\n");
    let first = redis.process().unwrap();
    redis.kill();
    assert_eq!(redis.process(), None);
    wait_for_end(first);
    assert!(TcpStream::connect(("127.0.0.1", redis.port())).is_err());
    redis.restart();
    assert_eq!(ask(redis.port(), "GET a\r\n", "yes\r\n"), "$3\r\nyes\r\n");
    let (second, port) = (redis.process().unwrap(), redis.port());
    drop(redis);
    assert!(!runs(second));
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn redis_demands_its_password() {
    let Some(redis) = servers::redis_with_password("open.sesame") else { return };
    assert_eq!(redis.url(), format!("redis://:open.sesame@127.0.0.1:{}", redis.port()));
    assert!(ask(redis.port(), "PING\r\n", "\r\n").starts_with("-NOAUTH"));
    assert_eq!(ask(redis.port(), "AUTH open.sesame\r\nPING\r\n", "PONG\r\n"), "+OK\r\n+PONG\r\n");
}

#[test]
fn redis_shows_a_certificate_that_its_authority_signed() {
    let Some(redis) = servers::redis_tls() else { return };
    assert!(redis.url().starts_with("rediss://127.0.0.1:"));
    let output = Command::new("openssl")
        .args(["s_client", "-verify_return_error", "-verify_ip", "127.0.0.1"])
        .arg("-connect")
        .arg(format!("127.0.0.1:{}", redis.port()))
        .arg("-CAfile")
        .arg(redis.ca_path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("CN = localhost"), "{said}");
}

#[test]
fn a_replica_takes_over_in_a_cluster_and_the_master_comes_back() {
    let Some(cluster) = servers::redis_cluster() else { return };
    let processes = cluster.processes();
    assert_eq!((cluster.urls().len(), processes.len()), (6, 6));
    cluster.kill_master(1);
    assert_eq!(cluster.processes().len(), 5);
    cluster.restart();
    assert_eq!(cluster.processes().len(), 6);
    let all = [processes, cluster.processes()].concat();
    drop(cluster);
    assert!(!all.into_iter().any(runs));
}

#[test]
fn sentinels_agree_on_another_master() {
    let Some(group) = servers::redis_sentinel() else { return };
    assert_eq!((group.sentinel_urls().len(), group.processes().len()), (3, 5));
    let first = group.master_port().unwrap();
    let processes = group.processes();
    group.kill_master();
    let mut attempts = 0..3_000;
    // None is agreed on meanwhile.
    while group.master_port().is_none_or(|port| port == first) {
        assert!(attempts.next().is_some(), "no other master was chosen");
        thread::sleep(Duration::from_millis(10));
    }
    group.restart();
    // On a busy machine they may have changed their mind, and the first is the master again.
    assert!(group.master_port().is_some());
    let all = [processes, group.processes()].concat();
    drop(group);
    assert!(!all.into_iter().any(runs));
}

#[test]
fn postgres_keeps_its_data_over_a_crash_and_leaves_nothing_behind() {
    let Some(postgres) = servers::postgres() else { return };
    let sql = |sql: &str| {
        let mut psql = Command::new("psql");
        psql.args(["--no-psqlrc", "-tA", "-c", sql]).arg(postgres.url());
        // Where there is no client the server is not asked more than its own probe does.
        psql.output().ok().map(|output| String::from_utf8(output.stdout).unwrap())
    };
    let made = sql("create table t as select 7 as a");
    let first = postgres.process().unwrap();
    postgres.kill();
    wait_for_end(first);
    postgres.restart();
    if made.is_some() {
        assert_eq!(sql("select a from t").unwrap(), "7\n");
    }
    let second = postgres.process().unwrap();
    drop(postgres);
    assert!(!runs(second));
}

#[test]
fn mariadb_keeps_its_data_over_a_crash_and_leaves_nothing_behind() {
    let Some(mariadb) = servers::mariadb() else { return };
    let sql = |sql: &str| {
        let mut client = Command::new("mariadb");
        client.args(["--no-defaults", "-h127.0.0.1", "-uroot", "-N", "-e", sql, "test"]);
        client.arg(format!("-P{}", mariadb.port()));
        client.output().ok().map(|output| String::from_utf8(output.stdout).unwrap())
    };
    let made = sql("create table t as select 7 as a");
    let first = mariadb.process().unwrap();
    mariadb.kill();
    wait_for_end(first);
    mariadb.restart();
    if made.is_some() {
        assert_eq!(sql("select a from t").unwrap(), "7\n");
    }
    let second = mariadb.process().unwrap();
    drop(mariadb);
    assert!(!runs(second));
}

#[test]
fn memcached_comes_back_empty_and_leaves_nothing_behind() {
    let Some(memcached) = servers::memcached() else { return };
    assert_eq!(memcached.url(), format!("memcached://{}", memcached.address()));
    assert_eq!(ask(memcached.port(), "set a 0 0 1\r\n1\r\n", "\r\n"), "STORED\r\n");
    let first = memcached.process().unwrap();
    memcached.kill();
    wait_for_end(first);
    memcached.restart();
    assert_eq!(ask(memcached.port(), "get a\r\n", "END\r\n"), "END\r\n");
    let second = memcached.process().unwrap();
    drop(memcached);
    assert!(!runs(second));
}

/// The next test runs this one in a process of its own.
#[test]
#[ignore = "ends its own process; run by another test"]
#[allow(clippy::print_stdout, reason = "the other test reads it")]
fn a_shared_server_and_a_sudden_end() {
    let Some(redis) = servers::shared_redis() else { return };
    println!("process {}", redis.process().unwrap());
    std::process::abort();
}

#[test]
fn a_shared_server_ends_with_the_process_however_that_ends() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_shared_server_and_a_sudden_end", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let folder = std::env::temp_dir().join(format!("express-session-{}-0", output.id()));
    let output = output.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let Some(process) = said.lines().find_map(|line| line.split("process ").nth(1)) else {
        assert!(output.status.success(), "{said}");
        return;
    };
    assert!(!output.status.success(), "{said}");
    wait_for_end(process.trim().parse().unwrap());
    wait_for_removal(&folder);
}

fn wait_for_removal(folder: &Path) {
    for _ in 0..1_000 {
        if !folder.exists() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("{} is still there", folder.display());
}
