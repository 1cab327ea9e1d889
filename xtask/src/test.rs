//! `cargo xtask test`: every check that a change must pass, as a list of steps.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::builder::PossibleValuesParser;

use crate::tools::{self, Tool};
use crate::workspace::Workspace;

mod application;
mod beside;
mod cargo;
mod dependencies;
mod interleavings;
mod judge;
mod layers;
mod node;
mod packages;
mod pages;
mod prose;
mod repository;
mod store;

/// One check.
#[derive(Debug)]
struct Step {
    name: &'static str,
    about: &'static str,
    needs: &'static [Tool],
    run: fn(&Workspace) -> Result<()>,
}

/// The checks, quick complaints first.
const STEPS: &[Step] = &[
    Step {
        name: "format",
        about: "the formatter would change nothing",
        needs: &[Tool::Rustfmt],
        run: cargo::format,
    },
    Step {
        name: "prose",
        about: "the text avoids the words and openings of xtask/prose.txt",
        needs: &[],
        run: prose::check,
    },
    Step {
        name: "repository",
        about: "no tracked file names a registry host or a folder of one machine",
        needs: &[],
        run: repository::check,
    },
    Step {
        name: "layers",
        about: "dependencies point the way of the design",
        needs: &[],
        run: layers::check,
    },
    Step {
        name: "dependencies",
        about: "the licences, sources and versions of all dependencies are those of deny.toml",
        needs: &[Tool::Deny],
        run: dependencies::check,
    },
    Step { name: "audit", about: "AUDIT.md fits the code", needs: &[], run: crate::audit::check },
    Step { name: "lint", about: "no warnings", needs: &[Tool::Clippy], run: cargo::lint },
    Step {
        name: "docs",
        about: "the documentation of the published crates builds",
        needs: &[],
        run: cargo::document,
    },
    Step {
        name: "pages",
        about: "rendered documentation has no raw tables, dead links or code that scrolls sideways",
        needs: &[Tool::Chromium],
        run: pages::check,
    },
    Step {
        name: "unit",
        about: "unit tests, the stores on their servers, and the examples in the documentation",
        needs: &[Tool::Node, Tool::Servers],
        run: cargo::test,
    },
    Step {
        name: "interleavings",
        about: "concurrent calls of the memory store, in every order or very many",
        needs: &[],
        run: interleavings::check,
    },
    Step {
        name: "instructions",
        about: "a request takes no more instructions than were recorded",
        needs: &[Tool::Valgrind],
        run: crate::instructions::check,
    },
    Step {
        name: "packages",
        about: "the published crates are complete and build on their own",
        needs: &[],
        run: packages::check,
    },
    Step {
        name: "application",
        about: "the view counter counts for a visitor with a cookie",
        needs: &[],
        run: application::check,
    },
    Step {
        name: "judge",
        about: "the real express-session finds no difference but the listed ones",
        needs: &[Tool::Node],
        run: judge::check,
    },
    Step {
        name: "node",
        about: "the npm package does what express-session does, and its stores what the npm stores do",
        needs: &[
            Tool::Node,
            Tool::NodePackage,
            Tool::Servers,
            Tool::NodeStores,
            Tool::NodePeers,
            Tool::Chromium,
        ],
        run: node::check,
    },
    Step {
        name: "corpus",
        about: "what the fuzzer once found holds, and Node reads it alike",
        needs: &[Tool::Rustfmt, Tool::Node],
        run: crate::fuzz::check,
    },
    Step {
        name: "interop",
        about: "the npm stores and ours read, change and end the same sessions",
        needs: &[Tool::Servers, Tool::NodeStores],
        run: crate::interop::check,
    },
    Step {
        name: "races",
        about: "of requests that overlap nothing is lost, and no logout is undone",
        needs: &[Tool::Servers, Tool::NodePeers],
        run: crate::races::check,
    },
    Step {
        name: "bench",
        about: "the benchmark has no warnings, and its own tests pass",
        needs: &[Tool::Rustfmt, Tool::Clippy],
        run: crate::bench::check,
    },
];

/// Which steps to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Runs only this step; may be given several times.
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(STEPS.iter().map(|step| step.name)))]
    only: Vec<String>,
    /// Checks this store alone: its lint, tests, npm stores and races.
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with = "only",
        value_parser = PossibleValuesParser::new(store::STORES.iter().map(|store| store.name))
    )]
    store: Option<String>,
    /// Lists the steps and runs none.
    #[arg(long)]
    list: bool,
}

/// Runs the chosen steps up to the first that fails, and prints a summary.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let steps = chosen(&options.only);
    if options.list {
        print!("{}", listing(&steps));
        return Ok(ExitCode::SUCCESS);
    }
    let workspace = Workspace::read()?;
    std::thread::spawn(give_up);
    let mut report = Report::default();
    if let Some(name) = &options.store {
        store::check(&workspace, name, &mut report);
    } else {
        report.attempt("tools", "what the steps need is installed", || provide(&workspace, &steps));
        let (steps, others) = beside::divide(&steps);
        let mut running = None;
        for step in steps {
            report.attempt(step.name, step.about, || (step.run)(&workspace));
            if step.name == beside::AFTER && report.failure.is_none() && !others.is_empty() {
                running = Some(beside::Beside::start(&workspace, &others)?);
            }
        }
        if let Some(running) = running {
            report.attempt("beside", "the steps that ran beside the others", || running.finish());
        }
    }
    print!("\n{}", report.summary());
    report.failure.map_or(Ok(ExitCode::SUCCESS), Err)
}

