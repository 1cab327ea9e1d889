//! `cargo xtask bench`: ours and the peers on the same work, in one run, with the raw figures.

fn main() -> anyhow::Result<()> {
    bench::command::main()
}
