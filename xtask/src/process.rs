//! Runs other programs; an error names the command line that failed.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::workspace::Workspace;

/// Returns the cargo that runs this tool, in the workspace's root.
pub(crate) fn cargo<A: AsRef<OsStr>>(
    workspace: &Workspace,
    arguments: impl IntoIterator<Item = A>,
) -> Command {
    let mut command = this_cargo();
    command.args(arguments).current_dir(&workspace.root);
    command
}

/// Builds a program of the workspace, and returns the command that runs it.
///
/// Its crates are built with the features that `cargo test --workspace --all-features` gives them: with those of
/// one package, cargo would compile the stores once more for each program.
pub(crate) fn program(workspace: &Workspace, name: &str) -> Result<Command> {
    built(workspace, &["--bin", name], name)
}

/// Builds the testkit's example that runs a command beside servers, and returns the command that runs it.
pub(crate) fn servers(workspace: &Workspace) -> Result<Command> {
    built(workspace, &[], "examples/servers")
}

fn built(workspace: &Workspace, target: &[&str], file: &str) -> Result<Command> {
    let mut build = cargo(workspace, ["build", "--quiet", "--workspace", "--all-features"]);
    // Only where a test or an example is built do the crates get the features that the tests need.
    run(build.args(target).args(["--example", "servers"]))?;
    let mut command = Command::new(workspace.target.join("debug").join(file));
    command.current_dir(&workspace.root);
    Ok(command)
}

/// Returns the cargo that runs this tool, so that a toolchain chosen by `cargo +name xtask` is that of every step.
pub(crate) fn this_cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Announces the command, runs it with our output and without input, and demands success.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = announced(command.stdin(Stdio::null()))?;
    ensure!(status.success(), "`{}` failed: {status}", line(command));
    Ok(())
}

/// Announces the command and runs it with our output. The caller checks the status.
pub(crate) fn announced(command: &mut Command) -> Result<ExitStatus> {
    let line = line(command);
    println!("$ {line}");
    command.status().with_context(|| format!("`{line}` does not start"))
}

/// Adds `--cfg` with this name to the flags of the compiler.
pub(crate) fn with_cfg<'a>(command: &'a mut Command, name: &str) -> &'a mut Command {
    command.env("RUSTFLAGS", flags(std::env::var("RUSTFLAGS").ok(), name))
}

fn flags(present: Option<String>, name: &str) -> String {
    format!("{} --cfg {name}", present.unwrap_or_default()).trim_start().to_owned()
}

/// Runs the command quietly, demands success and returns what it printed.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let line = line(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("`{line}` does not start"))?;
    ensure!(
        output.status.success(),
        "`{line}` failed: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` prints no UTF-8"))
}

/// Runs the command with our input and output, and returns its exit code.
pub(crate) fn become_it(command: &mut Command) -> Result<ExitCode> {
    let status = command.status().with_context(|| format!("`{}` does not start", line(command)))?;
    Ok(exit_code(status))
}

/// Checks quietly whether the command can be run and succeeds.
pub(crate) fn works(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Returns the exit code; a program that a signal ended has none, and failed.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Returns the command as a shell takes it: variables first, and the program without its folder.
pub(crate) fn line(command: &Command) -> String {
    let variables = command
        .get_envs()
        .filter_map(|(name, value)| Some(format!("{}={}", name.to_string_lossy(), quoted(value?))));
    let program = Path::new(command.get_program()).file_stem().map(quoted);
    let arguments = command.get_args().map(quoted);
    variables.chain(program).chain(arguments).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+.,:/@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_can_be_pasted_into_a_shell() {
        let mut command = Command::new("toolchain/bin/cargo");
        command.env("RUSTDOCFLAGS", "-D warnings").args(["doc", "-p", "it's"]);
        assert_eq!(line(&command), r"RUSTDOCFLAGS='-D warnings' cargo doc -p 'it'\''s'");
    }

    #[test]
    fn failure_names_the_command_and_contains_its_output() {
        let mut command = this_cargo();
        command.arg("no-such-command");
        let message = format!("{:#}", read(&mut command).unwrap_err());
        assert!(message.starts_with("`cargo no-such-command` failed: "), "{message}");
        assert!(message.contains("no such command"), "{message}");
    }

    #[test]
    fn earlier_flags_stay_set() {
        assert_eq!(flags(None, "shuttle"), "--cfg shuttle");
        assert_eq!(flags(Some(String::new()), "shuttle"), "--cfg shuttle");
        let both = flags(Some("-D warnings".to_owned()), "shuttle");
        assert_eq!(both, "-D warnings --cfg shuttle");
    }

    #[test]
    fn missing_program_does_not_work() {
        assert!(!works(&mut Command::new("no-such-program-anywhere")));
    }
}
