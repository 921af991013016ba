//! What a server over a shared store tells the other servers, every few seconds: its clock, and which state of the store it has
//! seen. It stands beside the store, is no part of it, and disappears with its server.

use uuid::Uuid;

use super::digest::{Divergence, StoreDigest};
use super::lineage::{BranchId, ServerIdentity};
use crate::crypto::{Error, FieldReader, Keyring, Purpose};
use crate::domain::Timestamp;

const ID: &[&[u8]] = &[b"heartbeat"];

/// The heartbeat of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// The process that sent it.
    pub server: Uuid,
    /// The time by its clock.
    pub clock: Timestamp,
    commits: u64,
    branch: Option<BranchId>,
}

impl Heartbeat {
    /// The heartbeat of a server that has seen this digest.
    pub fn new(server: &ServerIdentity, clock: Timestamp, digest: &StoreDigest) -> Self {
        Self { server: server.process(), clock, commits: digest.commits, branch: digest.branch() }
    }

    /// Seals it: server (16 bytes), clock (8, microseconds since 1970, big-endian), commits (8), newest branch (8, or none).
    pub fn seal(&self, keyring: &Keyring) -> Result<Vec<u8>, Error> {
        let (clock, commits) = (self.clock.as_micros().to_be_bytes(), self.commits.to_be_bytes());
        let branch = self.branch.as_ref().map_or(&[][..], |branch| branch);
        let clear = [self.server.as_bytes(), clock.as_slice(), &commits, branch].concat();
        // As for records of an audit log, so that heartbeats use up no key.
        keyring.seal_for_audit(Purpose::Heartbeat, ID, &clear)
    }

    /// Opens a heartbeat.
    pub fn open(keyring: &Keyring, sealed: &[u8]) -> Result<Self, Error> {
        let clear = keyring.open_for_audit(Purpose::Heartbeat, ID, sealed)?;
        let mut fields = FieldReader(&clear);
        let server = Uuid::from_bytes(*fields.take()?);
        let clock = Timestamp::from_micros(i64::from_be_bytes(*fields.take()?));
        let commits = fields.count()?;
        let branch = if fields.0.is_empty() { None } else { Some(*fields.take()?) };
        Ok(Self { server, clock, commits, branch })
    }

    /// Fails where a store with this digest lacks something that the server has seen.
    pub fn was_sent_before(&self, digest: &StoreDigest) -> Result<(), Divergence> {
        digest.continues_from(self.branch, self.commits)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::crypto::MasterKeys;
    use crate::integrity::DigestCarrier;
    use crate::store::Digester;

    #[test]
    fn a_heartbeat_opens_as_it_was_sealed_and_tells_what_a_store_lacks() {
        let keyring = Arc::new(Keyring::create(&MasterKeys::generate().unwrap()).unwrap().0);
        let (stranger, _) = Keyring::create(&MasterKeys::generate().unwrap()).unwrap();
        let server = ServerIdentity::new(Arc::default());
        let step = |before: &StoreDigest| {
            let carrier = DigestCarrier::from(keyring.clone(), before.clone(), server.clone());
            let after = carrier.after(&before.seal(&keyring).unwrap(), &[], 0).unwrap();
            StoreDigest::open(&keyring, &after.record).unwrap()
        };
        let without = StoreDigest::default();
        let seen = step(&step(&without));
        for digest in [&without, &seen] {
            let heartbeat = Heartbeat::new(&server, Timestamp::from_micros(-7), digest);
            let sealed = heartbeat.seal(&keyring).unwrap();
            assert_eq!(Heartbeat::open(&keyring, &sealed).unwrap(), heartbeat);
            assert!(Heartbeat::open(&stranger, &sealed).is_err());
            assert!(Heartbeat::open(&keyring, &sealed[..sealed.len() - 1]).is_err());
            assert_eq!(heartbeat.was_sent_before(&step(&seen)), Ok(()));
        }
        let heartbeat = Heartbeat::new(&server, Timestamp::from_micros(0), &seen);
        assert_eq!(heartbeat.was_sent_before(&step(&without)), Err(Divergence::Older(1)));
    }
}