/// The time limit of all steps together. A run from nothing takes a third of it.
const LIMIT: Duration = Duration::from_secs(70 * 60);

/// Ends a run in which something hangs, so that its output says where.
fn give_up() {
    std::thread::sleep(LIMIT);
    eprintln!("error: not done after {}: the step announced last hangs", seconds(LIMIT));
    std::process::exit(1);
}

fn chosen(only: &[String]) -> Vec<&'static Step> {
    let wanted = |step: &&Step| only.is_empty() || only.iter().any(|name| name == step.name);
    STEPS.iter().filter(wanted).collect()
}

/// Before the first step, so that a missing program is reported within seconds.
fn provide(workspace: &Workspace, steps: &[&Step]) -> Result<()> {
    let mut needs: Vec<_> = steps.iter().flat_map(|step| step.needs).copied().collect();
    needs.sort_unstable();
    needs.dedup();
    needs.into_iter().try_for_each(|tool| tools::provide(workspace, tool))
}

fn listing(steps: &[&Step]) -> String {
    steps.iter().map(|step| format!("{:<13} {}\n", step.name, step.about)).collect()
}

/// The results of the steps so far.
#[derive(Debug, Default)]
struct Report {
    rows: Vec<(&'static str, Outcome)>,
    failure: Option<anyhow::Error>,
}

#[derive(Clone, Copy, Debug)]
enum Outcome {
    Held(Duration),
    Failed(Duration),
    NotRun,
}

impl Report {
    /// Announces and runs the step, unless an earlier one failed.
    fn attempt(&mut self, name: &'static str, about: &str, step: impl FnOnce() -> Result<()>) {
        if self.failure.is_some() {
            self.rows.push((name, Outcome::NotRun));
            return;
        }
        println!("\n== {name}: {about}");
        let (result, took) = timed(step);
        let outcome = if result.is_ok() { Outcome::Held(took) } else { Outcome::Failed(took) };
        println!("== {name}: {outcome}");
        self.rows.push((name, outcome));
        self.failure = result.err().map(|error| error.context(format!("step {name}")));
    }

    fn summary(&self) -> String {
        let rows = self.rows.iter().map(|(name, outcome)| format!("{name:<13} {outcome}\n"));
        let total = self.rows.iter().map(|(_, outcome)| outcome.took()).sum();
        rows.chain([format!("{:<13} {}\n", "in all", seconds(total))]).collect()
    }
}

impl Outcome {
    fn took(self) -> Duration {
        match self {
            Self::Held(took) | Self::Failed(took) => took,
            Self::NotRun => Duration::ZERO,
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Held(took) => write!(f, "ok after {}", seconds(*took)),
            Self::Failed(took) => write!(f, "FAILED after {}", seconds(*took)),
            Self::NotRun => f.write_str("not run"),
        }
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[expect(clippy::disallowed_methods, reason = "the tool measures how long its steps take")]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let value = work();
    (value, start.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn nothing_runs_after_the_first_failure() {
        let mut report = Report::default();
        report.attempt("first", "", || Ok(()));
        report.attempt("second", "", || Err(anyhow!("broken")));
        report.attempt("third", "", || panic!("must not run"));
        assert!(matches!(
            report.rows[..],
            [
                ("first", Outcome::Held(_)),
                ("second", Outcome::Failed(_)),
                ("third", Outcome::NotRun)
            ]
        ));
        assert_eq!(format!("{:#}", report.failure.unwrap()), "step second: broken");
    }

    #[test]
    fn the_summary_has_a_line_for_every_step_and_one_for_all() {
        let report = Report {
            rows: vec![
                ("format", Outcome::Held(Duration::from_millis(1200))),
                ("lint", Outcome::Failed(Duration::from_millis(300))),
                ("docs", Outcome::NotRun),
            ],
            failure: None,
        };
        assert_eq!(
            report.summary(),
            "format        ok after 1.2 s\n\
             lint          FAILED after 0.3 s\n\
             docs          not run\n\
             in all        1.5 s\n"
        );
    }

    #[test]
    fn without_a_choice_every_step_runs() {
        assert_eq!(chosen(&[]).len(), STEPS.len());
        let only: Vec<_> = chosen(&["layers".into(), "format".into()]);
        assert_eq!(only.iter().map(|step| step.name).collect::<Vec<_>>(), ["format", "layers"]);
    }

    #[test]
    fn steps_run_beside_others_only_in_a_run_that_takes_long() {
        let (steps, others) = beside::divide(&chosen(&[]));
        assert_eq!(others.len(), 3);
        assert_eq!(steps.len() + others.len(), STEPS.len());
        let (steps, others) = beside::divide(&chosen(&["packages".into(), "layers".into()]));
        assert_eq!((steps.len(), others.len()), (2, 0));
    }

    #[test]
    fn no_two_steps_share_a_name() {
        let mut names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), STEPS.len());
    }
}
