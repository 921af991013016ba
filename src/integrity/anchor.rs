use data_encoding::HEXLOWER;

use super::digest::{Divergence, Fingerprint, StoreDigest};
use super::lineage::BranchId;
use crate::crypto::{Keyring, Mac};

/// A record outside of the store of how far its digest was, by which an older copy of the whole store is noticed.
///
/// As text it is one line: `strongroom-anchor-2`, the number of commits, the newest branch of the lineage (16 hexadecimal
/// digits), a fingerprint of the digest (32), and an HMAC of all three (64), with a space between each. The anchor of a store
/// without a lineage is `strongroom-anchor-1`, and has no branch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Anchor {
    commits: u64,
    branch: Option<BranchId>,
    fingerprint: Fingerprint,
    mac: Mac,
}

/// Why a store does not match an anchor: it is neither the store of the anchor nor a later state of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnchorMismatch {
    /// The text is not an anchor, was altered, or belongs to a store with another keyring.
    #[error("it is not an anchor of this store")]
    Foreign,
    /// The store is not the one that the anchor was written for.
    #[error(transparent)]
    Diverged(#[from] Divergence),
}

const FORM: &str = "strongroom-anchor-2";
const FORM_WITHOUT_BRANCH: &str = "strongroom-anchor-1";

impl Anchor {
    /// The anchor of a store with this digest.
    pub fn of(keyring: &Keyring, digest: &StoreDigest) -> Self {
        let (commits, branch, fingerprint) = (digest.commits, digest.branch(), digest.fingerprint(keyring));
        let mac = with_parts(commits, branch, &fingerprint, |parts| keyring.anchor_mac(parts));
        Self { commits, branch, fingerprint, mac }
    }

    /// As text.
    pub fn to_line(&self) -> String {
        let (commits, fingerprint, mac) =
            (self.commits, HEXLOWER.encode(&self.fingerprint), HEXLOWER.encode(&self.mac));
        match self.branch {
            Some(branch) => format!("{FORM} {commits} {} {fingerprint} {mac}\n", HEXLOWER.encode(&branch)),
            None => format!("{FORM_WITHOUT_BRANCH} {commits} {fingerprint} {mac}\n"),
        }
    }

    /// Reads an anchor; `None` where the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim_end().split(' ');
        let form = parts.next()?;
        let commits = parts.next()?.parse().ok()?;
        let branch = match form {
            FORM => Some(bytes(parts.next()?)?),
            FORM_WITHOUT_BRANCH => None,
            _ => return None,
        };
        let (fingerprint, mac) = (bytes(parts.next()?)?, bytes(parts.next()?)?);
        parts.next().is_none().then_some(Self { commits, branch, fingerprint, mac })
    }

    /// Fails unless a store with this digest is the store of the anchor, in the same state or a later one.
    pub fn admits(&self, keyring: &Keyring, digest: &StoreDigest) -> Result<(), AnchorMismatch> {
        let Self { commits, branch, fingerprint, mac } = self;
        if !with_parts(*commits, *branch, fingerprint, |parts| keyring.is_anchor_mac(parts, mac)) {
            return Err(AnchorMismatch::Foreign);
        }
        digest.continues_from(*branch, *commits)?;
        if digest.commits == *commits && digest.fingerprint(keyring) != *fingerprint {
            return Err(Divergence::Other.into());
        }
        Ok(())
    }
}

/// Calls a function with what the HMAC of an anchor is over.
fn with_parts<T>(
    commits: u64,
    branch: Option<BranchId>,
    fingerprint: &Fingerprint,
    then: impl FnOnce(&[&[u8]]) -> T,
) -> T {
    let commits = commits.to_be_bytes();
    match branch {
        Some(branch) => then(&[b"anchor 2", &commits, &branch, fingerprint]),
        None => then(&[b"anchor", &commits, fingerprint]),
    }
}

