//! `cargo xtask bench`: ours and the peers on the same work, in one run, with the raw figures.

use std::process::ExitCode;

fn main() -> ExitCode {
    bench::command::main()
}
