//! Converts between messages and the domain's types, for several services.

use std::collections::BTreeMap;
use std::mem;
use std::time::Duration;

use prost::Message;
use prost_types::Timestamp as WireTimestamp;
use zeroize::Zeroizing;

use super::proto as v1;
use super::proto::{generator, secret_value};
use crate::api::request::Fields;
use crate::app::{App, Idempotency, ValueSource};
use crate::domain::{
    BytesEncoding, CharacterClass, DEFAULT_LIMIT, DailyWindow, Generator, Invalid, KeyPairAlgorithm,
    MAX_LIMIT, Metadata, RequestId, Revision, RotationPolicy, Secret, Timestamp, Value,
};

const NO_VALUE: Invalid = Invalid::new("must have text or binary");

/// The value of a message.
pub(super) fn value(mut value: v1::SecretValue) -> Result<Value, Invalid> {
    match value.kind.take() {
        Some(secret_value::Kind::Text(text)) => Value::text(text),
        Some(secret_value::Kind::Binary(bytes)) => Value::binary(bytes),
        Some(secret_value::Kind::Redacted(_)) | None => Err(NO_VALUE),
    }
}

/// The source of a new value: exactly one of a value and a generator.
pub(super) fn source(
    given: Option<v1::SecretValue>,
    generate: Option<v1::Generator>,
    return_value: bool,
    fields: &mut Fields,
) -> Option<ValueSource> {
    const RETURN: &str = "must not be set without generate: a value that you send is not returned";
    fields.require(generate.is_some() || !return_value, "return_value", RETURN);
    match (given, generate) {
        (Some(given), None) => fields.check("value", value(given)).map(ValueSource::Value),
        (None, Some(generate)) => {
            let generator = fields.check("generate", generator(generate))?;
            Some(ValueSource::Generate { generator, reveal: return_value })
        }
        (Some(given), Some(_)) => {
            drop(value(given)); // as a domain value, it is wiped
            fields.require(false, "value", "must not be set together with generate: give one of the two");
            None
        }
        (None, None) => {
            fields.require(false, "value", "is required: give a value, or a generator in generate");
            None
        }
    }
}

/// The same for a rotation, which can also leave the value to the generator of the rotation policy: `Some(None)`.
pub(super) fn rotation_source(
    given: Option<v1::SecretValue>,
    generate: Option<v1::Generator>,
    return_value: bool,
    fields: &mut Fields,
) -> Option<Option<ValueSource>> {
    if given.is_none() && generate.is_none() && !return_value {
        return Some(None);
    }
    source(given, generate, return_value, fields).map(Some)
}

/// The rotation policy of a request.
pub(super) fn rotation_policy(policy: v1::RotationPolicy, fields: &mut Fields) -> Option<RotationPolicy> {
    let mut span = |field, span: Option<prost_types::Duration>, limits| match span {
        Some(span) => fields.check(field, span_within(span, limits)).map(Some),
        None => Some(None),
    };
    let interval = span("rotation_policy.interval", policy.interval, SECOND_TO_TEN_YEARS);
    let grace_period = span("rotation_policy.grace_period", policy.grace_period, MOMENT_TO_TEN_YEARS);
    const NEEDS_GRACE: &str =
        "must not be set without grace_period: without one, the former version does not retire";
    fields.require(
        policy.grace_period.is_some() || !policy.retire_when_unread,
        "rotation_policy.retire_when_unread",
        NEEDS_GRACE,
    );
    let window = match &*policy.window {
        "" => Some(None),
        window => fields.check("rotation_policy.window", DailyWindow::parse(window)).map(Some),
    };
    let generator = match policy.generator {
        Some(generate) => fields.check("rotation_policy.generator", generator(generate)).map(Some),
        None => Some(None),
    };
    Some(RotationPolicy {
        interval: interval?,
        generator: generator?,
        grace_period: grace_period?,
        window: window?,
        paused: policy.paused,
        retire_when_unread: policy.retire_when_unread,
    })
}

