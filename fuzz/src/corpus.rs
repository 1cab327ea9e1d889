//! The stored inputs: those that reach new code, and those that once found a bug.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{fs, panic};

use crate::{TARGETS, Target, node};

/// An input, with the file it is in.
#[derive(Debug)]
pub struct Input {
    /// The name of its target.
    pub target: Target,
    /// Its path.
    pub file: PathBuf,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The folder of the stored inputs, with a folder for each target.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// Reads the inputs of one target, in the order of their files' names.
pub fn read(folder: &Path, target: Target) -> Result<Vec<Input>, Box<dyn Error>> {
    let folder = folder.join(target.name);
    let entries =
        fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files: Vec<_> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.sort_unstable();
    files.into_iter().map(|file| Ok(Input { target, bytes: fs::read(&file)?, file })).collect()
}

/// Runs an input. Returns `false` if an assertion failed, which is printed to standard error.
pub fn holds(input: &Input) -> bool {
    panic::catch_unwind(|| (input.target.run)(&input.bytes)).is_ok()
}

/// Returns the inputs for which Node's answer differs, each with both answers, and the number of compared inputs.
pub fn differences(folder: &Path) -> Result<(Vec<String>, usize), Box<dyn Error>> {
    let mut files = Vec::new();
    let mut questions = Vec::new();
    for target in TARGETS {
        // A grown corpus only has folders of the targets that were fuzzed.
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
