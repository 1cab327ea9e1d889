//! A folder for the files of a run.

use std::path::{Path, PathBuf};
use std::{env, fs, io, process};

/// A temporary folder, which is removed when the value is dropped.
#[derive(Debug)]
pub struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    /// Creates a folder with this name and the process id.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub fn new(name: &str) -> io::Result<Self> {
        let folder = env::temp_dir().join(format!("{name}-{}", process::id()));
        fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }

    /// Returns its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // If this fails, the system removes the folder with its other temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}
