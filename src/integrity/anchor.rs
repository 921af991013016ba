use data_encoding::HEXLOWER;

use super::digest::{Fingerprint, StoreDigest};
use crate::crypto::{Keyring, Mac};

/// A record outside of the store of how far its digest was, by which an older copy of the whole store is noticed.
///
/// As text it is one line: `strongroom-anchor-1`, the number of commits, a fingerprint of the digest (32
/// hexadecimal digits), and an HMAC of both (64), with a space between each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Anchor {
    commits: u64,
    fingerprint: Fingerprint,
    mac: Mac,
}

/// Why a store does not match an anchor: it is neither the store of the anchor nor a later state of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnchorMismatch {
    /// The text is not an anchor, was altered, or belongs to a store with another keyring.
    #[error("it is not an anchor of this store")]
    Foreign,
    /// The store is older than its anchor, by this many commits. One commit can hold several changes.
    #[error("the store is an older copy: its last {0} changes are missing, at least")]
    Older(u64),
    /// The store has as many commits as its anchor, but other ones.
    #[error("the store is another copy: it has gone on from an older state")]
    Other,
}

const FORM: &str = "strongroom-anchor-1";

impl Anchor {
    /// The anchor of a store with this digest.
    pub fn of(keyring: &Keyring, digest: &StoreDigest) -> Self {
        let (commits, fingerprint) = (digest.commits, digest.fingerprint(keyring));
        Self { commits, fingerprint, mac: mac(keyring, commits, &fingerprint) }
    }

    /// As text.
    pub fn to_line(&self) -> String {
        let (fingerprint, mac) = (HEXLOWER.encode(&self.fingerprint), HEXLOWER.encode(&self.mac));
        format!("{FORM} {} {fingerprint} {mac}\n", self.commits)
    }

    /// Reads an anchor; `None` where the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim_end().split(' ');
        let form = parts.next()?;
        let commits = parts.next()?.parse().ok()?;
        let fingerprint = HEXLOWER.decode(parts.next()?.as_bytes()).ok()?.try_into().ok()?;
        let mac = HEXLOWER.decode(parts.next()?.as_bytes()).ok()?.try_into().ok()?;
        (form == FORM && parts.next().is_none()).then_some(Self { commits, fingerprint, mac })
    }

    /// Fails unless a store with this digest is the store of the anchor, in the same state or a later one.
    pub fn admits(&self, keyring: &Keyring, digest: &StoreDigest) -> Result<(), AnchorMismatch> {
        if !keyring.is_anchor_mac(&[b"anchor", &self.commits.to_be_bytes(), &self.fingerprint], &self.mac) {
            return Err(AnchorMismatch::Foreign);
        }
        match digest.commits.checked_sub(self.commits) {
            None => Err(AnchorMismatch::Older(self.commits - digest.commits)),
            Some(0) if Self::of(keyring, digest) != *self => Err(AnchorMismatch::Other),
            Some(_) => Ok(()),
        }
    }
}

fn mac(keyring: &Keyring, commits: u64, fingerprint: &Fingerprint) -> Mac {
    keyring.anchor_mac(&[b"anchor", &commits.to_be_bytes(), fingerprint])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::MasterKeys;
    use crate::store::{Changed, Key};

    #[test]
    fn an_anchor_admits_its_own_state_and_later_ones_only() {
        let (keyring, _) = Keyring::create(&MasterKeys::generate().unwrap()).unwrap();
        let (stranger, _) = Keyring::create(&MasterKeys::generate().unwrap()).unwrap();
        let step = |digest: StoreDigest, record: &[u8]| {
            let key = Key::api_key(&[1; 10]);
            digest.after(&keyring, &[Changed { key: &key, before: None, after: Some(record) }], 0)
        };
        let first = step(StoreDigest::default(), &[1; 40]);
        let (second, other) = (step(first, &[2; 40]), step(first, &[3; 40]));
        let line = Anchor::of(&keyring, &second).to_line();
        let anchor = Anchor::parse(&line).unwrap();
        assert_eq!(anchor.admits(&keyring, &second), Ok(()));
        assert_eq!(anchor.admits(&keyring, &step(second, &[4; 40])), Ok(()));
        assert_eq!(anchor.admits(&keyring, &first), Err(AnchorMismatch::Older(1)));
        assert_eq!(anchor.admits(&keyring, &other), Err(AnchorMismatch::Other));
        assert_eq!(anchor.admits(&stranger, &second), Err(AnchorMismatch::Foreign));
        assert_eq!(
            Anchor::parse(&line.replace(" 2 ", " 1 ")).unwrap().admits(&keyring, &first),
            Err(AnchorMismatch::Foreign)
        );
        for none in
            ["", "strongroom-anchor-1", &line.replace("-1 ", "-2 "), &format!("{line} x"), &line[..60]]
        {
            assert_eq!(Anchor::parse(none), None, "{none}");
        }
    }
}
