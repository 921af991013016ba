//! The rotation of a secret in its record.

use std::time::Duration;

use prost::Message;

use crate::domain::{
    BytesEncoding, CharacterClass, Claim, ClaimId, DailyWindow, Generator, KeyPairAlgorithm, Rotation,
    RotationFailure, RotationPolicy, Timestamp,
};

/// The rotation of a secret. Times are microseconds since 1970, durations are microseconds.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RotationRecord {
    #[prost(uint64, optional, tag = "1")]
    interval: Option<u64>,
    #[prost(message, optional, tag = "2")]
    generator: Option<GeneratorRecord>,
    #[prost(uint64, optional, tag = "3")]
    grace_period: Option<u64>,
    /// The first minute of the day (UTC), and the one at which the window ends; both 0: no window.
    #[prost(uint32, tag = "4")]
    window_start: u32,
    #[prost(uint32, tag = "5")]
    window_end: u32,
    #[prost(bool, tag = "6")]
    paused: bool,
    #[prost(bool, tag = "7")]
    retire_when_unread: bool,
    #[prost(int64, optional, tag = "8")]
    next_at: Option<i64>,
    #[prost(bool, tag = "9")]
    due_told: bool,
    #[prost(message, optional, tag = "10")]
    claim: Option<ClaimRecord>,
    #[prost(message, optional, tag = "11")]
    failure: Option<FailureRecord>,
}

/// A claim on a rotation.
#[derive(Clone, PartialEq, prost::Message)]
struct ClaimRecord {
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(string, tag = "2")]
    principal: String,
    #[prost(int64, tag = "3")]
    expires_at: i64,
}

/// Attempts that failed.
#[derive(Clone, PartialEq, prost::Message)]
struct FailureRecord {
    #[prost(uint32, tag = "1")]
    attempts: u32,
    #[prost(int64, tag = "2")]
    failed_at: i64,
    #[prost(string, tag = "3")]
    error: String,
    #[prost(int64, tag = "4")]
    retry_at: i64,
}

/// How the server makes a value.
#[derive(Clone, PartialEq, prost::Message)]
struct GeneratorRecord {
    /// 1 password, 2 bytes, 3 UUID, 4 passphrase, 5 key pair.
    #[prost(uint32, tag = "1")]
    kind: u32,
    /// The number of characters, bytes or words.
    #[prost(uint32, tag = "2")]
    length: u32,
    /// The alphabet of a password.
    #[prost(string, tag = "3")]
    alphabet: String,
    /// The encoding of bytes: 1 base64url, 2 hexadecimal, 3 the bytes themselves.
    #[prost(uint32, tag = "4")]
    encoding: u32,
    /// The classes that a password must have, one bit each: 1 lower, 2 upper, 4 digit, 8 symbol.
    #[prost(uint32, tag = "5")]
    required: u32,
    /// The text between the words of a passphrase.
    #[prost(string, tag = "6")]
    separator: String,
    /// The kind of a key pair: 1 Ed25519, 2 ECDSA on P-256.
    #[prost(uint32, tag = "7")]
    algorithm: u32,
}

const CLASSES: [(u32, CharacterClass); 4] = [
    (1, CharacterClass::Lower),
    (2, CharacterClass::Upper),
    (4, CharacterClass::Digit),
    (8, CharacterClass::Symbol),
];

impl RotationRecord {
    pub(super) fn of(rotation: &Rotation) -> Self {
        let Rotation { policy, next_at, due_told, claim, failure } = rotation;
        let (window_start, window_end) = policy.window.map(DailyWindow::minutes).unwrap_or_default();
        Self {
            interval: policy.interval.map(micros),
            generator: policy.generator.as_ref().map(GeneratorRecord::of),
            grace_period: policy.grace_period.map(micros),
            window_start: window_start.into(),
            window_end: window_end.into(),
            paused: policy.paused,
            retire_when_unread: policy.retire_when_unread,
            next_at: next_at.map(Timestamp::as_micros),
            due_told: *due_told,
            claim: claim.as_ref().map(|claim| ClaimRecord {
                id: claim.id.as_bytes().to_vec(),
                principal: claim.principal.to_string(),
                expires_at: claim.expires_at.as_micros(),
            }),
            failure: failure.as_ref().map(|failure| FailureRecord {
                attempts: failure.attempts,
                failed_at: failure.failed_at.as_micros(),
                error: failure.error.to_string(),
                retry_at: failure.retry_at.as_micros(),
            }),
        }
    }

    /// `None` where this is no rotation that a secret can have.
    pub(super) fn rotation(&self) -> Option<Rotation> {
        let window = match (self.window_start, self.window_end) {
            (0, 0) => None,
            (start, end) => Some(DailyWindow::of_minutes(start.try_into().ok()?, end.try_into().ok()?)?),
        };
        let generator = match &self.generator {
            Some(generator) => Some(generator.generator()?),
            None => None,
        };
        let claim = match &self.claim {
            Some(claim) => Some(Claim {
                id: ClaimId::from_bytes(claim.id.as_slice().try_into().ok()?),
                principal: claim.principal.as_str().into(),
                expires_at: Timestamp::from_micros(claim.expires_at),
            }),
            None => None,
        };
        Some(Rotation {
            policy: RotationPolicy {
                interval: self.interval.map(Duration::from_micros),
                generator,
                grace_period: self.grace_period.map(Duration::from_micros),
                window,
                paused: self.paused,
                retire_when_unread: self.retire_when_unread,
            },
            next_at: self.next_at.map(Timestamp::from_micros),
            due_told: self.due_told,
            claim,
            failure: self.failure.as_ref().map(|failure| RotationFailure {
                attempts: failure.attempts,
                failed_at: Timestamp::from_micros(failure.failed_at),
                error: failure.error.as_str().into(),
                retry_at: Timestamp::from_micros(failure.retry_at),
            }),
        })
    }
}

