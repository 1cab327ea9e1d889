//! The former names of the methods of `Policy`, until their last use has the new one.

#![allow(missing_docs, clippy::must_use_candidate, reason = "to be deleted")]

use super::{Fault, OnFailure, Step};
use crate::policy::Policy;
pub use crate::policy::{
    LoadMode as Fetch, LoadTime as Load, OnConflict as Conflict, OnMismatch as Surprise,
    SaveTime as Commit,
};
use crate::policy::{LoadMode, LoadTime, OnConflict, OnMismatch, SaveTime};

pub fn load(presented: bool, policy: &Policy) -> LoadTime {
    policy.when_to_load(presented)
}

pub fn fetch(policy: &Policy) -> LoadMode {
    policy.how_to_load()
}

pub fn candidates(policy: &Policy) -> usize {
    policy.cookie_candidates()
}

pub fn touch_on_load_suffices(policy: &Policy) -> bool {
    policy.touch_on_load_suffices()
}

pub fn commit(policy: &Policy) -> SaveTime {
    policy.when_to_save()
}

pub fn gone(policy: &Policy) -> OnMismatch {
    policy.on_missing_record()
}

pub fn taken(policy: &Policy) -> OnMismatch {
    policy.on_id_collision()
}

pub fn conflict(policy: &Policy) -> OnConflict {
    policy.on_conflict()
}

pub fn destroys(stored: bool, policy: &Policy) -> bool {
    policy.destroys(stored)
}

pub fn save_renews(policy: &Policy) -> bool {
    policy.save_resets_expiry()
}

pub fn touches_at_once(sending: bool, policy: &Policy) -> bool {
    policy.touches_immediately(sending)
}

pub fn failure(step: Step, fault: Fault, policy: &Policy) -> OnFailure {
    policy.on_failure(step, fault)
}
