use zeroize::Zeroizing;

use super::aead::{Error, KeyBytes};
use super::envelope::{SealingKey, SealingKeys};

/// One generation of a key. A rekey makes the next generation, seals everything again with it, and then removes the
/// earlier ones.
pub(super) struct Generation {
    pub(super) number: u32,
    /// How many seals the store had seen when the generation was made. The seals since then bound how many are its
    /// own.
    pub(super) since: u64,
    pub(super) key: KeyBytes,
}

/// The generations of a key, oldest first. Never empty.
pub(super) struct Generations(Vec<Generation>);

impl Generations {
    /// The length of one generation in encoded form, in bytes.
    pub(super) const ENCODED: usize = 4 + 8 + 32;

    /// A new key.
    pub(super) fn first(since: u64) -> Result<Self, Error> {
        Ok(Self(vec![Generation { number: 1, since, key: KeyBytes::generate()? }]))
    }

    /// These generations; `None` where there are none, or they are not in order.
    pub(super) fn of(generations: Vec<Generation>) -> Result<Self, Error> {
        let ordered = generations.is_sorted_by(|a, b| a.number < b.number);
        if generations.is_empty() || !ordered { Err(Error::Integrity) } else { Ok(Self(generations)) }
    }

    /// The encoded form of these generations and one more, which seals from then on.
    pub(super) fn encode_with_next(&self, since: u64) -> Result<Zeroizing<Vec<u8>>, Error> {
        let number = self.newest()?.number.checked_add(1).ok_or(Error::Failed)?;
        let next = Generation { number, since, key: KeyBytes::generate()? };
        Ok(encode(&self.0.iter().chain([&next]).collect::<Vec<_>>()))
    }

    /// The encoded form of the newest generation alone.
    pub(super) fn encode_newest(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        Ok(encode(&[self.newest()?]))
    }

    /// For each generation its number (4 bytes, big-endian), the count that it was made at (8), and its key (32).
    pub(super) fn encode(&self) -> Zeroizing<Vec<u8>> {
        encode(&self.0.iter().collect::<Vec<_>>())
    }

    /// Decodes generations.
    pub(super) fn decode(encoded: &[u8]) -> Result<Self, Error> {
        let chunks = encoded.chunks_exact(Self::ENCODED);
        if !chunks.remainder().is_empty() {
            return Err(Error::Integrity);
        }
        let decode = |chunk: &[u8]| {
            let (number, rest) = chunk.split_first_chunk()?;
            let (since, key) = rest.split_first_chunk()?;
            let (number, since) = (u32::from_be_bytes(*number), u64::from_be_bytes(*since));
            Some(Generation { number, since, key: KeyBytes::from_slice(key)? })
        };
        let generations: Option<Vec<_>> = chunks.map(decode).collect();
        Self::of(generations.ok_or(Error::Integrity)?)
    }

    pub(super) fn newest(&self) -> Result<&Generation, Error> {
        self.0.last().ok_or(Error::Failed)
    }

    /// The numbers, oldest first.
    pub(super) fn numbers(&self) -> Vec<u32> {
        self.0.iter().map(|generation| generation.number).collect()
    }

    /// The sealing keys derived from the generations for a purpose; `None`: from their keys themselves.
    pub(super) fn sealing(&self, purpose: Option<&'static str>) -> Result<SealingKeys, Error> {
        let derived = |generation: &Generation| match purpose {
            Some(purpose) => SealingKey::new(generation.number, &generation.key.derive(purpose)?),
            None => SealingKey::new(generation.number, &generation.key),
        };
        let mut keys = self.0.iter().map(derived).collect::<Result<Vec<_>, _>>()?;
        let newest = keys.pop().ok_or(Error::Failed)?;
        Ok(SealingKeys::new(newest, keys))
    }
}

fn encode(generations: &[&Generation]) -> Zeroizing<Vec<u8>> {
    // Reserved whole: growing would leave copies of keys behind.
    let mut encoded = Zeroizing::new(Vec::with_capacity(generations.len() * Generations::ENCODED));
    for generation in generations {
        encoded.extend_from_slice(&generation.number.to_be_bytes());
        encoded.extend_from_slice(&generation.since.to_be_bytes());
        encoded.extend_from_slice(generation.key.expose());
    }
    encoded
}
