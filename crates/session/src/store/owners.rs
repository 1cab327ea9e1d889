//! The users and groups on whose files this process relies.

use rustix::process;

/// Checks whether a user is this process's own, or root.
pub(super) fn is_own(user: u32) -> bool {
    user == 0 || user == process::geteuid().as_raw()
}

/// Checks whether this process is in a group.
pub(super) fn is_in(group: u32) -> bool {
    let groups = || process::getgroups().unwrap_or_default();
    group == process::getegid().as_raw() || groups().iter().any(|own| own.as_raw() == group)
}
