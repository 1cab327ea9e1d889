//! Counts the allocations of a request, of every subject in every case, and prints them as JSON.

use std::alloc::System;

use anyhow::Result;
use bench::inprocess::{Allocations, Found, key, subjects};
use bench_hot::Case;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> Result<()> {
    let runtime = subjects::runtime()?;
    let mut all = Found::new();
    for case in Case::ALL {
        for subject in subjects::ALL {
            let mut prepared = subject.prepare(case, &runtime)?;
            let region = Region::new(ALLOCATOR);
            prepared.run(&runtime, subject.requests)?;
            let change = region.change();
            #[expect(clippy::cast_precision_loss, reason = "far from 2 to the 52nd")]
            let per_request = |sum: usize| sum as f64 / subject.requests as f64;
            let count = per_request(change.allocations + change.reallocations);
            let bytes = per_request(change.bytes_allocated);
            all.insert(key(subject.name, case), Allocations { count, bytes });
        }
    }
    println!("{}", serde_json::to_string(&all)?);
    Ok(())
}
