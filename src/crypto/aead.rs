//! The cryptographic primitives: AES-256-GCM, HMAC-SHA256, HKDF-SHA256, SHA-256, Ed25519 and the system's random
//! numbers. Beside it, only `key_pair` and `token_signature` use ring.

use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{self, Ed25519KeyPair, KeyPair};
use ring::{aead, digest, hkdf, hmac};
use zeroize::{Zeroize, Zeroizing};

use crate::process::wiping_stack;

/// More bytes than any function of ring uses of the stack. ring leaves the last bytes of its input there, which are
/// all bytes of a short value.
const STACK: usize = 8 * 1024;

/// Why a seal failed. Deliberately says no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The ciphertext was altered, belongs to another place, or was sealed with another key.
    #[error("the ciphertext was altered, moved, or sealed with another key")]
    Integrity,
    /// The operating system gave no random numbers, or a length is beyond the limit of the algorithm.
    #[error("the cryptography of this machine failed")]
    Failed,
}

/// A record or value in the clear. Wiped when dropped.
pub type Opened = Zeroizing<Vec<u8>>;

/// An HMAC-SHA256 tag.
pub type Mac = [u8; 32];

/// 256 random bits from which keys are derived. Wiped when dropped.
pub struct KeyBytes(Zeroizing<[u8; 32]>);

impl KeyBytes {
    /// New random bits.
    pub fn generate() -> Result<Self, Error> {
        Ok(Self(Zeroizing::new(random()?)))
    }

    /// The key of these bytes; `None` unless there are 32.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let mut key = Zeroizing::new([0; 32]);
        if bytes.len() != key.len() {
            return None;
        }
        key.copy_from_slice(bytes);
        Some(Self(key))
    }

    /// The bytes, to be sealed.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// Derives a key for one purpose, by HKDF-SHA256 (RFC 5869) without salt: the input is already uniform.
    pub fn derive(&self, purpose: &'static str) -> Result<Self, Error> {
        self.expand(&[purpose.as_bytes()])
    }

    /// Derives a key for one purpose and one salt: the info is the purpose, then the salt.
    pub fn derive_for(&self, purpose: &'static str, salt: &[u8; 16]) -> Result<Self, Error> {
        self.expand(&[purpose.as_bytes(), salt])
    }

    fn expand(&self, info: &[&[u8]]) -> Result<Self, Error> {
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&*self.0);
        let mut key = Zeroizing::new([0; 32]);
        secret
            .expand(info, hkdf::HKDF_SHA256)
            .and_then(|expanded| expanded.fill(&mut *key))
            .map_err(|_| Error::Failed)?;
        Ok(Self(key))
    }
}

/// Random bytes from the operating system.
pub fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::Failed)?;
    Ok(bytes)
}

/// An AES-256-GCM key (NIST SP 800-38D). Its nonces are random, 96 bits, and stand before each ciphertext.
pub(super) struct AeadKey(Box<aead::LessSafeKey>);

impl AeadKey {
    /// The length of the nonce before a ciphertext and the tag after it, in bytes.
    pub(super) const OVERHEAD: usize = aead::NONCE_LEN + 16;

    pub(super) fn new(key: &KeyBytes) -> Result<Self, Error> {
        wiping_stack::<STACK, _>(|| {
            let key = aead::UnboundKey::new(&aead::AES_256_GCM, key.expose()).map_err(|_| Error::Failed)?;
            Ok(Self(Box::new(aead::LessSafeKey::new(key))))
        })
    }

    /// Appends nonce, ciphertext and tag to `out`.
    pub(super) fn seal_onto(&self, out: &mut Vec<u8>, aad: &[u8], plaintext: &[u8]) -> Result<(), Error> {
        let nonce: [u8; aead::NONCE_LEN] = random()?;
        out.reserve_exact(Self::OVERHEAD + plaintext.len()); // so that it stays where it is
        out.extend_from_slice(&nonce);
        let start = out.len();
        out.extend_from_slice(plaintext);
        let place = out.get_mut(start..).ok_or(Error::Failed)?;
        let (number, aad) = (aead::Nonce::assume_unique_for_key(nonce), aead::Aad::from(aad));
        match wiping_stack::<STACK, _>(|| self.0.seal_in_place_separate_tag(number, aad, place)) {
            Ok(tag) => out.extend_from_slice(tag.as_ref()),
            Err(_) => {
                place.zeroize();
                out.truncate(start - nonce.len());
                return Err(Error::Failed);
            }
        }
        Ok(())
    }

    /// Opens nonce, ciphertext and tag.
    pub(super) fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Opened, Error> {
        let (nonce, sealed) = sealed.split_first_chunk::<{ aead::NONCE_LEN }>().ok_or(Error::Integrity)?;
        let mut opened = Zeroizing::new(sealed.to_vec());
        let (nonce, aad) = (aead::Nonce::assume_unique_for_key(*nonce), aead::Aad::from(aad));
        let length = wiping_stack::<STACK, _>(|| {
            self.0.open_in_place(nonce, aad, &mut opened).map(|plaintext| plaintext.len())
        });
        opened.truncate(length.map_err(|_| Error::Integrity)?);
        Ok(opened)
    }
}

/// A SHA-256 digest (FIPS 180-4) in progress. It does not prove who made it.
#[derive(Clone)]
pub struct Digest(digest::Context);

impl Default for Digest {
    fn default() -> Self {
        Self::new()
    }
}

impl Digest {
    /// Its length in bytes.
    pub const LENGTH: usize = 32;

    /// The digest of no bytes.
    pub fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of the bytes so far.
    pub fn finish(&self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        for (to, from) in bytes.iter_mut().zip(self.0.clone().finish().as_ref()) {
            *to = *from;
        }
        bytes
    }
}

