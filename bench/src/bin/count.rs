//! Counts the allocations of a request, of every subject in every case, and prints them as JSON.

use std::alloc::System;

use anyhow::Result;
use bench::inprocess::allocations::Allocations;
use bench::inprocess::subjects;
use bench_hot::Case;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> Result<()> {
    let runtime = subjects::runtime()?;
    let mut all = Vec::new();
    for case in Case::ALL {
        for subject in subjects::ALL {
            let mut prepared = subject.prepare(case, &runtime)?;
            let region = Region::new(ALLOCATOR);
            prepared.run(&runtime, subject.requests)?;
            let change = region.change();
            #[expect(clippy::cast_precision_loss, reason = "far from 2 to the 52nd")]
            let per_request = |sum: usize| sum as f64 / subject.requests as f64;
            all.push(Allocations {
                case: case.name().to_owned(),
                subject: subject.name.to_owned(),
                count: per_request(change.allocations + change.reallocations),
                bytes: per_request(change.bytes_allocated),
            });
        }
    }
    println!("{}", serde_json::to_string(&all)?);
    Ok(())
}