impl GeneratorRecord {
    fn of(generator: &Generator) -> Self {
        let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        match generator {
            Generator::Password { length: characters, alphabet, required } => Self {
                kind: 1,
                length: length(*characters),
                alphabet: alphabet.iter().copied().map(char::from).collect(),
                required: CLASSES
                    .iter()
                    .filter(|(_, class)| required.contains(class))
                    .map(|(bit, _)| bit)
                    .sum(),
                ..Self::default()
            },
            Generator::Bytes { length: bytes, encoding } => Self {
                kind: 2,
                length: length(*bytes),
                encoding: match encoding {
                    BytesEncoding::Base64Url => 1,
                    BytesEncoding::Hex => 2,
                    BytesEncoding::Raw => 3,
                },
                ..Self::default()
            },
            Generator::Uuid => Self { kind: 3, ..Self::default() },
            Generator::Passphrase { words, separator } => {
                Self { kind: 4, length: length(*words), separator: separator.to_string(), ..Self::default() }
            }
            Generator::KeyPair(algorithm) => Self {
                kind: 5,
                algorithm: match algorithm {
                    KeyPairAlgorithm::Ed25519 => 1,
                    KeyPairAlgorithm::EcdsaP256 => 2,
                },
                ..Self::default()
            },
        }
    }

    fn generator(&self) -> Option<Generator> {
        match (self.kind, self.encoding) {
            (1, _) => {
                let required = CLASSES.iter().filter(|(bit, _)| self.required & bit != 0);
                let required = required.map(|(_, class)| *class).collect();
                Generator::password(Some(self.length), &self.alphabet, required).ok()
            }
            (2, 1) => Generator::bytes(Some(self.length), BytesEncoding::Base64Url).ok(),
            (2, 2) => Generator::bytes(Some(self.length), BytesEncoding::Hex).ok(),
            (2, 3) => Generator::bytes(Some(self.length), BytesEncoding::Raw).ok(),
            (3, _) => Some(Generator::Uuid),
            (4, _) => Generator::passphrase(Some(self.length), Some(&self.separator)).ok(),
            (5, _) => match self.algorithm {
                1 => Some(Generator::KeyPair(KeyPairAlgorithm::Ed25519)),
                2 => Some(Generator::KeyPair(KeyPairAlgorithm::EcdsaP256)),
                _ => None,
            },
            _ => None,
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Encodes how a secret is rotated.
pub fn encode_rotation(rotation: &Rotation) -> Vec<u8> {
    RotationRecord::of(rotation).encode_to_vec()
}

/// Decodes how a secret is rotated; `None` where the bytes do not say it.
pub fn decode_rotation(clear: &[u8]) -> Option<Rotation> {
    RotationRecord::decode(clear).ok()?.rotation()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A rotation with everything that one can have.
    pub(crate) fn rotation() -> Rotation {
        Rotation {
            policy: RotationPolicy {
                interval: Some(Duration::from_secs(3600)),
                generator: Some(Generator::password(Some(20), "abc", Vec::new()).unwrap()),
                grace_period: Some(Duration::from_secs(60)),
                window: Some(DailyWindow::parse("22:00-02:30").unwrap()),
                paused: true,
                retire_when_unread: true,
            },
            next_at: Some(Timestamp::from_micros(100)),
            due_told: true,
            claim: Some(Claim {
                id: ClaimId::from_bytes([5; 16]),
                principal: "key:abcdefghijklmnop".into(),
                expires_at: Timestamp::from_micros(200),
            }),
            failure: Some(RotationFailure {
                attempts: 2,
                failed_at: Timestamp::from_micros(80),
                error: "the database refused the password".into(),
                retry_at: Timestamp::from_micros(300),
            }),
        }
    }

    #[test]
    fn a_rotation_comes_back_with_each_kind_of_generator() {
        let generators = [
            None,
            Some(Generator::password(None, "", vec![CharacterClass::Digit, CharacterClass::Symbol]).unwrap()),
            Some(Generator::bytes(Some(16), BytesEncoding::Raw).unwrap()),
            Some(Generator::bytes(None, BytesEncoding::Hex).unwrap()),
            Some(Generator::bytes(None, BytesEncoding::Base64Url).unwrap()),
            Some(Generator::Uuid),
            Some(Generator::passphrase(None, None).unwrap()),
            Some(Generator::KeyPair(KeyPairAlgorithm::Ed25519)),
            Some(Generator::KeyPair(KeyPairAlgorithm::EcdsaP256)),
        ];
        for generator in generators {
            let mut rotation = rotation();
            rotation.policy.generator = generator;
            assert_eq!(RotationRecord::of(&rotation).rotation(), Some(rotation));
        }
    }

    #[test]
    fn a_rotation_that_no_secret_can_have_is_refused() {
        let record = RotationRecord::of(&rotation());
        let wrong = [
            RotationRecord { window_start: 60, window_end: 60, ..record.clone() },
            RotationRecord { window_end: 1440, ..record.clone() },
            RotationRecord {
                generator: Some(GeneratorRecord { kind: 9, ..Default::default() }),
                ..record.clone()
            },
            RotationRecord { claim: Some(ClaimRecord { id: vec![1; 15], ..Default::default() }), ..record },
        ];
        for wrong in wrong {
            assert_eq!(wrong.rotation(), None, "{wrong:?}");
        }
    }
}
