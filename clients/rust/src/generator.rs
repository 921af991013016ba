//! Where a new value comes from, and when the service makes new ones.

use std::time::Duration;

use crate::plaintext::Value;
use crate::v1::{
    self, BytesEncoding, BytesGenerator, CharacterClass, KeyPairAlgorithm, KeyPairGenerator,
    PassphraseGenerator, PasswordGenerator, UuidGenerator, generator::Kind,
};

/// Where a new value comes from: the caller gives it, or the service generates it. Text, bytes, a [`Value`] and a [`Generator`]
/// convert into it.
#[non_exhaustive]
pub enum NewValue {
    /// This value.
    Given(Value),
    /// One that the service generates.
    Generated(Generator),
    /// One that the generator of the secret's rotation policy makes. Only for a rotation.
    ByPolicy,
}

impl NewValue {
    /// The two fields of a request, of which at most one is set.
    pub(crate) fn sent(self) -> (Option<v1::SecretValue>, Option<v1::Generator>) {
        match self {
            Self::Given(value) => (Some(value.sent()), None),
            Self::Generated(Generator(generator)) => (None, Some(generator)),
            Self::ByPolicy => (None, None),
        }
    }
}

impl<V: Into<Value>> From<V> for NewValue {
    fn from(value: V) -> Self {
        Self::Given(value.into())
    }
}

impl From<Generator> for NewValue {
    fn from(generator: Generator) -> Self {
        Self::Generated(generator)
    }
}

/// How the service generates a value. The random bits come from its operating system.
#[derive(Clone, Debug, PartialEq)]
pub struct Generator(v1::Generator);

impl Generator {
    fn of(kind: Kind) -> Self {
        Self(v1::Generator { kind: Some(kind) })
    }

    /// Letters and digits, 8 to 4,096 of them.
    pub fn password(length: u32) -> Self {
        Self::of(Kind::Password(PasswordGenerator { length: Some(length), ..Default::default() }))
    }

    /// The same password with at least one character of each of these classes.
    #[must_use]
    pub fn requiring(mut self, classes: impl IntoIterator<Item = CharacterClass>) -> Self {
        if let Some(Kind::Password(password)) = &mut self.0.kind {
            password.required = classes.into_iter().map(Into::into).collect();
        }
        self
    }

    /// The same password with characters of this alphabet: 2 or more different printable ASCII characters, no space.
    #[must_use]
    pub fn of_alphabet(mut self, alphabet: impl Into<String>) -> Self {
        if let Some(Kind::Password(password)) = &mut self.0.kind {
            password.alphabet = alphabet.into();
        }
        self
    }

    /// Random bytes, 16 to 4,096 of them.
    pub fn bytes(length: u32, encoding: BytesEncoding) -> Self {
        Self::of(Kind::Bytes(BytesGenerator { length: Some(length), encoding: encoding.into() }))
    }

    /// A random UUID as text.
    pub fn uuid() -> Self {
        Self::of(Kind::Uuid(UuidGenerator {}))
    }

    /// Words of a public list with hyphens between them, 4 to 64.
    pub fn passphrase(words: u32) -> Self {
        Self::of(Kind::Passphrase(PassphraseGenerator { words: Some(words), separator: None }))
    }

    /// A private key in PEM. The public key goes into the metadata `public_key`.
    pub fn key_pair(algorithm: KeyPairAlgorithm) -> Self {
        Self::of(Kind::KeyPair(KeyPairGenerator { algorithm: algorithm.into() }))
    }
}

/// When and how the service rotates a secret.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RotationPolicy {
    /// The time between two rotations, 1 second to 10 years. `None`: only on request.
    pub interval: Option<Duration>,
    /// Makes the new values, so that the service rotates by itself. `None`: a worker does, with
    /// [`Client::claim_rotation`](crate::Client::claim_rotation).
    pub generator: Option<Generator>,
    /// How long the former version stays readable by its number. `None`: as long as the service keeps it.
    pub grace_period: Option<Duration>,
    /// The time of day (UTC) within which rotations are made, such as `02:00-04:00`. Empty: at any time.
    pub window: String,
    /// Make no rotations until the policy is changed.
    pub paused: bool,
    /// Disable the former version as soon as each of its consumers uses a newer one. It needs `grace_period`.
    pub retire_when_unread: bool,
}

impl RotationPolicy {
    pub(crate) fn of(sent: v1::RotationPolicy) -> Self {
        Self {
            interval: sent.interval.and_then(|interval| interval.try_into().ok()),
            generator: sent.generator.map(Generator),
            grace_period: sent.grace_period.and_then(|grace| grace.try_into().ok()),
            window: sent.window,
            paused: sent.paused,
            retire_when_unread: sent.retire_when_unread,
        }
    }

    pub(crate) fn sent(self) -> v1::RotationPolicy {
        v1::RotationPolicy {
            interval: self.interval.map(span),
            generator: self.generator.map(|Generator(generator)| generator),
            grace_period: self.grace_period.map(span),
            window: self.window,
            paused: self.paused,
            retire_when_unread: self.retire_when_unread,
        }
    }
}

/// The message of a time span. One that it cannot express is longer than any that the service accepts.
pub(crate) fn span(duration: Duration) -> prost_types::Duration {
    const LONGEST: prost_types::Duration = prost_types::Duration { seconds: i64::MAX, nanos: 0 };
    duration.try_into().unwrap_or(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_comes_back_as_it_was_sent() {
        let policy = RotationPolicy {
            interval: Some(Duration::from_secs(3600)),
            generator: Some(Generator::password(40).requiring([CharacterClass::Digit]).of_alphabet("abc123")),
            grace_period: Some(Duration::from_millis(1500)),
            window: "02:00-04:00".into(),
            paused: true,
            retire_when_unread: true,
        };
        assert_eq!(RotationPolicy::of(policy.clone().sent()), policy);
        assert_eq!(RotationPolicy::of(RotationPolicy::default().sent()), RotationPolicy::default());
    }

    #[test]
    fn a_new_value_is_given_or_generated() {
        let sent = |value: NewValue| {
            let (value, generator) = value.sent();
            (value.is_some(), generator.is_some())
        };
        assert_eq!(sent("text".into()), (true, false));
        assert_eq!(sent(vec![0, 255].into()), (true, false));
        assert_eq!(sent(Generator::uuid().into()), (false, true));
        assert_eq!(sent(NewValue::ByPolicy), (false, false));
    }
}
