//! The vectors of `tests/golden/vectors.json`: every release must open them, and another implementation can be
//! tested with them. A vector is never changed; new ones are appended.
//!
//! Each vector has a form, a format, the keys, `sealed` and `clear` in hex, and further fields that depend on the
//! form.

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::backup::{About, BackupCheck, BackupOpener, BackupSealer};
use super::keyring::KEYRING;
use super::master_key::{How, MasterKey, MasterKeys, Stretch};

const VECTORS: &str = include_str!("../../tests/golden/vectors.json");

#[test]
fn every_vector_opens() {
    let Value::Array(vectors) = serde_json::from_str(VECTORS).unwrap() else { panic!("a list") };
    let mut forms = Vec::new();
    for vector in &vectors {
        let form = text(vector, "form");
        match form {
            "keyring" => keyring(vector),
            "backup" => backup(vector),
            "argon2id" => argon2id(vector),
            "master key id" => master_key_id(vector),
            _ => continue, // of the store: see `app`
        }
        forms.push(format!("{form} {}", vector["format"]));
    }
    for form in ["keyring 1", "keyring 2", "backup 1", "backup 2", "argon2id 2", "master key id 2"] {
        assert!(forms.iter().any(|there| there == form), "there is no vector of {form}");
    }
}

fn keyring(vector: &Value) {
    let (masters, sealed) = (masters(vector), bytes(vector, "sealed"));
    let opened = masters.open_keyring(&sealed).unwrap();
    assert_eq!(opened.clear.as_slice(), bytes(vector, "clear"));
    assert_eq!(opened.opened_with, masters.current_id().unwrap());
    let wraps: Vec<_> = vector["key_ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    assert_eq!(opened.wraps.iter().map(ToString::to_string).collect::<Vec<_>>(), wraps);
    assert_eq!(sealed[0], u8::try_from(vector["format"].as_u64().unwrap()).unwrap());
    // Each of several keys opens it, also as an earlier key, and no other key does.
    let (other, passphrase) = (MasterKey::generate().unwrap().line().unwrap(), "another passphrase");
    for line in vector["master_keys"].as_array().unwrap() {
        let earlier = MasterKeys::of(&[&other, passphrase, line.as_str().unwrap()]);
        assert_eq!(earlier.open_keyring(&sealed).unwrap().clear.as_slice(), bytes(vector, "clear"));
    }
    assert!(MasterKeys::of(&[&other, passphrase]).open_keyring(&sealed).is_err());
}

fn backup(vector: &Value) {
    let sealed = bytes(vector, "sealed");
    let mut check = BackupCheck::new();
    check.update(&sealed).unwrap();
    let about = check.finish().unwrap();
    assert_eq!(json!([about.created_at, about.revision]), json!([vector["created_at"], vector["revision"]]));
    let mut opener = BackupOpener::begin(&masters(vector), sealed.as_slice()).unwrap();
    for part in vector["parts"].as_array().unwrap() {
        assert_eq!(HEXLOWER.encode(&opener.next_part().unwrap().unwrap()), part.as_str().unwrap());
    }
    assert!(opener.next_part().unwrap().is_none());
}

fn argon2id(vector: &Value) {
    let stretch = Stretch::decode(bytes(vector, "parameters").first_chunk().unwrap()).unwrap();
    let masters = masters(vector);
    let root = masters.current().root_by(How::Argon2id(stretch)).unwrap().unwrap();
    assert_eq!(root.expose().as_slice(), bytes(vector, "clear"));
}

fn master_key_id(vector: &Value) {
    assert_eq!(masters(vector).current_id().unwrap().to_string(), text(vector, "clear"));
}

fn masters(vector: &Value) -> MasterKeys {
    let several = vector["master_keys"].as_array().into_iter().flatten();
    let lines: Vec<_> = several.chain([&vector["master_key"]]).filter_map(Value::as_str).collect();
    MasterKeys::of(&lines)
}

fn text<'a>(vector: &'a Value, field: &str) -> &'a str {
    vector[field].as_str().unwrap_or_else(|| panic!("{field} of {vector}"))
}

fn bytes(vector: &Value, field: &str) -> Vec<u8> {
    HEXLOWER.decode(text(vector, field).as_bytes()).unwrap()
}

/// Prints new vectors of the forms above, one for each format: `cargo test --lib -- --ignored --nocapture
/// new_vectors`.
#[test]
#[ignore = "makes vectors for people to keep"]
#[allow(clippy::print_stdout)] // that is what it is for
fn new_vectors() {
    let line = |byte: u8| format!("srmk_{}", data_encoding::BASE64URL_NOPAD.encode(&[byte; 32]));
    let (one, other, passphrase) = (line(1), line(2), "correct horse battery staple");
    let ids = |masters: &MasterKeys| -> Vec<String> {
        masters.all().map(|key| key.root().unwrap().1.id().to_string()).collect()
    };
    let clear: Vec<u8> = (0..68).collect();
    let mut vectors = Vec::new();
    for lines in [vec![one.as_str()], vec![passphrase], vec![&one, &other]] {
        let masters = MasterKeys::of(&lines);
        let also: Vec<_> = masters.all().map(|key| key.root().unwrap().1.id()).collect();
        let sealed = HEXLOWER.encode(&masters.seal_keyring(&clear, &also).unwrap());
        let clear = HEXLOWER.encode(&clear);
        vectors.push(json!({ "form": "keyring", "format": 2, "master_keys": lines, "key_ids": ids(&masters), "sealed": sealed, "clear": clear }));
        if lines.len() == 1 {
            let about = About { created_at: 1_700_000_000_000_000, revision: 42 };
            let (mut sealer, mut sealed) = BackupSealer::begin(&masters, about).unwrap();
            sealed.extend(sealer.seal(b"one", false).unwrap());
            sealed.extend(sealer.seal(b"last", true).unwrap());
            let parts = [HEXLOWER.encode(b"one"), HEXLOWER.encode(b"last")];
            vectors.push(json!({ "form": "backup", "format": 2, "master_key": lines[0], "created_at": about.created_at, "revision": about.revision, "sealed": HEXLOWER.encode(&sealed), "parts": parts }));
        }
        if let Ok((How::Argon2id(stretch), root)) = masters.current().root() {
            let mut parameters = Vec::new();
            stretch.encode_onto(&mut parameters);
            vectors.push(json!({ "form": "argon2id", "format": 2, "master_key": passphrase, "parameters": HEXLOWER.encode(&parameters), "clear": HEXLOWER.encode(root.expose()) }));
        }
    }
    let masters = MasterKeys::of(&[&one]);
    let (key, id) = masters.current().format_1().unwrap().unwrap();
    let sealed = HEXLOWER.encode(&key.seal_in_first_format(KEYRING, &clear).unwrap());
    vectors.push(json!({ "form": "keyring", "format": 1, "master_keys": [one], "key_ids": [id.to_string()], "sealed": sealed, "clear": HEXLOWER.encode(&clear) }));
    vectors.push(json!({ "form": "master key id", "format": 2, "master_key": one, "clear": id.to_string() }));
    println!("{}", serde_json::to_string_pretty(&vectors).unwrap());
}
