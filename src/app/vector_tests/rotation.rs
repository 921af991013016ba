//! Rotations and usage: new vectors of them, and what the messages say.

use std::time::Duration;

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use crate::crypto::{Keyring, Purpose};
use crate::domain::{
    BytesEncoding, CharacterClass, Claim, ClaimId, DailyWindow, Generator, KeyPairAlgorithm, Minute,
    Rotation, RotationFailure, RotationPolicy, SecretId, SecretUsage, Timestamp,
};
use crate::schema::{
    NamespaceId, decode_last_use, decode_rotation, decode_secret_usage, encode_last_use, encode_rotation,
    encode_secret_usage,
};

/// New vectors: a rotation with each kind of generator, and the usage of a secret, an API key and a binding. `base` has the clear form of
/// the keyring.
pub(super) fn make(base: &Value, keyring: &Keyring, namespace: NamespaceId, secret: SecretId) -> Vec<Value> {
    let generators = [
        Generator::password(Some(20), "abcXYZ789-_", vec![CharacterClass::Lower, CharacterClass::Symbol]),
        Generator::bytes(Some(40), BytesEncoding::Hex),
        Ok(Generator::Uuid),
        Generator::passphrase(Some(6), Some(" ")),
        Ok(Generator::KeyPair(KeyPairAlgorithm::Ed25519)),
        Ok(Generator::KeyPair(KeyPairAlgorithm::EcdsaP256)),
    ];
    let mut vectors = Vec::new();
    for generator in generators {
        let clear = encode_rotation(&rotation(generator.ok()));
        vectors.push(message("rotation", &clear, rotation_fields(&clear)));
    }
    let minute = |number| Minute::from_number(number).unwrap();
    let mut usage = SecretUsage::default();
    usage.note(1, "key:o5xxo5xxo5xxo5xx", minute(28_333_333));
    usage.note(2, "jwt:ci:build", minute(28_333_334));
    usage.acknowledge(2, "jwt:ci:build", "billing-1", Timestamp::from_micros(1_700_000_040_000_001));
    let usage = encode_secret_usage(&usage);
    let last = encode_last_use(minute(28_333_334));
    let of_secret = [namespace.0, *secret.as_bytes()].concat();
    for (purpose, id, clear) in [
        (Purpose::SecretUsage, of_secret.as_slice(), &usage),
        (Purpose::KeyUsage, &[0x77; 10], &last),
        (Purpose::BindingUsage, &[0x99; 10], &last),
    ] {
        let mut vector = base.clone();
        let record = json!({ "form": "sealed record", "format": 2, "purpose": purpose as u8, "id": HEXLOWER.encode(id), "sealed": HEXLOWER.encode(&keyring.seal(purpose, id, clear).unwrap()), "clear": HEXLOWER.encode(clear) });
        vector.as_object_mut().unwrap().extend(record.as_object().unwrap().clone());
        vectors.push(vector);
    }
    vectors.push(message("usage of a secret", &usage, usage_fields(&usage)));
    vectors.push(message("last use", &last, last_use_fields(&last)));
    vectors
}

fn message(of: &str, clear: &[u8], fields: Value) -> Value {
    json!({ "form": "message", "format": 2, "of": of, "clear": HEXLOWER.encode(clear), "fields": fields })
}

/// A rotation with everything that one can have.
fn rotation(generator: Option<Generator>) -> Rotation {
    let at = |second: i64| Timestamp::from_micros(1_700_000_000_000_000 + second * 1_000_000);
    Rotation {
        policy: RotationPolicy {
            interval: Some(Duration::from_secs(30 * 24 * 60 * 60)),
            generator,
            grace_period: Some(Duration::from_secs(3600)),
            window: Some(DailyWindow::parse("22:00-02:30").unwrap()),
            paused: true,
            retire_when_unread: true,
        },
        next_at: Some(at(100)),
        due_told: true,
        claim: Some(Claim {
            id: ClaimId::from_bytes([5; 16]),
            principal: "key:o5xxo5xxo5xxo5xx".into(),
            expires_at: at(200),
        }),
        failure: Some(RotationFailure {
            attempts: 2,
            failed_at: at(80),
            error: "the database refused it".into(),
            retry_at: at(300),
        }),
    }
}

/// The fields of the rotation of a secret. Durations are in microseconds.
pub(super) fn rotation_fields(clear: &[u8]) -> Value {
    let Rotation { policy, next_at, due_told, claim, failure } = decode_rotation(clear).unwrap();
    let minutes = policy.window.map(DailyWindow::minutes);
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap();
    json!({
        "interval": policy.interval.map(micros),
        "generator": policy.generator.as_ref().map(generator_fields),
        "grace_period": policy.grace_period.map(micros),
        "window": minutes.map(|(start, end)| [start, end]),
        "paused": policy.paused,
        "retire_when_unread": policy.retire_when_unread,
        "next_at": next_at.map(Timestamp::as_micros),
        "due_told": due_told,
        "claim": claim.map(|claim| json!({ "id": HEXLOWER.encode(claim.id.as_bytes()), "principal": &*claim.principal, "expires_at": claim.expires_at.as_micros() })),
        "failure": failure.map(|failure| json!({ "attempts": failure.attempts, "failed_at": failure.failed_at.as_micros(), "error": &*failure.error, "retry_at": failure.retry_at.as_micros() })),
    })
}

fn generator_fields(generator: &Generator) -> Value {
    match generator {
        Generator::Password { length, alphabet, required } => {
            let required: Vec<_> = required.iter().map(|class| format!("{class:?}")).collect();
            json!({ "kind": "password", "length": length, "alphabet": String::from_utf8_lossy(alphabet), "required": required })
        }
        Generator::Bytes { length, encoding } => {
            json!({ "kind": "bytes", "length": length, "encoding": format!("{encoding:?}") })
        }
        Generator::Uuid => json!({ "kind": "uuid" }),
        Generator::Passphrase { words, separator } => {
            json!({ "kind": "passphrase", "words": words, "separator": separator })
        }
        Generator::KeyPair(algorithm) => {
            json!({ "kind": "key pair", "algorithm": format!("{algorithm:?}") })
        }
    }
}

/// The fields of the usage of a secret.
pub(super) fn usage_fields(clear: &[u8]) -> Value {
    let usage = decode_secret_usage(clear).unwrap();
    let versions = usage.versions.iter().map(|version| {
        let consumers = version.consumers.iter().map(|consumer| {
            json!({ "principal": consumer.principal, "name": consumer.name, "last_read": consumer.last_read.map(Minute::number), "acknowledged_at": consumer.acknowledged_at.map(Timestamp::as_micros) })
        });
        json!({ "number": version.number, "last_read": version.last_read.map(Minute::number), "consumers": consumers.collect::<Vec<_>>(), "has_more": version.has_more })
    });
    json!({ "last_read": usage.last_read.map(Minute::number), "versions": versions.collect::<Vec<_>>() })
}

/// The field of the last use of an API key or a binding.
pub(super) fn last_use_fields(clear: &[u8]) -> Value {
    json!({ "last_used": decode_last_use(clear).unwrap().number() })
}