fn generator(generate: v1::Generator) -> Result<Generator, Invalid> {
    match generate.kind {
        Some(generator::Kind::Password(password)) => {
            let required = password.required.into_iter().map(character_class).collect::<Result<_, _>>()?;
            Generator::password(password.length, &password.alphabet, required)
        }
        Some(generator::Kind::Bytes(bytes)) => Generator::bytes(bytes.length, encoding(bytes.encoding)?),
        Some(generator::Kind::Uuid(v1::UuidGenerator {})) => Ok(Generator::Uuid),
        Some(generator::Kind::Passphrase(passphrase)) => {
            Generator::passphrase(passphrase.words, passphrase.separator.as_deref())
        }
        Some(generator::Kind::KeyPair(pair)) => match v1::KeyPairAlgorithm::try_from(pair.algorithm) {
            Ok(v1::KeyPairAlgorithm::Ed25519) => Ok(Generator::KeyPair(KeyPairAlgorithm::Ed25519)),
            Ok(v1::KeyPairAlgorithm::EcdsaP256) => Ok(Generator::KeyPair(KeyPairAlgorithm::EcdsaP256)),
            Ok(v1::KeyPairAlgorithm::Unspecified) | Err(_) => {
                Err(Invalid::new("must have a known key_pair.algorithm: ed25519 or ecdsa-p256"))
            }
        },
        None => Err(Invalid::new("must have password, bytes, uuid, passphrase or key_pair")),
    }
}

fn character_class(number: i32) -> Result<CharacterClass, Invalid> {
    match v1::CharacterClass::try_from(number) {
        Ok(v1::CharacterClass::Lower) => Ok(CharacterClass::Lower),
        Ok(v1::CharacterClass::Upper) => Ok(CharacterClass::Upper),
        Ok(v1::CharacterClass::Digit) => Ok(CharacterClass::Digit),
        Ok(v1::CharacterClass::Symbol) => Ok(CharacterClass::Symbol),
        Ok(v1::CharacterClass::Unspecified) | Err(_) => {
            Err(Invalid::new("must have known classes in password.required: lower, upper, digit or symbol"))
        }
    }
}

fn encoding(number: i32) -> Result<BytesEncoding, Invalid> {
    match v1::BytesEncoding::try_from(number) {
        Ok(v1::BytesEncoding::Unspecified | v1::BytesEncoding::Base64url) => Ok(BytesEncoding::Base64Url),
        Ok(v1::BytesEncoding::Hex) => Ok(BytesEncoding::Hex),
        Ok(v1::BytesEncoding::Raw) => Ok(BytesEncoding::Raw),
        Err(_) => Err(Invalid::new("must have a known bytes.encoding: base64url, hex or raw")),
    }
}

/// The metadata of a request.
pub(super) fn metadata(pairs: BTreeMap<String, String>, fields: &mut Fields) -> Option<Metadata> {
    fields.check("metadata", Metadata::parse(pairs))
}

/// The request id and the body of a message that has a request id in the given field. Called before anything is moved out of the
/// message.
pub(super) fn idempotency<M: Message>(
    rpc: &str,
    message: &mut M,
    request_id: impl FnOnce(&mut M) -> &mut String,
    fields: &mut Fields,
) -> Option<Option<Idempotency>> {
    let text = request_id(message);
    let id = fields.check("request_id", RequestId::parse(text))?;
    if let Some(id) = id {
        // The body is the same in whatever form the id is written.
        *text = id.to_string();
    }
    Some(id.map(|id| {
        // The capacity is reserved at once: growing would leave copies of the value behind.
        let mut body = Zeroizing::new(Vec::with_capacity(rpc.len() + 1 + message.encoded_len()));
        body.extend_from_slice(rpc.as_bytes());
        body.push(0);
        message.encode_raw(&mut *body);
        Idempotency { id, body }
    }))
}

/// The `min_revision` of a change. It is taken out of the message, before [`idempotency`] is called, since it is no part of what a
/// repeated request is compared with.
pub(super) fn min_revision(field: &mut u64) -> Revision {
    Revision(mem::take(field))
}

/// Refuses a number in the field `consistency` that this release does not know.
pub(super) fn consistency(number: i32, fields: &mut Fields) {
    const UNKNOWN: Invalid = Invalid::new("must be CONSISTENCY_LINEARIZABLE or CONSISTENCY_CACHED");
    fields.check("consistency", v1::Consistency::try_from(number).map_err(|_| UNKNOWN));
}

/// The etag that a request names, if any.
pub(super) fn etag(etag: &str) -> Option<Box<str>> {
    (!etag.is_empty()).then(|| etag.into())
}

/// A value in a reply that does not tell it.
pub(super) fn hidden() -> v1::SecretValue {
    v1::SecretValue { kind: Some(secret_value::Kind::Redacted(v1::Redaction::Encrypted.into())) }
}

