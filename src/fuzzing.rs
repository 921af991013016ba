//! Entry points for `fuzz/`: bytes as they could stand in a store, a backup or a key file, or as a caller presents them.
//!
//! Any bytes must be read without a panic, and must open only if they are exactly what was sealed. The test below tries the
//! entry points with altered test vectors at every `cargo test`.

use std::sync::OnceLock;

use crate::app;
use crate::auth::{self, AccessEpoch, ApiKey, ApiKeyId, Binding, BindingId, Role};
use crate::crypto::{
    self, Keyring, MasterKeys, NamespaceKeys, Purpose, data_key_digest, record_seal, value_seal,
};
use crate::crypto::{open_event, open_history_start, open_secret, reseal_secret};
use crate::domain::{Namespace, NewEvent, Revision, SecretId, Value};
use crate::integrity::{Anchor, StoreDigest};
use crate::schema::{EventRecord, decode_secret, decode_secret_usage, encode_secret, encode_secret_usage};
use crate::store;

/// Keys that are the same in every run, so that a finding can be repeated.
struct Keys {
    masters: MasterKeys,
    keyring: Keyring,
    namespace: NamespaceKeys,
    /// A record and a value that the keys of the namespace sealed.
    record: Vec<u8>,
    value: Vec<u8>,
}

const ID: [u8; 16] = [7; 16];
const MAC: [u8; 32] = [9; 32];
const MASTER: &[u8] = b"srmk_BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU\n";

fn keys() -> Option<&'static Keys> {
    static KEYS: OnceLock<Option<Keys>> = OnceLock::new();
    let make = || {
        let masters = crypto::fuzzing::master_keys(MASTER)?;
        let generation = |number: u32| [&number.to_be_bytes()[..], &[0; 8], &[number as u8; 32]].concat();
        let two = [generation(1), generation(2)].concat();
        let clear = [&[3; 32], two.as_slice()].concat();
        let keyring = Keyring::open(&masters, &masters.seal_keyring(&clear, &[]).ok()?).ok()?;
        let team = keyring.namespace_mac(&Namespace::default_namespace());
        let clear = [&ID[..], &[4; 32], &[2], &two, b"default"].concat();
        let sealed = keyring.seal(Purpose::Namespace, &team, &clear).ok()?;
        let namespace = NamespaceKeys::open(&keyring, &team, &sealed).ok()?;
        let record = namespace.seal(Purpose::Secret, &ID, b"record").ok()?;
        let value = namespace.seal_value(&ID, 1, b"\x01value").ok()?;
        Some(Keys { masters, keyring, namespace, record, value })
    };
    KEYS.get_or_init(make).as_ref()
}

/// Tries the bytes as every kind of sealed record, and as an alteration of sealed ones. Nothing may open but what was sealed.
pub fn sealed(bytes: &[u8]) {
    let Some(keys) = keys() else { return };
    const PURPOSES: [Purpose; 10] = [
        Purpose::ApiKey,
        Purpose::Role,
        Purpose::Binding,
        Purpose::AccessEpoch,
        Purpose::Namespace,
        Purpose::IdempotencyRecord,
        Purpose::Digest,
        Purpose::SecretUsage,
        Purpose::KeyUsage,
        Purpose::BindingUsage,
    ];
    for purpose in PURPOSES {
        assert!(keys.keyring.open_record(purpose, &ID, bytes).is_err());
    }
    assert!(keys.keyring.open_token(&MAC, bytes).is_err());
    assert!(Keyring::open(&keys.masters, bytes).is_err());
    assert!(NamespaceKeys::open(&keys.keyring, &MAC, bytes).is_err());
    assert!(open_secret(&keys.namespace, SecretId::from_bytes(ID), bytes, Revision(1)).is_err());
    assert!(StoreDigest::open(&keys.keyring, bytes).is_err());
    assert!(ApiKey::open(&keys.keyring, ApiKeyId([1; 10]), bytes, Revision(1)).is_err());
    app::fuzzing::sealed_idempotency_record(&keys.keyring, bytes);
    let _ =
        (record_seal(bytes), value_seal(bytes), data_key_digest(bytes), crypto::is_of_first_format(bytes));
    let _ = keys.namespace.is_newest(bytes);

    let Some((method, rest)) = bytes.split_first() else { return };
    let alter = |sealed: &[u8]| match method % 3 {
        0 => sealed.iter().zip(rest.iter().chain(std::iter::repeat(&0))).map(|(a, b)| a ^ b).collect(),
        1 => [sealed, rest].concat(),
        _ => sealed.get(..sealed.len().saturating_sub(rest.len())).unwrap_or_default().to_vec(),
    };
    let altered = alter(&keys.record);
    let opened = keys.namespace.open_record(Purpose::Secret, &ID, &altered);
    assert_eq!(opened.is_ok(), altered == keys.record);
    let altered = alter(&keys.value);
    let opened = keys.namespace.open_value(&ID, 1, &altered);
    assert_eq!(opened.is_ok(), altered == keys.value);
    // Rewrapping opens only the data key, and must not make an altered value open.
    if let Ok(rewrapped) = keys.namespace.rewrap_value(&ID, 1, &altered) {
        let opened = keys.namespace.open_value(&ID, 1, &rewrapped);
        assert_eq!(opened.is_ok(), altered == keys.value);
    }
}