/// The SHA-256 digest of several parts, one after the other.
pub fn sha256(parts: &[&[u8]]) -> [u8; Digest::LENGTH] {
    let mut digest = Digest::new();
    parts.iter().for_each(|part| digest.update(part));
    digest.finish()
}

/// An HMAC-SHA256 key (RFC 2104).
pub struct MacKey(Box<hmac::Key>);

impl MacKey {
    /// A key of these bytes.
    pub fn new(key: &KeyBytes) -> Self {
        Self(Box::new(hmac::Key::new(hmac::HMAC_SHA256, key.expose())))
    }

    /// The tag over several parts, each with its length before it, so that different lists of parts have different
    /// tags.
    pub fn tag(&self, parts: &[&[u8]]) -> Mac {
        wiping_stack::<STACK, _>(|| {
            let mut context = hmac::Context::with_key(&self.0);
            for part in parts {
                context.update(&(part.len() as u64).to_be_bytes());
                context.update(part);
            }
            let mut tag = [0; 32];
            for (to, from) in tag.iter_mut().zip(context.sign().as_ref()) {
                *to = *from;
            }
            tag
        })
    }

    /// Whether a tag belongs to these parts. Compares in constant time.
    pub fn verify(&self, parts: &[&[u8]], tag: &Mac) -> bool {
        // Compared through another HMAC over both, which ring compares in constant time.
        let computed = self.tag(parts);
        hmac::verify(&self.0, &computed, hmac::sign(&self.0, tag).as_ref()).is_ok()
    }
}

/// An Ed25519 signature (RFC 8032).
pub type Signature = [u8; 64];

/// An Ed25519 key that signs.
pub struct SigningKey {
    pair: Box<Ed25519KeyPair>,
    public: PublicKey,
}

impl SigningKey {
    /// The signing key with this private key.
    pub fn new(key: &KeyBytes) -> Result<Self, Error> {
        let pair =
            Ed25519KeyPair::from_seed_unchecked(key.expose()).map(Box::new).map_err(|_| Error::Failed)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| Error::Failed)?;
        Ok(Self { pair, public: PublicKey(public) })
    }

    /// The key that verifies its signatures.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs a message. The signature of a message is always the same.
    pub fn sign(&self, message: &[u8]) -> Result<Signature, Error> {
        self.pair.sign(message).as_ref().try_into().map_err(|_| Error::Failed)
    }
}

/// An Ed25519 key that verifies signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// Whether the holder of the key signed this message.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        signature::UnparsedPublicKey::new(&signature::ED25519, &self.0).verify(message, signature).is_ok()
    }

    /// A short name of the key: 8 bytes of its SHA-256 digest, in hexadecimal.
    pub fn id(&self) -> String {
        sha256(&[&self.0]).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> KeyBytes {
        KeyBytes::from_slice(&[byte; 32]).unwrap()
    }

    #[test]
    fn opens_only_what_was_sealed_with_this_key_for_this_place() {
        let mut sealed = Vec::new();
        let aead = AeadKey::new(&key(1)).unwrap();
        aead.seal_onto(&mut sealed, b"place", b"value").unwrap();
        assert_eq!(sealed.len(), b"value".len() + AeadKey::OVERHEAD);
        assert_eq!(aead.open(b"place", &sealed).unwrap().as_slice(), b"value");
        assert_eq!(aead.open(b"elsewhere", &sealed).unwrap_err(), Error::Integrity);
        assert_eq!(AeadKey::new(&key(2)).unwrap().open(b"place", &sealed).unwrap_err(), Error::Integrity);
        for bit in 0..sealed.len() * 8 {
            let mut altered = sealed.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(aead.open(b"place", &altered).unwrap_err(), Error::Integrity);
        }
        for length in 0..sealed.len() {
            assert_eq!(aead.open(b"place", &sealed[..length]).unwrap_err(), Error::Integrity);
        }
    }

    #[test]
    fn a_tag_tells_lists_of_parts_apart() {
        let mac = MacKey::new(&key(1));
        assert_ne!(mac.tag(&[b"ab", b"c"]), mac.tag(&[b"a", b"bc"]));
        assert!(mac.verify(&[b"a", b"b"], &mac.tag(&[b"a", b"b"])));
        assert!(!mac.verify(&[b"a", b"b"], &mac.tag(&[b"a", b"c"])));
        assert_ne!(mac.tag(&[b"a"]), MacKey::new(&key(2)).tag(&[b"a"]));
    }

    #[test]
    fn a_signature_is_of_one_message_and_one_key() {
        // RFC 8032, 7.1, test 2.
        let hex = |text: &str| data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap();
        let seed = hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
        let signing = SigningKey::new(&KeyBytes::from_slice(&seed).unwrap()).unwrap();
        let public = hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        assert_eq!(signing.public().0.as_slice(), public);
        let signature = signing.sign(&[0x72]).unwrap();
        let expected = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                        085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
        assert_eq!(signature.as_slice(), hex(expected));
        assert!(signing.public().verify(&[0x72], &signature));
        assert!(!signing.public().verify(&[0x73], &signature));
        assert!(!signing.public().verify(&[0x72], &signature[..63]));
        let other = SigningKey::new(&key(1)).unwrap();
        assert!(!other.public().verify(&[0x72], &signature));
        assert_ne!(other.public().id(), signing.public().id());
    }

    #[test]
    fn derived_keys_differ_by_purpose_and_from_their_source() {
        let source = key(7);
        let (a, b) = (source.derive("a").unwrap(), source.derive("b").unwrap());
        assert_ne!(a.expose(), b.expose());
        assert_ne!(a.expose(), source.expose());
        assert_eq!(a.expose(), key(7).derive("a").unwrap().expose());
    }
}
