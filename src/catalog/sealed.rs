//! The secrets that this process has sealed a moment ago, in the clear, so that the catalog does not have to open and decode what it
//! gets from the store a moment later. With many writers that would be a fifth of the work.
//!
//! *Always:* a secret is taken only for the very bytes that it was sealed to. What is not here is opened, so nothing depends on it. It
//! holds a bounded number of secrets: what is left of changes that were not made is forgotten when there is no more room.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::{Revision, Secret, SecretId};

/// How many secrets it holds at most.
const MOST: usize = 256;

/// The secrets that were sealed lately.
#[derive(Default)]
pub(super) struct SealedSecrets {
    by_id: Mutex<HashMap<SecretId, SealedSecret>>,
}

struct SealedSecret {
    record: Vec<u8>,
    secret: Secret,
}

impl SealedSecrets {
    /// Takes a secret that is about to be put as this record.
    pub(super) fn hand_over(&self, record: &[u8], secret: Secret) {
        let mut by_id = self.lock();
        if by_id.len() >= MOST {
            by_id.clear();
        }
        by_id.insert(secret.id, SealedSecret { record: record.to_vec(), secret });
    }

    /// The secret that was sealed to this record, which a commit of this revision has put. It is as if the record was opened.
    pub(super) fn take(&self, id: SecretId, record: &[u8], revision: Revision) -> Option<Secret> {
        let sealed = {
            let mut by_id = self.lock();
            // One that was sealed again meanwhile stays for the next change.
            by_id.get(&id).filter(|sealed| sealed.record == record)?;
            by_id.remove(&id)?
        };
        Some(Secret { revision, stored_at: revision, last_read: None, ..sealed.secret })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SecretId, SealedSecret>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::index::tests::secret;

    #[test]
    fn a_secret_is_taken_once_and_only_for_the_bytes_that_it_was_sealed_to() {
        let sealed = SealedSecrets::default();
        let one = secret(1, "one", &[("env", "prod")], (1, 2), 5);
        sealed.hand_over(b"first", one.clone());
        let take = |record: &[u8], revision| sealed.take(one.id, record, Revision(revision));
        assert_eq!(take(b"firsT", 9), None);
        assert_eq!(
            take(b"first", 9),
            Some(Secret { revision: Revision(9), stored_at: Revision(9), ..one.clone() })
        );
        assert_eq!(take(b"first", 9), None);

        // Of two changes that were planned, the one that was planned last counts.
        sealed.hand_over(b"lost", one.clone());
        sealed.hand_over(b"made", Secret { version: 2, ..one.clone() });
        assert_eq!(take(b"lost", 10), None);
        assert_eq!(take(b"made", 10).map(|secret| secret.version), Some(2));
    }

    #[test]
    fn what_is_left_of_changes_that_were_not_made_is_bounded() {
        let sealed = SealedSecrets::default();
        for number in 0..1000 {
            sealed.hand_over(
                b"record",
                Secret { id: SecretId::generate(), ..secret(1, "one", &[], (1, 1), number) },
            );
        }
        assert!(sealed.lock().len() <= MOST);
    }
}