/// Tries the bytes as the content of each kind of record, properly sealed: even a holder of the keys must not be able to
/// break the service with them.
pub fn clear(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let Some(keys) = keys() else { return };
    let sealed = |purpose, id: &[u8]| keys.keyring.seal(purpose, id, bytes).unwrap_or_default();
    match kind % 8 {
        0 => {
            let record = keys.masters.seal_keyring(bytes, &[]).unwrap_or_default();
            if let Ok(keyring) = Keyring::open(&keys.masters, &record) {
                let _ = keyring.begin_rotation(&keys.masters, 1);
                let again =
                    keyring.reseal(&keys.masters).and_then(|record| Keyring::open(&keys.masters, &record));
                assert_eq!(again.map(|again| again.generations()).ok(), Some(keyring.generations()));
            }
        }
        1 => {
            let name = Namespace::default_namespace();
            let mac = keys.keyring.namespace_mac(&name);
            if let Ok(namespace) = NamespaceKeys::open(&keys.keyring, &mac, &sealed(Purpose::Namespace, &mac))
            {
                let _ = namespace.begin_rotation(&keys.keyring, 1);
                let _ = namespace.end_rotation(&keys.keyring);
            }
        }
        2 => {
            let (name, id) = (Namespace::default_namespace(), SecretId::from_bytes(ID));
            if let Some(secret) = decode_secret(&name, id, bytes, Revision(9)) {
                let again = decode_secret(&name, id, &encode_secret(&secret), secret.revision);
                assert!(
                    again.is_some_and(|again| again.versions == secret.versions && again.name == secret.name)
                );
                let resealed = reseal_secret(&keys.namespace, &secret).unwrap_or_default();
                let opened = open_secret(&keys.namespace, id, &resealed, Revision(9));
                assert_eq!(opened.ok(), Some(secret));
            }
        }
        3 => {
            let record = sealed(Purpose::ApiKey, &[1; 10]);
            let opened = ApiKey::open(&keys.keyring, ApiKeyId([1; 10]), &record, Revision(1));
            drop(opened.map(|key| key.seal(&keys.keyring)));
            let record = sealed(Purpose::Binding, &[1; 10]);
            let opened = Binding::open(&keys.keyring, BindingId([1; 10]), &record, Revision(1));
            if let Ok(binding) = opened {
                let again = Binding::of_record(binding.id, &binding.record(), Revision(1));
                assert_eq!(again, Some(binding));
            }
            if let Some(usage) = decode_secret_usage(bytes) {
                assert_eq!(decode_secret_usage(&encode_secret_usage(&usage)), Some(usage));
            }
            if let Ok(record) = open_event(&keys.keyring, &sealed(Purpose::Event, b"event")) {
                let name = Namespace::default_namespace();
                let event = record.namespace_id().zip(record.event(&name, Revision(9)));
                if let Some((id, event)) = event {
                    let again = EventRecord::new(id, &NewEvent::from(&event))
                        .kept(event.revision)
                        .event(&name, Revision(9));
                    assert!(again.is_some_and(|again| again.kind == event.kind && again.revision == event.revision));
                }
            }
            let _ = open_history_start(
                &keys.keyring,
                &sealed(Purpose::HistoryStart, b"history start"),
                Revision(1),
            );
            let place = keys.keyring.role_mac("role");
            let _ = Role::open(&keys.keyring, &place, &sealed(Purpose::Role, &place), Revision(1));
            let _ =
                AccessEpoch::open(&keys.keyring, &sealed(Purpose::AccessEpoch, b"access epoch"), Revision(1));
        }
        4 => {
            if let Ok(digest) = StoreDigest::open(&keys.keyring, &sealed(Purpose::Digest, b"digest")) {
                let _ = digest.clone().after(&keys.keyring, &[], 0).in_place_of(&digest);
            }
        }
        5 => app::fuzzing::clear(&keys.keyring, bytes),
        6 => app::fuzzing::backup(&keys.masters, bytes),
        _ => {
            if let Some(value) = Value::decode(bytes) {
                assert_eq!(value.encode().as_slice(), bytes);
            }
        }
    }
}

