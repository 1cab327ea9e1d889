//! Replays every stored input without the fuzzer.

use std::fs;
use std::path::Path;

use express_session_fuzz::{TARGETS, corpus};

#[test]
fn every_stored_input_passes() {
    for target in TARGETS {
        let inputs = corpus::read(&corpus::folder(), *target).unwrap();
        assert!(!inputs.is_empty(), "{} has no corpus", target.name);
        for input in inputs {
            assert!(corpus::holds(&input), "{}", input.file.display());
        }
    }
}

#[test]
fn node_agrees_on_every_stored_input() {
    let (differences, compared) = corpus::differences(&corpus::folder()).unwrap();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(compared > 0);
}

#[test]
fn every_target_has_a_binary() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets");
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    found.sort_unstable();
    assert_eq!(found, TARGETS.iter().map(|target| target.name).collect::<Vec<_>>());
}
