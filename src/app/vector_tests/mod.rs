//! The vectors of `tests/golden/vectors.json` for the records, tokens, digests and signatures that the app makes. Each vector
//! has everything that another implementation needs. A vector is never changed once it is there.

mod make;
mod rotation;

use data_encoding::HEXLOWER;
use prost::Message;
use serde_json::{Value, json};

use super::secret::PageToken;
use crate::crypto::{Keyring, MasterKeys, NamespaceKeys, PublicKey, Purpose, data_key_digest, value_seal};
use crate::domain::{FormerMetadata, Namespace, Revision, SecretId, SecretName, Timestamp};
use crate::integrity::{Inventory, StoreDigest};
use crate::schema::{EventRecord, IdempotencyRecord, decode_secret, encode_secret};
use crate::store::{Changed, Key};

/// All vectors, those of `crypto` too.
const VECTORS: &str = include_str!("../../../tests/golden/vectors.json");
/// The master key of the vectors, as a line of its source.
const MASTER: &str = "srmk_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";
/// The forms of vectors that are verified here.
const FORMS: [&str; 9] = [
    "keyring in the clear",
    "namespace in the clear",
    "sealed record",
    "sealed value",
    "digest",
    "page token",
    "hmac",
    "message",
    "destruction",
];

#[test]
fn every_vector_of_the_store_is_what_it_was() {
    let Value::Array(vectors) = serde_json::from_str(VECTORS).unwrap() else { panic!("a list") };
    for form in FORMS {
        let of_form: Vec<_> = vectors.iter().filter(|vector| vector["form"] == form).collect();
        assert!(!of_form.is_empty(), "there is no vector of {form}");
        of_form.into_iter().for_each(|vector| verify(form, vector));
    }
    for purpose in [2, 3, 4, 5, 8, 12, 34, 35, 36, 37, 39] {
        // The first format had no digest, no usage and no events.
        for format in [1, 2].into_iter().filter(|format| *format == 2 || purpose < 12) {
            let is_it = |vector: &Value| vector["purpose"] == purpose && vector["format"] == format;
            assert!(vectors.iter().any(is_it), "there is no record of purpose {purpose} in format {format}");
        }
    }
    for kind in ["password", "bytes", "uuid", "passphrase", "key pair"] {
        let is_it = |vector: &Value| vector["fields"]["generator"]["kind"] == kind;
        assert!(vectors.iter().any(is_it), "there is no rotation with a {kind}");
    }
}

fn verify(form: &str, vector: &Value) {
    match form {
        "keyring in the clear" => {
            let keyring = keyring_of(vector);
            let numbers: Vec<_> =
                listed(vector, "generations").iter().map(|one| number(one, "number")).collect();
            assert_eq!(keyring.generations().iter().map(|&n| u64::from(n)).collect::<Vec<_>>(), numbers);
            assert_eq!(keyring.since(), number(listed(vector, "generations").last().unwrap(), "since"));
        }
        "namespace in the clear" => {
            let keys = namespace_of(vector);
            assert_eq!(
                (keys.namespace().as_str(), keys.id().0.to_vec()),
                (text(vector, "name"), bytes(vector, "id"))
            );
            let newest = listed(vector, "generations").last().unwrap().clone();
            assert_eq!(keys.generations().last().map(|&n| u64::from(n)), newest["number"].as_u64());
            assert_eq!(keys.since(), number(&newest, "since"));
        }
        "sealed record" => {
            let (purpose, id, sealed) = (purpose(vector), bytes(vector, "id"), bytes(vector, "sealed"));
            let opened = match vector.get("namespace") {
                Some(_) => namespace_of(vector).open_record(purpose, &id, &sealed),
                None => keyring_of(vector).open_record(purpose, &id, &sealed),
            };
            assert_eq!(opened.unwrap().as_slice(), bytes(vector, "clear"), "{vector}");
            assert_eq!(number(vector, "format"), u64::from(sealed[0]));
        }
        "sealed value" => {
            let (id, sealed) = (bytes(vector, "id"), bytes(vector, "sealed"));
            let version = u32::try_from(number(vector, "version")).unwrap();
            let opened = namespace_of(vector).open_value(&id.try_into().unwrap(), version, &sealed);
            assert_eq!(opened.unwrap().as_slice(), bytes(vector, "clear"), "{vector}");
            assert_eq!(value_seal(&sealed).unwrap().to_vec(), bytes(vector, "seal"));
            assert_eq!(data_key_digest(&sealed).unwrap().to_vec(), bytes(vector, "wrapped_data_key_sha256"));
            assert!(crate::domain::Value::decode(&bytes(vector, "clear")).is_some());
        }
        "digest" => {
            let keyring = keyring_of(vector);
            let digest = StoreDigest::open(&keyring, &bytes(vector, "sealed")).unwrap();
            assert_eq!((digest.commits, digest.seals), (number(vector, "commits"), number(vector, "seals")));
            let mut inventory = Inventory::default();
            for record in listed(vector, "records") {
                assert!(!digest.verifies(&keyring, &inventory));
                inventory.put(&Key::from_bytes(&bytes(record, "key")), &bytes(record, "record"));
            }
            assert!(digest.verifies(&keyring, &inventory));
            assert_eq!(
                fingerprints(&keyring, vector),
                StoreDigest::open(&keyring, &bytes(vector, "sealed")).ok()
            );
        }
        "page token" => {
            let query = bytes(vector, "query").try_into().unwrap();
            let opened = keyring_of(vector).open_token(&query, &bytes(vector, "sealed")).unwrap();
            assert_eq!(opened.as_slice(), bytes(vector, "clear"));
        }
        "hmac" => assert_eq!(mac(vector), bytes(vector, "hmac"), "{vector}"),
        "message" => message(vector),
        "destruction" => {
            let (statement, signature) = (text(vector, "statement").as_bytes(), bytes(vector, "signature"));
            let keyring = keyring_of(vector);
            assert_eq!(keyring.sign(statement).unwrap().to_vec(), signature);
            let public = PublicKey(bytes(vector, "public_key").try_into().unwrap());
            assert!(public == *keyring.public_key() && public.verify(statement, &signature));
        }
        other => panic!("nothing verifies a {other}"),
    }
}

