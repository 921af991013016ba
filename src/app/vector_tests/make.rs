//! Makes new vectors. A person adds them to `tests/golden/vectors.json`.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use prost::Message;
use serde_json::{Value, json};

use super::{MASTER, event_record, idempotency_record, keyring_of, mac, namespace_of, team};
use crate::app::secret::PageToken;
use crate::auth::{ApiKey, ApiKeyId};
use crate::crypto::{
    KeyBytes, MasterKeys, Place, Purpose, SealingKey, data_key_digest, former_metadata, value_seal,
};
use crate::domain::{
    Description, Destruction, EventType, Metadata, NewEvent, Revision, Secret, SecretEvent, SecretId,
    SecretName, Timestamp, Version, VersionState, Versions,
};
use crate::integrity::{Inventory, StoreDigest};
use crate::schema::{
    ChangedSecretRecord, EventRecord, HistoryStartRecord, IdempotencyRecord, Kind, NamespaceId, encode_secret,
};
use crate::store::{Changed, Key};

/// Prints new vectors of all forms: `cargo test --lib -- --ignored --nocapture new_vectors_of_the_store`.
#[test]
#[ignore = "makes vectors for people to keep"]
#[allow(clippy::print_stdout)] // a person reads the output
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

    // What the records hold in the clear.
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
        expires_at: None,
        expiry_told: crate::domain::ExpiryTold::Nothing,
        rotation: None,
        deletion: None,
        revision: Revision(42),
        stored_at: Revision(42),
        last_read: None,
    };
    let (key_id, request_id) = (ApiKeyId([0x77; 10]), [0x88; 16]);
    let request = keyring.request_mac(&[b"id", &key_id.0, &request_id]);
    let body = b"RotateSecret\0request";
    let record = IdempotencyRecord {
        body: keyring.request_mac(&[b"body", body]).to_vec(),
        at: 1_700_000_000_000_010,
        secret_id: secret_id.as_bytes().to_vec(),
        secret: encode_secret(&secret),
        deleted_at: None,
        unchanged_since: None,
        put_at: Some(40),
        changed: None,
        principal: Vec::new(),
        principal_name: String::new(),
        binding_id: Vec::new(),
        binding: None,
        purge_at: None,
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
    let token = PageToken { name: "db_password".into(), ..PageToken::default() }.encode_to_vec();

    // The sealed records.
    let mut records = Vec::new();
    let first_clear = [&id[..], &[0x44; 32], &1_u32.to_be_bytes(), &[0x51; 32], b"team/a"].concat();
    for (purpose, place, clear, store_key) in [
        (Purpose::ApiKey, key_id.0.as_slice(), api_key.as_slice(), Key::api_key(&key_id.0)),
        (Purpose::Namespace, &namespace_mac, &both, Key::namespace(&namespace_mac)),
        (Purpose::IdempotencyRecord, &request, &record.encode_to_vec(), Key::idempotency_record(&request)),
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
        (2, 1, &rewrapped, "the same, wrapped again by the second generation"),
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
    // The digest of one commit that puts all of them, and also removes a key at which nothing stood.
    let gone = Key::api_key(&[0x99; 10]);
    let mut changed: Vec<_> =
        records.iter().map(|(key, record)| Changed { key, before: None, after: Some(record) }).collect();
    changed.push(Changed { key: &gone, before: None, after: None });
    let digest = StoreDigest::estimate(41).after(&keyring, &changed, 0);
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
    vectors.push(json!({ "form": "message", "format": 2, "of": "receipt", "clear": h(&record.encode_to_vec()), "fields": { "at": record.at, "request": h(&record.body), "deleted_at": null } }));
    let small = IdempotencyRecord {
        secret: Vec::new(),
        changed: Some(ChangedSecretRecord::new(&secret, 1)),
        principal: key_id.0.to_vec(),
        principal_name: String::new(),
        ..record
    };
    let small = small.encode_to_vec();
    vectors.push(json!({ "form": "message", "format": 2, "of": "idempotency record", "clear": h(&small), "fields": idempotency_record(&small) }));
    let event = SecretEvent {
        kind: EventType::Renamed,
        at: secret.updated_at,
        former_name: Some(SecretName::parse("password").unwrap()),
        former_metadata: Some(former_metadata(
            &Metadata::parse([("owner".to_owned(), "search".to_owned())].into()).unwrap(),
        )),
        secret: Arc::new(secret.clone()),
        revision: Revision(42),
    };
    let event =
        EventRecord::new(NamespaceId([0x33; 16]), &NewEvent::from(&event)).kept(Revision(42)).encode_to_vec();
    let start = HistoryStartRecord { after: Some(41) }.encode_to_vec();
    for (purpose, place, clear) in
        [(Purpose::Event, b"event".as_slice(), &event), (Purpose::HistoryStart, b"history start", &start)]
    {
        let sealed = keyring.seal(purpose, place, clear).unwrap();
        vectors.push(merge(&base, json!({ "form": "sealed record", "format": 2, "purpose": purpose as u8, "id": h(place), "sealed": h(&sealed), "clear": h(clear) })));
    }
    vectors.push(json!({ "form": "message", "format": 2, "of": "event", "clear": h(&event), "fields": event_record(&event) }));
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
    vectors.extend(super::rotation::make(&base, &keyring, NamespaceId([0x33; 16]), secret_id));
    vectors
}
