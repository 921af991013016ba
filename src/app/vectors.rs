//! The vectors of `tests/golden/vectors.json` of what the store's own keys seal, sign and digest, each with all that another
//! implementation needs. Like those of `crypto`, one that is there is never changed.

use data_encoding::HEXLOWER;
use prost::Message;
use serde_json::{Value, json};

use super::page_token::Token;
use crate::auth::{ApiKey, ApiKeyId};
use crate::crypto::{
    KeyBytes, Keyring, MasterKeys, NamespaceKeys, Place, PublicKey, Purpose, SealingKey, data_key_digest,
    value_seal,
};
use crate::domain::{
    Description, Destruction, Metadata, Namespace, Revision, Secret, SecretId, SecretName, Timestamp,
    Version, VersionState, Versions,
};
use crate::integrity::{Inventory, StoreDigest};
use crate::schema::IdempotencyRecord;
use crate::schema::{Kind, NamespaceId};
use crate::schema::{decode_secret, encode_secret};
use crate::store::{Changed, Key};

const VECTORS: &str = include_str!("../../tests/golden/vectors.json");
const MASTER: &str = "srmk_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";
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
    for purpose in [2, 3, 4, 5, 8, 12] {
        for format in [1, 2].into_iter().filter(|format| (purpose, *format) != (12, 1)) {
            let is_it = |vector: &Value| vector["purpose"] == purpose && vector["format"] == format;
            assert!(vectors.iter().any(is_it), "there is no record of purpose {purpose} in format {format}");
        }
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
        |key: &Key| records.iter().find(|(there, _)| there == key).map(|(_, record)| record.as_slice());
    let changed: Vec<_> = commit.iter().map(|key| Changed { key, before: None, after: after(key) }).collect();
    Some(StoreDigest::estimate(number(vector, "follows_commits")).after(keyring, &changed))
}

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

fn message(vector: &Value) {
    let (clear, fields) = (bytes(vector, "clear"), &vector["fields"]);
    let told = match text(vector, "of") {
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
            let receipt = IdempotencyRecord::decode(clear.as_slice()).unwrap();
            json!({ "at": receipt.at, "request": HEXLOWER.encode(&receipt.body), "deleted_at": receipt.deleted_at })
        }
        "page token" => {
            let token = Token::decode(clear.as_slice()).unwrap();
            json!({ "name": token.name })
        }
        other => panic!("there is no message of a {other}"),
    };
    assert_eq!(told, *fields);
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
        3 => Purpose::Namespace,
        4 => Purpose::Name,
        5 => Purpose::Secret,
        8 => Purpose::IdempotencyRecord,
        12 => Purpose::Digest,
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

/// Prints new vectors of the forms above: `cargo test --lib -- --ignored --nocapture new_vectors_of_the_store`.
#[test]
#[ignore = "makes vectors for people to keep"]
#[allow(clippy::print_stdout)] // that is what it is for
fn new_vectors_of_the_store() {
    println!("{}", serde_json::to_string_pretty(&make()).unwrap());
}