/// Tries the bytes as everything that is not sealed: keys of the store, the engines' own formats, the frame of a backup, key
/// files and anchors.
pub fn open(bytes: &[u8]) {
    let _ = store::Key::from_bytes(bytes).kind();
    store::fuzzing::stored(bytes);
    crypto::fuzzing::read(bytes);
    if let Some(anchor) = std::str::from_utf8(bytes).ok().and_then(Anchor::parse) {
        assert_eq!(Anchor::parse(&anchor.to_line()), Some(anchor));
    }
}

/// Tries the bytes as credentials that a caller presents, and as the keys and authorities that verify them.
pub fn presented(bytes: &[u8]) {
    auth::fuzzing::presented(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every text in the vectors, decoded where it is hexadecimal.
    fn seeds() -> Vec<Vec<u8>> {
        fn collect(value: &serde_json::Value, seeds: &mut Vec<Vec<u8>>) {
            match value {
                serde_json::Value::String(text) => {
                    let hex = data_encoding::HEXLOWER.decode(text.as_bytes());
                    seeds.push(hex.unwrap_or_else(|_| text.clone().into_bytes()));
                }
                serde_json::Value::Array(list) => list.iter().for_each(|value| collect(value, seeds)),
                serde_json::Value::Object(fields) => fields.values().for_each(|value| collect(value, seeds)),
                _ => {}
            }
        }
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../tests/golden/vectors.json")).unwrap();
        let mut seeds = vec![Vec::new()];
        collect(&vectors, &mut seeds);
        let presented = [
            r#"{"iss":"i","aud":"a","sub":"s","iat":1764007800,"exp":1764007900,"groups":["g","h"]}"#,
            r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","use":"sig","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#,
            "eyJhbGciOiJFZERTQSIsImtpZCI6ImEifQ.eyJpc3MiOiJpIiwiYXVkIjoiYSIsInN1YiI6InMifQ.AAAA",
        ];
        seeds.extend(presented.map(|text| text.as_bytes().to_vec()));
        seeds
    }

    #[test]
    fn altered_vectors_never_panic_or_open() {
        assert!(keys().is_some(), "without keys nothing is tried");
        // A xorshift generator: the same alterations in every run.
        let (seeds, mut state) = (seeds(), 0x9e37_79b9_7f4a_7c15_u64);
        let mut random = |bound: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 16).unwrap() % bound
        };
        for round in 0..2_000 {
            let mut bytes = seeds[random(seeds.len())].clone();
            for _ in 0..random(4) {
                match (random(4), bytes.len()) {
                    (0, length) => bytes.truncate(random(length + 1)),
                    (1, length) => bytes.insert(random(length + 1), u8::try_from(random(256)).unwrap()),
                    (2, 1..) => drop(bytes.remove(random(bytes.len()))),
                    (_, 1..) => {
                        let at = random(bytes.len());
                        bytes[at] = u8::try_from(random(256)).unwrap();
                    }
                    (_, 0) => {}
                }
            }
            sealed(&bytes);
            open(&bytes);
            presented(&bytes);
            clear(&[&[u8::try_from(round % 8).unwrap()], bytes.as_slice()].concat());
        }
    }
}
