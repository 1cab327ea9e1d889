//! `cargo xtask bench`: ours and the peers on the same work, in one run, with the raw figures.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use bench::machine::Machine;
use bench::parts::{self, Options};
use bench::report::Report;
use clap::Parser;
use clap::builder::PossibleValuesParser;

/// Measures ours and the peers on the same work in one run, and prints ratios with the raw figures.
///
/// The last table has what must be reached: target, ours, the peer, the ratio, met or not. The exit code
/// is 0 whatever the figures are: they are read by people, on a machine that does nothing else.
///
/// `cargo xtask bench --record` does none of this: it counts the instructions of our hot paths anew, for
/// `cargo xtask test` to compare with.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Args {
    /// Measures less of everything: enough to see that it works, not for figures
    #[arg(long)]
    quick: bool,
    /// Runs only this part; may be given several times
    #[arg(long, value_name = "PART", value_parser = PossibleValuesParser::new(parts::ALL.iter().map(|part| part.name)))]
    only: Vec<String>,
    /// Writes the figures to a file too, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes BENCHMARKS.md and its plots into the tree, from this run
    #[arg(long)]
    write: bool,
    /// Where --write writes to
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/.."), hide_default_value = true)]
    out: PathBuf,
    /// Lets the memory store's sessions come and go for so long
    #[arg(long, value_name = "MINUTES")]
    churn_minutes: Option<u32>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match measure(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &Args) -> Result<()> {
    let options = Options { quick: args.quick, churn_minutes: args.churn_minutes };
    let mut report = Report::new(Machine::read(), args.quick);
    println!("{}", report.beginning());
    for part in parts::ALL {
        if !args.only.is_empty() && !args.only.iter().any(|name| name == part.name) {
            continue;
        }
        eprintln!("bench: {}", part.name);
        let section = (part.run)(&options).with_context(|| format!("part {}", part.name))?;
        println!("{}", section.markdown(None));
        report.add(part.name, section);
    }
    println!("{}", report.verdict());
    if let Some(file) = &args.json {
        let text = serde_json::to_string_pretty(&report.json())?;
        write(file, &text)?;
    }
    if args.write {
        write(&args.out.join("BENCHMARKS.md"), &report.markdown("bench/plots"))?;
        for (name, svg) in report.plots()? {
            write(&args.out.join("bench/plots").join(name), &svg)?;
        }
    }
    Ok(())
}

fn write(file: &Path, text: &str) -> Result<()> {
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).with_context(|| format!("no folder {}", folder.display()))?;
    }
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