/// Bytes in hexadecimal digits.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::crypto::MasterKeys;
    use crate::integrity::{DigestCarrier, ServerIdentity};
    use crate::store::{Changed, Digester, Key};

    #[test]
    fn an_anchor_admits_its_own_state_and_later_ones_only() {
        let (keyring, _) = Keyring::create(&MasterKeys::generate().unwrap()).unwrap();
        let (stranger, _) = Keyring::create(&MasterKeys::generate().unwrap()).unwrap();
        let step = |digest: StoreDigest, record: &[u8]| {
            let key = Key::api_key(&[1; 10]);
            digest.after(&keyring, &[Changed { key: &key, before: None, after: Some(record) }], 0)
        };
        let first = step(StoreDigest::default(), &[1; 40]);
        let (second, other) = (step(first.clone(), &[2; 40]), step(first.clone(), &[3; 40]));
        let line = Anchor::of(&keyring, &second).to_line();
        let anchor = Anchor::parse(&line).unwrap();
        assert_eq!(anchor.admits(&keyring, &second), Ok(()));
        assert_eq!(anchor.admits(&keyring, &step(second.clone(), &[4; 40])), Ok(()));
        assert_eq!(anchor.admits(&keyring, &first), Err(Divergence::Older(1).into()));
        assert_eq!(anchor.admits(&keyring, &other), Err(Divergence::Other.into()));
        assert_eq!(anchor.admits(&stranger, &second), Err(AnchorMismatch::Foreign));
        assert_eq!(
            Anchor::parse(&line.replace(" 2 ", " 1 ")).unwrap().admits(&keyring, &first),
            Err(AnchorMismatch::Foreign)
        );
        for none in [
            "",
            "strongroom-anchor-1",
            &line.replace("-1 ", "-3 "),
            &line.replace("-1 ", "-2 "),
            &format!("{line} x"),
            &line[..60],
        ] {
            assert_eq!(Anchor::parse(none), None, "{none}");
        }
    }

    #[test]
    fn an_anchor_refuses_a_store_that_left_its_history_however_far_it_has_come() {
        let (keyring, _) = Keyring::create(&MasterKeys::generate().unwrap()).unwrap();
        let keyring = Arc::new(keyring);
        let server = || ServerIdentity::new(Arc::default());
        let step = |digest: &StoreDigest, server: &Arc<ServerIdentity>| {
            let carrier = DigestCarrier::from(keyring.clone(), digest.clone(), server.clone());
            let after = carrier.after(&digest.seal(&keyring).unwrap(), &[], 0).unwrap();
            StoreDigest::open(&keyring, &after.record).unwrap()
        };
        let (one, other, third) = (server(), server(), server());
        let older = step(&StoreDigest::default(), &one);
        let seen = step(&older, &one);
        let line = Anchor::of(&keyring, &seen).to_line();
        let anchor = Anchor::parse(&line).unwrap();
        assert_eq!(anchor, Anchor::of(&keyring, &seen));
        assert_eq!(anchor.admits(&keyring, &older), Err(Divergence::Older(1).into()));
        assert_eq!(anchor.admits(&keyring, &step(&step(&seen, &other), &third)), Ok(()));

        let mut left = older.clone();
        for _ in 0..5 {
            left = step(&left, &other);
        }
        assert_eq!(anchor.admits(&keyring, &left), Err(Divergence::Left.into()));
        assert_eq!(anchor.admits(&keyring, &step(&left, &one)), Err(Divergence::Left.into()));
        assert_eq!(left.continues(&seen), Err(Divergence::Left));
        // Nor does a commit of the server that has seen the other history go on from there.
        let carrier = DigestCarrier::from(keyring.clone(), seen.clone(), one);
        assert!(!carrier.carries_on(&left.seal(&keyring).unwrap()));
        // What somebody restores takes the place of both.
        let restored = left.clone().in_place_of(&left).restored(&keyring, &Default::default());
        assert_eq!(anchor.admits(&keyring, &restored), Ok(()));
        let altered = line.replacen(&line[22..24], "zz", 1);
        assert_eq!(Anchor::parse(&altered), None);
    }
}
