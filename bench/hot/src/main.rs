//! Sends requests of one case to ours, for a tool that counts instructions: `bench-hot CASE REQUESTS`. Without
//! arguments, it prints the names of the cases.

use std::io::{self, Write as _};

use anyhow::{Context as _, Result};
use bench_hot::{Case, Ours, Prepared, runtime};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let Some(name) = arguments.next() else {
        let mut output = io::stdout();
        return Ok(Case::ALL.iter().try_for_each(|case| writeln!(output, "{}", case.name()))?);
    };
    let case = Case::of_name(&name).with_context(|| format!("no case is called {name}"))?;
    let requests = arguments.next().context("no number of requests")?.parse()?;
    let runtime = runtime()?;
    Prepared::new(case, &Ours::repeatable()?, &runtime)?.run(&runtime, requests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_does_the_work_of_every_case() {
        let runtime = runtime().unwrap();
        for case in Case::ALL {
            let mut prepared = Prepared::new(case, &Ours::repeatable().unwrap(), &runtime).unwrap();
            prepared.run(&runtime, 100).unwrap();
            prepared.check(&runtime).unwrap();
        }
    }
}