/// A secret in a reply, with its value redacted.
pub(super) fn redacted(app: &App, secret: &Secret) -> v1::Secret {
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    let rotation = secret.rotation.as_deref();
    v1::Secret {
        namespace: secret.namespace.to_string(),
        name: secret.name.to_string(),
        id: secret.id.to_string(),
        value: Some(hidden()),
        description: secret.description.as_str().to_owned(),
        metadata: secret.metadata.iter().map(owned).collect(),
        version: secret.version,
        created_at: Some(timestamp(secret.created_at)),
        updated_at: Some(timestamp(secret.updated_at)),
        rotated_at: secret.rotated_at.map(timestamp),
        expires_at: secret.expires_at.map(timestamp),
        rotation_policy: rotation.map(|rotation| policy(&rotation.policy)),
        next_rotation_at: rotation.and_then(|rotation| rotation.next_at).map(timestamp),
        deleted_at: secret.deletion.map(|deletion| timestamp(deletion.deleted_at)),
        purge_at: app.secrets.purge_at(secret).map(timestamp),
        etag: secret.etag(),
        revision: secret.revision.0,
        pending_version: secret.pending_version(),
        rotation_claim: rotation.and_then(|rotation| rotation.claim.as_ref()).map(|claim| {
            v1::RotationClaim {
                principal: claim.principal.to_string(),
                lease_expires_at: Some(timestamp(claim.expires_at)),
            }
        }),
        rotation_failure: rotation.and_then(|rotation| rotation.failure.as_ref()).map(|failure| {
            v1::RotationFailure {
                attempts: failure.attempts,
                failed_at: Some(timestamp(failure.failed_at)),
                error: failure.error.to_string(),
                retry_at: Some(timestamp(failure.retry_at)),
            }
        }),
    }
}

fn policy(policy: &RotationPolicy) -> v1::RotationPolicy {
    v1::RotationPolicy {
        interval: policy.interval.map(span),
        generator: policy.generator.as_ref().map(described),
        grace_period: policy.grace_period.map(span),
        window: policy.window.map(|window| window.to_string()).unwrap_or_default(),
        paused: policy.paused,
        retire_when_unread: policy.retire_when_unread,
    }
}

/// A generator in a reply.
fn described(generator: &Generator) -> v1::Generator {
    let count = |length: usize| u32::try_from(length).ok();
    let kind = match generator {
        Generator::Password { length, alphabet, required } => {
            let class = |class: &CharacterClass| match class {
                CharacterClass::Lower => v1::CharacterClass::Lower.into(),
                CharacterClass::Upper => v1::CharacterClass::Upper.into(),
                CharacterClass::Digit => v1::CharacterClass::Digit.into(),
                CharacterClass::Symbol => v1::CharacterClass::Symbol.into(),
            };
            generator::Kind::Password(v1::PasswordGenerator {
                length: count(*length),
                alphabet: alphabet.iter().copied().map(char::from).collect(),
                required: required.iter().map(class).collect(),
            })
        }
        Generator::Bytes { length, encoding } => generator::Kind::Bytes(v1::BytesGenerator {
            length: count(*length),
            encoding: match encoding {
                BytesEncoding::Base64Url => v1::BytesEncoding::Base64url,
                BytesEncoding::Hex => v1::BytesEncoding::Hex,
                BytesEncoding::Raw => v1::BytesEncoding::Raw,
            }
            .into(),
        }),
        Generator::Uuid => generator::Kind::Uuid(v1::UuidGenerator {}),
        Generator::Passphrase { words, separator } => {
            let separator = Some(separator.to_string());
            generator::Kind::Passphrase(v1::PassphraseGenerator { words: count(*words), separator })
        }
        Generator::KeyPair(algorithm) => generator::Kind::KeyPair(v1::KeyPairGenerator {
            algorithm: match algorithm {
                KeyPairAlgorithm::Ed25519 => v1::KeyPairAlgorithm::Ed25519,
                KeyPairAlgorithm::EcdsaP256 => v1::KeyPairAlgorithm::EcdsaP256,
            }
            .into(),
        }),
    };
    v1::Generator { kind: Some(kind) }
}

/// A secret in a reply, with the value that is given.
pub(super) fn revealed(app: &App, secret: &Secret, value: Option<Value>) -> v1::Secret {
    let mut revealed = redacted(app, secret);
    if let Some(value) = value {
        // The value is moved and not copied.
        let kind = match value {
            Value::Text(mut text) => secret_value::Kind::Text(mem::take(&mut *text)),
            Value::Binary(mut bytes) => secret_value::Kind::Binary(mem::take(&mut *bytes)),
        };
        revealed.value = Some(v1::SecretValue { kind: Some(kind) });
    }
    revealed
}

