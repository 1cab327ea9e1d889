//! Where the lock of a record is.

use express_session_core::store::{Error, ErrorKind, LockToken};

/// Names the lock of a record: in the record's slot of a cluster, so that one script can see both, and
/// beside the keys that begin with the prefix, so that npm's connect-redis does not take it for a session.
///
/// A cluster places a key by its tag: what stands between the first `{` and the next `}`. The lock has
/// the record's, or the whole name of the record for one, which cannot be written where there is a `}`.
pub(super) fn key(record: &str, is_cluster: bool) -> Result<String, Error> {
    named("lock", record, is_cluster)
}

/// Names the last fencing token of a lock in the same way. A user who may use locks may use it too.
pub(super) fn fence_key(record: &str, is_cluster: bool) -> Result<String, Error> {
    named("lock:fence", record, is_cluster)
}

fn named(kind: &str, record: &str, is_cluster: bool) -> Result<String, Error> {
    if has_tag(record) {
        return Ok(format!("{kind}:{record}"));
    }
    if is_cluster && record.contains('}') {
        let message = "a cluster has no place for the lock of a key with a } and without a {tag}";
        return Err(Error::new(ErrorKind::Unsuitable, message));
    }
    Ok(format!("{kind}:{{{record}}}"))
}

/// Writes a holder as the scripts are given it.
pub(super) fn holder(holder: LockToken) -> String {
    format!("{:032x}", u128::from_be_bytes(*holder.as_bytes()))
}

fn has_tag(key: &str) -> bool {
    let behind = key.split_once('{').map(|(_, behind)| behind);
    behind.and_then(|behind| behind.find('}')).is_some_and(|length| length > 0)
}

#[cfg(test)]
mod tests {
    use ::redis::cluster_routing::Slot;

    use super::*;

    #[test]
    fn lock_is_in_the_slot_of_its_record_wherever_it_can_be() {
        for (record, lock) in [
            ("sess:a", "lock:{sess:a}"),
            ("sess:{a}b", "lock:sess:{a}b"),
            ("{a}", "lock:{a}"),
            ("a{b", "lock:{a{b}"),
            ("{a{b}", "lock:{a{b}"),
        ] {
            assert_eq!(key(record, true).unwrap(), lock);
            assert_eq!(Slot::for_key(record), Slot::for_key(lock), "{record}");
        }
        for record in ["a}", "{}a", "a{}{b}", "}a{b"] {
            let error = key(record, true).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsuitable, "{record}");
            assert_eq!(key(record, false).unwrap(), format!("lock:{{{record}}}"));
        }
    }

    #[test]
    fn holders_differ_as_their_bytes_do() {
        let [one, other] = [0, 1].map(|byte| holder(LockToken::from_random([byte; 16])));
        assert_eq!((one.len(), other.len()), (32, 32));
        assert_ne!(one, other);
    }
}
