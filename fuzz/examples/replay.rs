//! Replays inputs without the fuzzer: `cargo xtask fuzz` calls it.

#![allow(clippy::print_stdout, reason = "a command-line tool speaks on standard output")]

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use express_session_fuzz::corpus::{self, Input};
use express_session_fuzz::{TARGETS, Target};

const USAGE: &str = "replay TARGET FILE…   runs inputs; a panic says what does not hold
compare FOLDER        asks Node about the inputs in a folder, in one folder for each target
list                  names the targets";

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let all_hold = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["replay", name, ref files @ ..] => replay(target(name)?, files)?,
        ["compare", folder] => compare(Path::new(folder))?,
        ["list"] => {
            TARGETS.iter().for_each(|target| println!("{}", target.name));
            true
        }
        _ => return Err(USAGE.into()),
    };
    Ok(if all_hold { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn target(name: &str) -> Result<Target, Box<dyn Error>> {
    let found = TARGETS.iter().find(|target| target.name == name).copied();
    found.ok_or_else(|| format!("there is no target {name}").into())
}

fn replay(target: Target, files: &[&str]) -> Result<bool, Box<dyn Error>> {
    let mut all_hold = true;
    for file in files {
        let input = Input { target, file: file.into(), bytes: fs::read(file)? };
        let holds = corpus::holds(&input);
        println!("{file}: {}", if holds { "all holds" } else { "FAILED" });
        all_hold &= holds;
    }
    Ok(all_hold)
}

fn compare(folder: &Path) -> Result<bool, Box<dyn Error>> {
    let (differences, compared) = corpus::differences(folder)?;
    differences.iter().for_each(|difference| println!("{difference}"));
    println!("Node answers {compared} inputs, {} of them otherwise", differences.len());
    Ok(differences.is_empty())
}
