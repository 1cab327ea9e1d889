//! The options of a program that knows them better than we do.

use std::ffi::OsString;

/// A program's own options, handed on as they are, `--help` included: the program alone knows them.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct HandedOn {
    /// The program's options; `--help` lists them.
    #[arg(value_name = "OPTION", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<OsString>,
}

impl HandedOn {
    pub(crate) fn has(&self, option: &str) -> bool {
        self.arguments.iter().any(|argument| argument == option)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::Task;

    fn parsed(command: &str, given: &[&str]) -> HandedOn {
        let line = ["xtask", command].into_iter().chain(given.iter().copied());
        match Task::try_parse_from(line).unwrap() {
            Task::Bench(options)
            | Task::Conformance(options)
            | Task::Interop(options)
            | Task::Races(options) => options,
            other @ (Task::Test(_) | Task::Fuzz(_) | Task::Mutants(_)) => panic!("{other:?}"),
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
    fn option_is_there_or_not() {
        let options = parsed("interop", &["--store", "redis", "--allow-missing"]);
        assert!(options.has("--allow-missing") && !options.has("--help"));
    }
}