/// The digest of a vector, made again from the one that it follows.
fn fingerprints(keyring: &Keyring, vector: &Value) -> Option<StoreDigest> {
    let keyed = |list| listed(vector, list).iter().map(|one| (Key::from_bytes(&bytes(one, "key")), one));
    let records: Vec<_> = keyed("records").map(|(key, one)| (key, bytes(one, "record"))).collect();
    let commit: Vec<_> = keyed("commit").map(|(key, _)| key).collect();
    let after =
        |key: &Key| records.iter().find(|(stored, _)| stored == key).map(|(_, record)| record.as_slice());
    let changed: Vec<_> = commit.iter().map(|key| Changed { key, before: None, after: after(key) }).collect();
    Some(StoreDigest::estimate(number(vector, "follows_commits")).after(keyring, &changed, 0))
}

/// The HMAC of a vector's parts.
fn mac(vector: &Value) -> Vec<u8> {
    let parts: Vec<_> = listed(vector, "parts").iter().map(|part| hex(part.as_str().unwrap())).collect();
    let parts: Vec<_> = parts.iter().map(Vec::as_slice).collect();
    let name = || std::str::from_utf8(parts[0]).unwrap();
    let mac = match text(vector, "of") {
        "namespace name" => keyring_of(vector).namespace_mac(&Namespace::parse(name()).unwrap()),
        "secret name" => namespace_of(vector).name_mac(&SecretName::parse(name()).unwrap()),
        "credential" => keyring_of(vector).credential_mac(parts[0]),
        "request" => keyring_of(vector).request_mac(&parts),
        "query" => keyring_of(vector).query_mac(&parts),
        other => panic!("nothing has an HMAC of a {other}"),
    };
    mac.to_vec()
}

/// Decodes the message of a vector, and compares its fields.
fn message(vector: &Value) {
    let (clear, fields) = (bytes(vector, "clear"), &vector["fields"]);
    let decoded = match text(vector, "of") {
        "secret" => {
            let id = SecretId::from_bytes([7; 16]);
            let secret = decode_secret(&Namespace::default_namespace(), id, &clear, Revision(99)).unwrap();
            assert_eq!(encode_secret(&secret), clear);
            let versions = secret
                .versions
                .iter()
                .map(|version| json!([version.number, version.seal.map(|seal| HEXLOWER.encode(&seal))]));
            json!({ "name": secret.name.as_str(), "version": secret.version, "description": secret.description.as_str(), "versions": versions.collect::<Vec<_>>() })
        }
        "receipt" => {
            let record = IdempotencyRecord::decode(clear.as_slice()).unwrap();
            json!({ "at": record.at, "request": HEXLOWER.encode(&record.body), "deleted_at": record.deleted_at })
        }
        "idempotency record" => idempotency_record(&clear),
        "event" => event_record(&clear),
        "rotation" => rotation::rotation_fields(&clear),
        "usage of a secret" => rotation::usage_fields(&clear),
        "last use" => rotation::last_use_fields(&clear),
        "page token" => {
            let token = PageToken::decode(clear.as_slice()).unwrap();
            json!({ "name": token.name })
        }
        other => panic!("there is no message of a {other}"),
    };
    assert_eq!(decoded, *fields);
}

