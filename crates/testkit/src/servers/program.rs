//! Where the servers' programs are.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::left_out;

/// Finds the programs that `what` needs; where one is missing, that is left out.
pub(super) fn find_all<const N: usize>(what: &str, names: [&str; N]) -> Option<[PathBuf; N]> {
    let folders = folders();
    let found = names.map(|name| (name, find(name, &folders)));
    if let Some((missing, _)) = found.iter().find(|(_, path)| path.is_none()) {
        left_out(what, &format!("`{missing}` is not installed"));
        return None;
    }
    // None is missing: checked above.
    Some(found.map(|(_, path)| path.unwrap_or_default()))
}

/// Runs a program that prepares something, and demands success.
pub(super) fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("`{name}` does not run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(format!("`{name}` failed with {}:\n{complaint}", output.status))
}

fn find(name: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The search path, and where packages put servers, which may not be on it.
fn folders() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    folders.extend(postgres_folders(Path::new("/usr/lib/postgresql")));
    folders
}

/// Debian keeps every version of PostgreSQL in a folder of its own; the newest first.
fn postgres_folders(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let version = |name: &str| name.parse::<u32>().ok();
    let mut versions: Vec<_> =
        entries.filter_map(|entry| version(entry.file_name().to_str()?)).collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions.iter().map(|version| parent.join(version.to_string()).join("bin")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_is_found_and_nonsense_is_not() {
        let folders = folders();
        assert!(find("sh", &folders).is_some());
        assert_eq!(find("no-such-program-anywhere", &folders), None);
    }

    #[test]
    fn the_newest_postgres_comes_first() {
        let parent =
            env::temp_dir().join(format!("express-session-versions-{}", std::process::id()));
        for name in ["9", "15", "14", "common"] {
            fs::create_dir_all(parent.join(name)).unwrap();
        }
        let folders = postgres_folders(&parent);
        fs::remove_dir_all(&parent).unwrap();
        assert_eq!(folders, ["15/bin", "14/bin", "9/bin"].map(|folder| parent.join(folder)));
    }
}
