use std::sync::{Arc, Mutex, PoisonError};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::Zeroizing;

use super::key::Root;
use crate::crypto::aead::{Error, KeyBytes, random};

/// The parameters by which Argon2id (RFC 9106, version 0x13) derives a key from a passphrase.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::crypto) struct Stretch {
    /// In KiB.
    memory: u32,
    passes: u32,
    lanes: u32,
    salt: [u8; 16],
}

impl Stretch {
    /// Memory, passes and lanes (4 bytes each, big-endian), salt (16).
    pub(in crate::crypto) const LENGTH: usize = 28;

    /// The second recommended option of RFC 9106, section 4: 64 MiB, three passes, four lanes.
    fn new() -> Result<Self, Error> {
        Ok(Self { memory: 64 * 1024, passes: 3, lanes: 4, salt: random()? })
    }

    fn is_recommended(&self) -> bool {
        (self.memory, self.passes, self.lanes) == (64 * 1024, 3, 4)
    }

    pub(in crate::crypto) fn encode_onto(&self, out: &mut Vec<u8>) {
        for number in [self.memory, self.passes, self.lanes] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(&self.salt);
    }

    /// Decodes parameters. `None` far beyond those of any release: an altered record must not cost more than 256
    /// MiB and a few seconds.
    pub(in crate::crypto) fn decode(bytes: &[u8; Self::LENGTH]) -> Option<Self> {
        let (memory, rest) = bytes.split_first_chunk()?;
        let (passes, rest) = rest.split_first_chunk()?;
        let (lanes, salt) = rest.split_first_chunk()?;
        let number = |bytes: &[u8; 4]| u32::from_be_bytes(*bytes);
        let (memory, passes, lanes) = (number(memory), number(passes), number(lanes));
        let bounded = (1..=8).contains(&lanes)
            && (1..=8).contains(&passes)
            && (8 * lanes..=256 * 1024).contains(&memory);
        bounded.then_some(Self { memory, passes, lanes, salt: *salt.first_chunk()? })
    }
}

/// A passphrase, and the keys derived from it so far.
pub(super) struct Passphrase {
    text: Zeroizing<Vec<u8>>,
    made: Mutex<Vec<Made>>,
}

struct Made {
    stretch: Stretch,
    root: Arc<Root>,
    /// Whether something was sealed or opened with the key.
    kept: bool,
}

/// The largest number of derived keys to remember.
const REMEMBERED: usize = 8;

impl Passphrase {
    pub(super) fn new(text: &[u8]) -> Self {
        Self { text: Zeroizing::new(text.to_vec()), made: Mutex::default() }
    }

    /// The key to seal with: a remembered one, or else a new one.
    pub(super) fn root(&self) -> Result<(Stretch, Arc<Root>), Error> {
        if let Some(kept) = self.kept(|stretch, _| stretch.is_recommended()) {
            return Ok(kept);
        }
        let stretch = Stretch::new()?;
        let root = self.stretched(stretch)?;
        self.keep(stretch);
        Ok((stretch, root))
    }

    /// The first remembered key that meets a condition.
    pub(super) fn kept(&self, is: impl Fn(&Stretch, &Root) -> bool) -> Option<(Stretch, Arc<Root>)> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = made.iter().find(|made| made.kept && is(&made.stretch, &made.root));
        kept.map(|made| (made.stretch, made.root.clone()))
    }

    /// Derives a key. One at a time: each takes its memory.
    pub(super) fn stretched(&self, stretch: Stretch) -> Result<Arc<Root>, Error> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = made.iter().find(|made| made.stretch == stretch) {
            return Ok(made.root.clone());
        }
        let root = Arc::new(Root::new(derive(&self.text, &stretch)?)?);
        if made.len() == REMEMBERED {
            let oldest = made.iter().position(|made| !made.kept).unwrap_or(1);
            made.remove(oldest);
        }
        made.push(Made { stretch, root: root.clone(), kept: false });
        Ok(root)
    }

    pub(super) fn keep(&self, stretch: Stretch) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        for made in made.iter_mut().filter(|made| made.stretch == stretch) {
            made.kept = true;
        }
    }
}

fn derive(passphrase: &[u8], stretch: &Stretch) -> Result<KeyBytes, Error> {
    let Stretch { memory, passes, lanes, salt } = stretch;
    let mut key = Zeroizing::new([0; 32]);
    let params = Params::new(*memory, *passes, *lanes, Some(key.len())).map_err(|_| Error::Failed)?;
    let mut blocks = Zeroizing::new(Vec::new());
    blocks.try_reserve_exact(params.block_count()).map_err(|_| Error::Failed)?;
    blocks.resize(params.block_count(), Block::new());
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(passphrase, salt, &mut *key, blocks.as_mut_slice())
        .map_err(|_| Error::Failed)?;
    KeyBytes::from_slice(&*key).ok_or(Error::Failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Stretch = Stretch { memory: 64, passes: 1, lanes: 1, salt: [7; 16] };

    #[test]
    fn what_is_beyond_every_release_is_refused_before_it_costs_anything() {
        let decode = |stretch: Stretch| {
            let mut bytes = Vec::new();
            stretch.encode_onto(&mut bytes);
            Stretch::decode(bytes.first_chunk().unwrap())
        };
        assert!(decode(QUICK) == Some(QUICK));
        assert!(decode(Stretch { memory: 256 * 1024, passes: 8, lanes: 8, ..QUICK }).is_some());
        for beyond in [
            Stretch { memory: 256 * 1024 + 1, ..QUICK },
            Stretch { memory: 7, ..QUICK },
            Stretch { memory: u32::MAX, ..QUICK },
            Stretch { passes: 0, ..QUICK },
            Stretch { passes: 9, ..QUICK },
            Stretch { lanes: 0, ..QUICK },
            Stretch { lanes: 9, memory: 1024, ..QUICK },
            Stretch { lanes: u32::MAX, ..QUICK },
        ] {
            assert!(decode(beyond).is_none());
        }
    }

    #[test]
    fn a_key_is_made_once_and_what_opened_something_is_sealed_with() {
        let passphrase = Passphrase::new(b"correct horse battery staple");
        let recommended = Stretch { memory: 64 * 1024, passes: 3, lanes: 4, salt: [1; 16] };
        let root = passphrase.stretched(recommended).unwrap();
        assert!(Arc::ptr_eq(&root, &passphrase.stretched(recommended).unwrap()));
        // Not proven to open anything yet: the salt could be anybody's.
        let (new, made) = passphrase.root().unwrap();
        assert!(new != recommended && made.id() != root.id());
        assert!(passphrase.root().unwrap().0 == new);

        let passphrase = Passphrase::new(b"correct horse battery staple");
        let again = passphrase.stretched(recommended).unwrap();
        assert_eq!(again.id(), root.id());
        passphrase.keep(recommended);
        assert!(passphrase.root().unwrap().0 == recommended);
    }

    #[test]
    fn not_more_than_some_keys_are_remembered_and_those_kept_are() {
        let passphrase = Passphrase::new(b"correct horse battery staple");
        let first = passphrase.stretched(QUICK).unwrap();
        passphrase.keep(QUICK);
        for salt in 0..20 {
            passphrase.stretched(Stretch { salt: [100 + salt; 16], ..QUICK }).unwrap();
        }
        assert_eq!(passphrase.made.lock().unwrap().len(), REMEMBERED);
        assert!(Arc::ptr_eq(&first, &passphrase.stretched(QUICK).unwrap()));
    }
}