/// The fields of an idempotency record of a changed secret.
fn idempotency_record(clear: &[u8]) -> Value {
    let record = IdempotencyRecord::decode(clear).unwrap();
    let id = SecretId::from_bytes(record.secret_id.as_slice().try_into().unwrap());
    let secret = record.changed.unwrap().secret(&team(), id, Revision(99), None).unwrap();
    let version = secret.versions.iter().next().unwrap();
    json!({
        "at": record.at,
        "request": HEXLOWER.encode(&record.body),
        "secret": HEXLOWER.encode(id.as_bytes()),
        "principal": HEXLOWER.encode(&record.principal),
        "name": secret.name.as_str(),
        "current": secret.version,
        "created_at": secret.created_at.as_micros(),
        "updated_at": secret.updated_at.as_micros(),
        "rotated_at": secret.rotated_at.map(Timestamp::as_micros),
        "version": version.number,
        "changed_at": version.changed_at.map(Timestamp::as_micros),
        "destroyed_key": version.destroyed_key.as_ref().map(|key| HEXLOWER.encode(&**key)),
    })
}

/// The fields of an event.
fn event_record(clear: &[u8]) -> Value {
    let record = EventRecord::decode(clear).unwrap();
    let event = record.event(&team(), Revision(99)).unwrap();
    let digests = event.former_metadata.iter().flat_map(FormerMetadata::iter);
    json!({
        "type": format!("{:?}", event.kind),
        "at": event.at.as_micros(),
        "namespace": HEXLOWER.encode(&record.namespace_id().unwrap().0),
        "secret": HEXLOWER.encode(event.secret.id.as_bytes()),
        "name": event.secret.name.as_str(),
        "versions": event.secret.versions.iter().map(|version| version.number).collect::<Vec<_>>(),
        "former_name": event.former_name.as_ref().map(SecretName::as_str),
        "former_metadata": digests.map(|digest| HEXLOWER.encode(digest)).collect::<Vec<_>>(),
        "revision": event.revision.0,
    })
}

/// The keyring whose clear form a vector has.
fn keyring_of(vector: &Value) -> Keyring {
    let masters = MasterKeys::of(&[MASTER]);
    Keyring::open(&masters, &masters.seal_keyring(&bytes(vector, "keyring"), &[]).unwrap()).unwrap()
}

/// The namespace's keys whose clear form a vector has.
fn namespace_of(vector: &Value) -> NamespaceKeys {
    let (keyring, clear) = (keyring_of(vector), bytes(vector, "namespace"));
    let mac = keyring.namespace_mac(&team());
    NamespaceKeys::open(&keyring, &mac, &keyring.seal(Purpose::Namespace, &mac, &clear).unwrap()).unwrap()
}

fn purpose(vector: &Value) -> Purpose {
    match number(vector, "purpose") {
        2 => Purpose::ApiKey,
        13 => Purpose::Role,
        14 => Purpose::Binding,
        15 => Purpose::AccessEpoch,
        3 => Purpose::Namespace,
        4 => Purpose::Name,
        5 => Purpose::Secret,
        8 => Purpose::IdempotencyRecord,
        12 => Purpose::Digest,
        34 => Purpose::SecretUsage,
        35 => Purpose::KeyUsage,
        39 => Purpose::BindingUsage,
        36 => Purpose::Event,
        37 => Purpose::HistoryStart,
        other => panic!("no record has the purpose {other}"),
    }
}

fn team() -> Namespace {
    Namespace::parse("team/a").unwrap()
}

fn listed<'a>(vector: &'a Value, field: &str) -> &'a Vec<Value> {
    vector[field].as_array().unwrap_or_else(|| panic!("{field} of {vector}"))
}

fn number(vector: &Value, field: &str) -> u64 {
    vector[field].as_u64().unwrap_or_else(|| panic!("{field} of {vector}"))
}

fn text<'a>(vector: &'a Value, field: &str) -> &'a str {
    vector[field].as_str().unwrap_or_else(|| panic!("{field} of {vector}"))
}

fn bytes(vector: &Value, field: &str) -> Vec<u8> {
    hex(text(vector, field))
}

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}
