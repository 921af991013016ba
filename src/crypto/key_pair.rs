//! New pairs of keys for secrets: made by ring, and written in the form that other programs read.
//!
//! The private key is PKCS #8 (RFC 5958) in its first version, without the public key, which every library reads. The public key
//! is a SubjectPublicKeyInfo (RFC 5280). Both are in PEM (RFC 7468).

use data_encoding::BASE64;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use zeroize::Zeroizing;

use super::{Error, random};

/// A new pair of keys, in PEM.
pub struct KeyPairPem {
    /// The private key.
    pub private: Zeroizing<String>,
    /// The public key: less than 200 bytes.
    pub public: String,
}

/// The beginning of a private Ed25519 key (RFC 8410 section 7): version 0, the algorithm, and the length of the 32 bytes that follow.
const ED25519_PRIVATE: &[u8] = &[0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
/// The beginning of a public Ed25519 key (RFC 8410 section 4).
const ED25519_PUBLIC: &[u8] = &[0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
/// The beginning of a public key on the curve P-256 (RFC 5480 section 2), before the 65 bytes of the point.
const P256_PUBLIC: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3,
    1, 7, 3, 0x42, 0,
];

impl KeyPairPem {
    /// A new pair of Ed25519 keys (RFC 8032).
    pub fn ed25519() -> Result<Self, Error> {
        let seed = Zeroizing::new(random::<32>()?);
        let pair = Ed25519KeyPair::from_seed_unchecked(&*seed).map_err(|_| Error::Failed)?;
        let private = Zeroizing::new([ED25519_PRIVATE, &*seed].concat());
        Ok(Self::of(&private, &[ED25519_PUBLIC, pair.public_key().as_ref()].concat()))
    }

    /// A new pair of ECDSA keys on the curve P-256 (FIPS 186-5).
    pub fn ecdsa_p256() -> Result<Self, Error> {
        let (algorithm, random) = (&ECDSA_P256_SHA256_ASN1_SIGNING, SystemRandom::new());
        let private = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(|_| Error::Failed)?;
        let pair =
            EcdsaKeyPair::from_pkcs8(algorithm, private.as_ref(), &random).map_err(|_| Error::Failed)?;
        Ok(Self::of(private.as_ref(), &[P256_PUBLIC, pair.public_key().as_ref()].concat()))
    }

    /// The public key, in PEM, of a private key as [`ed25519`](Self::ed25519) and [`ecdsa_p256`](Self::ecdsa_p256) make it; `None`:
    /// this is none.
    pub fn public_of(private: &str) -> Option<String> {
        let body = private.strip_prefix("-----BEGIN PRIVATE KEY-----\n")?;
        let body = Zeroizing::new(body.strip_suffix("-----END PRIVATE KEY-----\n")?.replace('\n', ""));
        let private = Zeroizing::new(BASE64.decode(body.as_bytes()).ok()?);
        let public = if let Some(seed) = private.strip_prefix(ED25519_PRIVATE) {
            let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
            [ED25519_PUBLIC, pair.public_key().as_ref()].concat()
        } else {
            let (algorithm, random) = (&ECDSA_P256_SHA256_ASN1_SIGNING, SystemRandom::new());
            let pair = EcdsaKeyPair::from_pkcs8(algorithm, &private, &random).ok()?;
            [P256_PUBLIC, pair.public_key().as_ref()].concat()
        };
        Some(std::mem::take(&mut *pem("PUBLIC KEY", &public)))
    }

    fn of(private: &[u8], public: &[u8]) -> Self {
        let mut public = pem("PUBLIC KEY", public);
        Self { private: pem("PRIVATE KEY", private), public: std::mem::take(&mut *public) }
    }
}

/// The bytes in PEM, in lines of 64 characters.
fn pem(label: &str, bytes: &[u8]) -> Zeroizing<String> {
    let encoded = Zeroizing::new(BASE64.encode(bytes));
    // Reserved at once: growing would leave copies behind.
    let mut pem = Zeroizing::new(String::with_capacity(2 * encoded.len() + 128));
    for part in ["-----BEGIN ", label, "-----\n"] {
        pem.push_str(part);
    }
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, left) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = left;
    }
    for part in ["-----END ", label, "-----\n"] {
        pem.push_str(part);
    }
    pem
}

#[cfg(test)]
mod tests {
    use ring::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey};

    use super::*;

    fn der(pem: &str, label: &str) -> Vec<u8> {
        let body = pem.strip_prefix(&format!("-----BEGIN {label}-----\n")).unwrap();
        let body = body.strip_suffix(&format!("-----END {label}-----\n")).unwrap();
        assert!(body.lines().all(|line| line.len() <= 64));
        BASE64.decode(body.replace('\n', "").as_bytes()).unwrap()
    }

    #[test]
    fn the_public_key_verifies_what_the_private_key_signs() {
        let pair = KeyPairPem::ed25519().unwrap();
        let private = der(&pair.private, "PRIVATE KEY");
        let signer = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&private).unwrap();
        let public = der(&pair.public, "PUBLIC KEY");
        let verifier = UnparsedPublicKey::new(&ED25519, public.strip_prefix(ED25519_PUBLIC).unwrap());
        verifier.verify(b"message", signer.sign(b"message").as_ref()).unwrap();

        let pair = KeyPairPem::ecdsa_p256().unwrap();
        let private = der(&pair.private, "PRIVATE KEY");
        let random = SystemRandom::new();
        let signer = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &private, &random).unwrap();
        let public = der(&pair.public, "PUBLIC KEY");
        let point = public.strip_prefix(P256_PUBLIC).unwrap();
        let verifier = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point);
        verifier.verify(b"message", signer.sign(&random, b"message").unwrap().as_ref()).unwrap();
        for pair in [KeyPairPem::ed25519().unwrap(), KeyPairPem::ecdsa_p256().unwrap()] {
            assert_eq!(KeyPairPem::public_of(&pair.private), Some(pair.public));
        }
        for other in ["", "a", "-----BEGIN PRIVATE KEY-----\nYQ==\n-----END PRIVATE KEY-----\n"] {
            assert_eq!(KeyPairPem::public_of(other), None);
        }
        assert_ne!(*KeyPairPem::ed25519().unwrap().private, *KeyPairPem::ed25519().unwrap().private);
    }
}