fn make() -> Vec<Value> {
    let h = |bytes: &[u8]| HEXLOWER.encode(bytes);
    let generation = |number: u32, since: u64, byte: u8| {
        [number.to_be_bytes().as_slice(), &since.to_be_bytes(), &[byte; 32]].concat()
    };
    let told = |number: u32, since: u64, byte: u8| json!({ "number": number, "since": since, "key": h(&[byte; 32]) });
    let keyring_clear = [&[0x11; 32], generation(1, 0, 0x21).as_slice(), &generation(2, 700, 0x22)].concat();
    let id = [0x33; 16];
    let space = |generations: &[Vec<u8>]| {
        let count = [u8::try_from(generations.len()).unwrap()];
        [id.as_slice(), &[0x44; 32], &count, &generations.concat(), b"team/a"].concat()
    };
    let (one, two) = (generation(1, 3, 0x51), generation(2, 900, 0x52));
    let (first, both) = (space(std::slice::from_ref(&one)), space(&[one, two]));
    let with = |namespace: &[u8]| json!({ "keyring": h(&keyring_clear), "namespace": h(namespace) });
    let base = json!({ "keyring": h(&keyring_clear) });
    let keyring = keyring_of(&base);
    let (keys, only_first) = (namespace_of(&with(&both)), namespace_of(&with(&first)));
    let merge = |base: &Value, more: Value| {
        let mut whole = base.as_object().unwrap().clone();
        whole.extend(more.as_object().unwrap().clone());
        Value::Object(whole)
    };
    let mut vectors = vec![
        merge(
            &base,
            json!({ "form": "keyring in the clear", "format": 2, "index_key": h(&[0x11; 32]), "generations": [told(1, 0, 0x21), told(2, 700, 0x22)] }),
        ),
        merge(
            &with(&both),
            json!({ "form": "namespace in the clear", "format": 2, "id": h(&id), "index_key": h(&[0x44; 32]), "generations": [told(1, 3, 0x51), told(2, 900, 0x52)], "name": "team/a" }),
        ),
    ];

    // What the records hold.
    let secret_id = SecretId::from_bytes([0x66; 16]);
    let value = crate::domain::Value::text("välue".to_owned()).unwrap().encode();
    let sealed_values = [
        only_first.seal_value(secret_id.as_bytes(), 1, &value).unwrap(),
        keys.seal_value(secret_id.as_bytes(), 2, &value).unwrap(),
    ];
    let at = |micros| Timestamp::from_micros(micros);
    let version = |number: u32, sealed: &[u8]| {
        Version::new(number, at(1_700_000_000_000_000 + i64::from(number)), value_seal(sealed))
    };
    let destroyed = Version {
        state: VersionState::Destroyed,
        changed_at: Some(at(1_700_000_000_000_009)),
        destroyed_key: data_key_digest(&sealed_values[0]).map(Box::new),
        ..version(1, &sealed_values[0])
    };
    let secret = Secret {
        namespace: team(),
        name: SecretName::parse("db_password").unwrap(),
        id: secret_id,
        description: Description::parse("what for").unwrap(),
        metadata: Metadata::parse([("owner".to_owned(), "payments".to_owned())].into()).unwrap(),
        version: 2,
        versions: Versions::from_oldest(vec![destroyed.clone(), version(2, &sealed_values[1])]).unwrap(),
        created_at: at(1_700_000_000_000_001),
        updated_at: at(1_700_000_000_000_009),
        rotated_at: Some(at(1_700_000_000_000_002)),
        revision: Revision(42),
        stored_at: Revision(42),
    };
    let (key_id, request_id) = (ApiKeyId([0x77; 10]), [0x88; 16]);
    let request = keyring.request_mac(&[b"id", &key_id.0, &request_id]);
    let body = b"RotateSecret\0request";
    let receipt = IdempotencyRecord {
        body: keyring.request_mac(&[b"body", body]).to_vec(),
        at: 1_700_000_000_000_010,
        secret_id: secret_id.as_bytes().to_vec(),
        secret: encode_secret(&secret),
        deleted_at: None,
        unchanged_since: None,
        put_at: Some(40),
    };
    let credential = "sr_oxxxxxxxxxxxxxxx_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let api_key = [
        b"\x0a\x04test\x12\x06team/a\x22\x20".as_slice(),
        &keyring.credential_mac(credential.as_bytes()),
        b"\x28\x81\x80\x80\x80\x80\x80\x80\x03",
    ]
    .concat();
    let name_mac = keys.name_mac(&secret.name);
    let namespace_mac = keyring.namespace_mac(&team());
    let query: Vec<&[u8]> = vec![b"team/a", b"db_", &[0, 0], b"owner", b"payments"];
    let query_mac = keyring.query_mac(&query);
    let token = Token { name: "db_password".into(), ..Token::default() }.encode_to_vec();

    // What keeps them.
    let mut records = Vec::new();
    let first_clear = [&id[..], &[0x44; 32], &1_u32.to_be_bytes(), &[0x51; 32], b"team/a"].concat();
    for (purpose, place, clear, store_key) in [
        (Purpose::ApiKey, key_id.0.as_slice(), api_key.as_slice(), Key::api_key(&key_id.0)),
        (Purpose::Namespace, &namespace_mac, &both, Key::namespace(&namespace_mac)),
        (Purpose::IdempotencyRecord, &request, &receipt.encode_to_vec(), Key::idempotency_record(&request)),
    ] {
        let more = |format: u8, sealed: &[u8], clear: &[u8]| json!({ "form": "sealed record", "format": format, "purpose": purpose as u8, "id": h(place), "sealed": h(sealed), "clear": h(clear) });
        let sealed = keyring.seal(purpose, place, clear).unwrap();
        vectors.push(merge(&base, more(2, &sealed, clear)));
        records.push((store_key, sealed));
        let old_clear = if purpose == Purpose::Namespace { first_clear.as_slice() } else { clear };
        let key = KeyBytes::from_slice(&[0x21; 32]).unwrap();
        let key = if purpose == Purpose::IdempotencyRecord {
            key.derive("strongroom v1 sealed receipts").unwrap()
        } else {
            key
        };
        let key = SealingKey::new(1, &key).unwrap();
        let at = Place { purpose, namespace: None, id: place, version: 0 };
        vectors.push(merge(&base, more(1, &key.seal_in_first_format(at, old_clear).unwrap(), old_clear)));
    }
    let old = SealingKey::new(1, &KeyBytes::from_slice(&[0x51; 32]).unwrap()).unwrap();
    for (purpose, place, clear, store_key) in [
        (
            Purpose::Name,
            name_mac.as_slice(),
            secret_id.as_bytes().as_slice(),
            Key::name(NamespaceId(id), &name_mac),
        ),
        (
            Purpose::Secret,
            secret_id.as_bytes(),
            &encode_secret(&secret),
            Key::secret(NamespaceId(id), secret_id),
        ),
    ] {
        let more = |format: u8, sealed: &[u8]| json!({ "form": "sealed record", "format": format, "purpose": purpose as u8, "id": h(place), "sealed": h(sealed), "clear": h(clear) });
        let sealed = keys.seal(purpose, place, clear).unwrap();
        vectors.push(merge(&with(&both), more(2, &sealed)));
        records.push((store_key, sealed));
        let at = Place { purpose, namespace: Some(NamespaceId(id)), id: place, version: 0 };
        vectors.push(merge(&with(&both), more(1, &old.seal_in_first_format(at, clear).unwrap())));
    }
    let at = Place {
        purpose: Purpose::Value,
        namespace: Some(NamespaceId(id)),
        id: secret_id.as_bytes(),
        version: 1,
    };
    let rewrapped = keys.rewrap_value(secret_id.as_bytes(), 1, &sealed_values[0]).unwrap();
    for (format, version, sealed, what) in [
        (2, 1, &sealed_values[0], "by the first generation"),
        (2, 1, &rewrapped, "the same, wrapped anew by the second generation"),
        (2, 2, &sealed_values[1], "by the second generation"),
        (
            1,
            1,
            &old.seal_value_in_first_format(at, &value).unwrap(),
            "as releases did that knew format 1 only",
        ),
    ] {
        vectors.push(merge(&with(&both), json!({ "form": "sealed value", "format": format, "what": what, "id": h(secret_id.as_bytes()), "version": version, "sealed": h(sealed), "clear": h(&value), "seal": h(&value_seal(sealed).unwrap()), "wrapped_data_key_sha256": h(&data_key_digest(sealed).unwrap()) })));
    }
    let masters = MasterKeys::of(&[MASTER]);
    records.push((Key::keyring(), masters.seal_keyring(&keyring_clear, &[]).unwrap()));
    // All of them come with one commit, which also takes away what was not there.
    let gone = Key::api_key(&[0x99; 10]);
    let mut changed: Vec<_> =
        records.iter().map(|(key, record)| Changed { key, before: None, after: Some(record) }).collect();
    changed.push(Changed { key: &gone, before: None, after: None });
    let digest = StoreDigest::estimate(41).after(&keyring, &changed);
    let commit: Vec<_> = changed
        .iter()
        .map(|Changed { key, after, .. }| {
            let mark = after.map(|record| {
                if key.kind() == Kind::Keyring { &record[record.len() - 12..] } else { &record[5..17] }
            });
            json!({ "key": h(key.as_bytes()), "mark": h(mark.unwrap_or_default()) })
        })
        .collect();
    let sealed = digest.seal(&keyring).unwrap();
    let clear = keyring.open_record(Purpose::Digest, b"digest", &sealed).unwrap();
    let listed: Vec<_> = records
        .iter()
        .map(|(key, record)| {
            let mut alone = Inventory::default();
            alone.put(key, record);
            let alone = StoreDigest::default().of(&keyring, &alone).seal(&keyring).unwrap();
            let element = keyring.open_record(Purpose::Digest, b"digest", &alone).unwrap();
            json!({ "key": h(key.as_bytes()), "record": h(record), "element": h(&element[..32]) })
        })
        .collect();
    vectors.push(merge(&base, json!({ "form": "sealed record", "format": 2, "purpose": 12, "id": h(b"digest"), "sealed": h(&sealed), "clear": h(&clear) })));
    vectors.push(merge(&base, json!({ "form": "digest", "format": 2, "sealed": h(&sealed), "sum": h(&clear[..32]), "commits": digest.commits, "seals": digest.seals, "records": listed, "follows_commits": 41, "follows_sum": h(&[0; 32]), "commit": commit })));
    let sealed = keyring.seal_token(&query_mac, &token).unwrap();
    vectors.push(merge(&base, json!({ "form": "page token", "format": 2, "query": h(&query_mac), "sealed": h(&sealed), "clear": h(&token) })));
    let body: [&[u8]; 2] = [b"body", body];
    let id: [&[u8]; 3] = [b"id", &key_id.0, &request_id];
    for (of, base, parts) in [
        ("namespace name", &base, &[b"team/a".as_slice()][..]),
        ("secret name", &with(&both), &[b"db_password".as_slice()]),
        ("credential", &base, &[credential.as_bytes()]),
        ("request", &base, &id),
        ("request", &base, &body),
        ("query", &base, &query),
    ] {
        let parts: Vec<_> = parts.iter().map(|part| h(part)).collect();
        let mut vector = merge(base, json!({ "form": "hmac", "format": 2, "of": of, "parts": parts }));
        vector["hmac"] = h(&mac(&vector)).into();
        vectors.push(vector);
    }
    let versions: Vec<_> = secret
        .versions
        .iter()
        .map(|version| json!([version.number, version.seal.map(|seal| h(&seal))]))
        .collect();
    vectors.push(json!({ "form": "message", "format": 2, "of": "secret", "clear": h(&encode_secret(&secret)), "fields": { "name": "db_password", "version": 2, "description": "what for", "versions": versions } }));
    vectors.push(json!({ "form": "message", "format": 2, "of": "receipt", "clear": h(&receipt.encode_to_vec()), "fields": { "at": receipt.at, "request": h(&receipt.body), "deleted_at": null } }));
    vectors.push(json!({ "form": "message", "format": 2, "of": "page token", "clear": h(&token), "fields": { "name": "db_password" } }));
    let destruction = Destruction {
        namespace: team(),
        name: secret.name.clone(),
        secret_id,
        version: 1,
        destroyed_at: destroyed.changed_at.unwrap(),
        data_key: destroyed.destroyed_key.as_deref().copied(),
    };
    let statement = destruction.to_string();
    vectors.push(merge(&base, json!({ "form": "destruction", "format": 2, "statement": statement, "signature": h(&keyring.sign(statement.as_bytes()).unwrap()), "public_key": h(&keyring.public_key().0) })));
    assert!(ApiKey::open(&keyring, key_id, &records[0].1, Revision(1)).is_ok());
    vectors
}
