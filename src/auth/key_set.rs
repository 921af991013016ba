//! The keys of an issuer of tokens: a JSON web key set (RFC 7517), of which only the public keys for signatures count.
//!
//! A set is read as a whole or not at all, but a key in it that the service cannot use is left out: issuers may publish keys
//! for other purposes, and of kinds that are newer than this release.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use serde::Deserialize;

use crate::crypto::sha256;

/// The keys of an issuer.
pub struct KeySet(Vec<IssuerKey>);

/// A public key of an issuer.
pub(super) struct IssuerKey {
    /// Its name in the headers of tokens.
    id: Option<Box<str>>,
    /// The algorithms that it may be used with.
    algorithms: Vec<Algorithm>,
    pub(super) key: DecodingKey,
    pub(super) print: KeyPrint,
}

/// What tells a public key from all others: a digest of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyPrint(pub(super) [u8; 32]);

/// Why a key set cannot be used. Each message says what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// It is too large.
    #[error("it is larger than 256 KiB, or has more than 100 keys")]
    TooLarge,
    /// It is not a key set.
    #[error("it is not a JSON web key set: {{\"keys\": [...]}} is expected")]
    Malformed,
    /// It has no key that verifies signatures.
    #[error("it has no public key that verifies signatures: RSA from 2048 bits, P-256, P-384 or Ed25519")]
    Empty,
}

/// The key of a token's header.
pub(super) enum Found<'a> {
    Key(&'a IssuerKey),
    /// No key has this id: the issuer may have made a new one.
    Unknown,
    /// The key of this id is for other algorithms, or the header does not say which of several keys it means.
    Unfit,
}

impl KeySet {
    /// The most bytes of a key set.
    pub const MAX_BYTES: usize = 256 * 1024;
    const MAX_KEYS: usize = 100;

    /// Reads a key set.
    pub fn parse(json: &[u8]) -> Result<Self, KeySetError> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<serde_json::Value>,
        }
        if json.len() > Self::MAX_BYTES {
            return Err(KeySetError::TooLarge);
        }
        let document: Document = serde_json::from_slice(json).map_err(|_| KeySetError::Malformed)?;
        if document.keys.len() > Self::MAX_KEYS {
            return Err(KeySetError::TooLarge);
        }
        let keys: Vec<_> = document.keys.into_iter().filter_map(IssuerKey::read).collect();
        if keys.is_empty() { Err(KeySetError::Empty) } else { Ok(Self(keys)) }
    }

    /// Whether the set has this key.
    pub fn holds(&self, print: KeyPrint) -> bool {
        self.0.iter().any(|key| key.print == print)
    }

    /// The key that a token's header means.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Found<'_> {
        let mut named = self.0.iter().filter(|key| id.is_none() || key.id.as_deref() == id).peekable();
        if named.peek().is_none() {
            return Found::Unknown;
        }
        let mut fit = named.filter(|key| key.algorithms.contains(&algorithm));
        match (fit.next(), fit.next()) {
            (Some(key), None) => Found::Key(key),
            (Some(_), Some(_)) | (None, _) => Found::Unfit,
        }
    }
}

impl IssuerKey {
    /// The key of a JSON web key; `None` where it does not verify signatures.
    fn read(json: serde_json::Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(json).ok()?;
        let common = &jwk.common;
        let for_signatures = common.public_key_use.as_ref().is_none_or(|of| *of == PublicKeyUse::Signature)
            && common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
        if !for_signatures {
            return None;
        }
        let algorithms: &[Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => &[
                Algorithm::RS256,
                Algorithm::RS384,
                Algorithm::RS512,
                Algorithm::PS256,
                Algorithm::PS384,
                Algorithm::PS512,
            ],
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                &[Algorithm::ES256]
            }
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => {
                &[Algorithm::ES384]
            }
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                &[Algorithm::EdDSA]
            }
            // Other curves, secrets, and kinds that a later release of the crate adds.
            _ => return None,
        };
        let algorithms: Vec<_> = match common.key_algorithm {
            None => algorithms.to_vec(),
            Some(only) => {
                let only = only.to_string().parse().ok()?;
                algorithms.iter().copied().filter(|algorithm| *algorithm == only).collect()
            }
        };
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        let print = print(&key).filter(|_| !algorithms.is_empty())?;
        Some(Self { id: common.key_id.as_deref().map(Into::into), algorithms, key, print })
    }
}

/// The print of a key; `None` where it has not the length of its kind.
fn print(key: &DecodingKey) -> Option<KeyPrint> {
    let bytes = match key.kind() {
        DecodingKeyKind::RsaModulusExponent { n, e } => {
            // From 2048 to 8192 bits, as the algorithms in use take them. The exponent has at most 33 bits.
            if !(256..=1024).contains(&n.len()) || !(1..=5).contains(&e.len()) {
                return None;
            }
            [b"rsa", e.len().to_be_bytes().as_slice(), e, n].concat()
        }
        DecodingKeyKind::SecretOrDer(point) => {
            if ![32, 65, 97].contains(&point.len()) {
                return None;
            }
            [b"curve", point.as_slice()].concat()
        }
    };
    Some(KeyPrint(sha256(&[&bytes])))
}
