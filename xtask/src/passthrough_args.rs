//! Arguments that a task passes to its program unchanged.

use std::ffi::OsString;

/// The options of a program, passed on unchanged, `--help` included.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct PassthroughArgs {
    /// The program's options; `--help` lists them.
    #[arg(value_name = "OPTION", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<OsString>,
}

impl PassthroughArgs {
    pub(crate) fn has(&self, option: &str) -> bool {
        self.arguments.iter().any(|argument| argument == option)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::Task;

    fn parsed(command: &str, given: &[&str]) -> PassthroughArgs {
        let line = ["xtask", command].into_iter().chain(given.iter().copied());
        match Task::try_parse_from(line).unwrap() {
            Task::Bench(options)
            | Task::Conformance(options)
            | Task::Interop(options)
            | Task::Races(options) => options,
            other @ (Task::Audit
            | Task::Sbom
            | Task::Test(_)
            | Task::Fuzz(_)
            | Task::Mutants(_)) => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_argument_reaches_the_program_as_it_is() {
        for command in ["bench", "conformance", "interop", "races"] {
            for given in [
                &["--seed", "7", "--departures", "off"][..],
                &["--store", "redis", "--release", "--writers", "50"],
                &["--replay", "a b"],
                &["--help"],
                &[],
            ] {
                assert_eq!(parsed(command, given).arguments, given, "{command}");
            }
        }
    }

    #[test]
    fn option_is_found_among_the_arguments() {
        let options = parsed("interop", &["--store", "redis", "--allow-missing"]);
        assert!(options.has("--allow-missing") && !options.has("--help"));
    }
}