/// The size of a page.
pub(super) fn limit(limit: Option<i32>) -> Result<usize, Invalid> {
    match limit.map(usize::try_from) {
        None => Ok(DEFAULT_LIMIT),
        Some(Ok(limit)) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit),
        Some(_) => Err(Invalid::new("must be 1 to 1,000, or absent for 100")),
    }
}

/// A time in a message.
pub(super) fn timestamp(at: Timestamp) -> WireTimestamp {
    let micros = at.as_micros();
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1000).unwrap_or(0);
    WireTimestamp { seconds: micros.div_euclid(1_000_000), nanos }
}

/// A span of time in a message.
pub(super) fn span(span: Duration) -> prost_types::Duration {
    let nanos = i32::try_from(span.subsec_nanos()).unwrap_or_default();
    prost_types::Duration { seconds: i64::try_from(span.as_secs()).unwrap_or(i64::MAX), nanos }
}

/// A span of time from a message: more than 0, at most 100 years.
pub(super) fn duration(span: prost_types::Duration) -> Result<Duration, Invalid> {
    const REFUSED: Invalid =
        Invalid::new("must be more than 0 and at most 100 years (3,155,760,000 seconds)");
    let seconds = u64::try_from(span.seconds).ok();
    let nanos = u32::try_from(span.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    let span = seconds.zip(nanos).map(|(seconds, nanos)| Duration::new(seconds, nanos));
    let longest = Duration::from_secs(3_155_760_000);
    span.filter(|span| !span.is_zero() && *span <= longest).ok_or(REFUSED)
}

/// How long a new secret lives: 1 second to 100 years.
pub(super) fn ttl(span: prost_types::Duration) -> Result<Duration, Invalid> {
    const REFUSED: Invalid = Invalid::new("must be 1 second to 100 years (3,155,760,000 seconds)");
    duration(span).ok().filter(|span| *span >= Duration::from_secs(1)).ok_or(REFUSED)
}

/// The shortest and the longest span of time that a field may have, in seconds, and what is said of others.
pub(super) struct SpanLimits(u64, u64, Invalid);

/// 0 to 10 years.
pub(super) const MOMENT_TO_TEN_YEARS: SpanLimits =
    SpanLimits(0, 315_576_000, Invalid::new("must be 0 to 10 years (315,576,000 seconds)"));
/// 1 second to 10 years.
const SECOND_TO_TEN_YEARS: SpanLimits = SpanLimits(
    1,
    315_576_000,
    Invalid::new(
        "must be 1 second to 10 years (315,576,000 seconds), or absent for rotations on request only",
    ),
);
/// 1 second to 24 hours.
pub(super) const SECOND_TO_DAY: SpanLimits =
    SpanLimits(1, 86_400, Invalid::new("must be 1 second to 24 hours (86,400 seconds)"));
/// 0 to 30 days.
pub(super) const UP_TO_THIRTY_DAYS: SpanLimits =
    SpanLimits(0, 2_592_000, Invalid::new("must be 0 to 30 days (2,592,000 seconds)"));

/// A span of time from a message, within limits.
pub(super) fn span_within(span: prost_types::Duration, limits: SpanLimits) -> Result<Duration, Invalid> {
    let SpanLimits(least, most, refused) = limits;
    let seconds = u64::try_from(span.seconds).ok();
    let nanos = u32::try_from(span.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    // In whole microseconds, as the store keeps it.
    let span = seconds.zip(nanos).map(|(seconds, nanos)| Duration::new(seconds, nanos / 1000 * 1000));
    let allowed = Duration::from_secs(least)..=Duration::from_secs(most);
    span.filter(|span| allowed.contains(span)).ok_or(refused)
}

/// A time from a message.
pub(super) fn time(at: &WireTimestamp) -> Result<Timestamp, Invalid> {
    const REFUSED: Invalid = Invalid::new("must be a time between the years 1 and 9999");
    // The limits of google.protobuf.Timestamp.
    if !(-62_135_596_800..=253_402_300_799).contains(&at.seconds) || !(0..1_000_000_000).contains(&at.nanos) {
        return Err(REFUSED);
    }
    Ok(Timestamp::from_micros(at.seconds * 1_000_000 + i64::from(at.nanos / 1000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_whole_microseconds_as_the_store_keeps_it() {
        let span = |seconds, nanos| span_within(prost_types::Duration { seconds, nanos }, SECOND_TO_DAY);
        assert_eq!(span(3600, 100_999).ok(), Some(Duration::new(3600, 100_000)));
        assert!(span(0, 999_999_999).is_err() && span(86_400, 1_000).is_err());
    }
}
