//! The inputs that are kept: those that reach new code, and those that once found something.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{fs, panic};

use crate::{TARGETS, Target, node};

/// An input, with the file it is in.
#[derive(Debug)]
pub struct Input {
    /// Which target it is for.
    pub target: Target,
    /// Where it is.
    pub file: PathBuf,
    /// What it is.
    pub bytes: Vec<u8>,
}

/// The folder of the inputs that are kept, with one for each target.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// Reads the inputs of one target, in the order of their files' names.
///
/// # Errors
///
/// Where a file cannot be read.
pub fn read(folder: &Path, target: Target) -> Result<Vec<Input>, Box<dyn Error>> {
    let folder = folder.join(target.name);
    let entries =
        fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files: Vec<_> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.sort_unstable();
    files.into_iter().map(|file| Ok(Input { target, bytes: fs::read(&file)?, file })).collect()
}

/// Runs an input, and says whether all held. What did not is told on standard error.
#[must_use]
pub fn holds(input: &Input) -> bool {
    panic::catch_unwind(|| (input.target.run)(&input.bytes)).is_ok()
}

/// Gives the inputs that Node makes something else of, each with both answers; and how many were compared.
///
/// # Errors
///
/// Those of [`read`], and where Node cannot be asked.
pub fn differences(folder: &Path) -> Result<(Vec<String>, usize), Box<dyn Error>> {
    let mut files = Vec::new();
    let mut questions = Vec::new();
    for target in TARGETS {
        // A folder that is grown has those of the targets that were fuzzed.
        let Some(ask) = target.question.filter(|_| folder.join(target.name).is_dir()) else {
            continue;
        };
        for input in read(folder, *target)? {
            if let Some(question) = ask(&input.bytes) {
                files.push(input.file);
                questions.push(question);
            }
        }
    }
    let answers = node::answers(&questions)?;
    let mut differences = Vec::new();
    let mut compared = 0;
    for ((file, question), answer) in files.iter().zip(&questions).zip(answers) {
        let Some(theirs) = answer else { continue };
        compared += 1;
        if theirs != question.ours {
            let file = file.display();
            differences.push(format!("{file}\n  ours   {}\n  Node's {theirs}", question.ours));
        }
    }
    Ok((differences, compared))
}
