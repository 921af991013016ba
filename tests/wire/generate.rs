//! Values that the server makes, in CreateSecret and RotateSecret alike.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use strongroom::api::v1::{
    BytesEncoding, CharacterClass, CreateSecretRequest, Generator, KeyPairAlgorithm, PromoteVersionRequest,
    RotateSecretRequest, UpdateSecretRequest,
};
use tonic::Code;
use uuid::{Uuid, Version};

use crate::caller::{Caller, Room};
use crate::refusal::{fields_of, invalid, refused};
use crate::requests::{
    Value, create, key_pair, many_pairs, pairs, passphrase, password, password_with, random_bytes,
    random_uuid, rotate, update,
};

#[tokio::test]
async fn a_password_is_32_letters_and_digits_by_default() {
    let room = Room::open().await;
    let made = both_ways(&room, password(None, "")).await;
    for value in &made {
        assert_eq!(value.len(), 32, "{value:?}");
        assert!(value.chars().all(|c| c.is_ascii_alphanumeric()), "{value:?}");
    }
    assert_ne!(made[0], made[1]);
}

#[tokio::test]
async fn a_password_has_the_requested_length_and_alphabet() {
    let room = Room::open().await;
    for (length, alphabet) in
        [(8, "ab"), (4096, "01"), (64, "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"), (100, "Zz9")]
    {
        for value in both_ways(&room, password(Some(length), alphabet)).await {
            assert_eq!(value.len(), length as usize);
            assert!(value.chars().all(|c| alphabet.contains(c)), "{value:?} is not of {alphabet:?}");
        }
    }
}

#[tokio::test]
async fn a_password_uses_all_of_its_alphabet_evenly() {
    let room = Room::open().await;
    for value in both_ways(&room, password(Some(4096), "")).await {
        let mut counts = BTreeMap::new();
        for c in value.chars() {
            *counts.entry(c).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 62);
        // 66 of each are expected, with a standard deviation of 8. The bounds are six deviations away, which chance reaches
        // once in a hundred million runs.
        assert!(counts.values().all(|count| (17..=115).contains(count)), "{counts:?}");
    }
}

#[tokio::test]
async fn generated_bytes_come_in_the_requested_encoding() {
    let room = Room::open().await;
    for length in [None, Some(16), Some(17), Some(4096)] {
        let count = length.unwrap_or(32) as usize;
        for value in both_ways(&room, random_bytes(length, BytesEncoding::Hex)).await {
            assert_eq!(value.len(), 2 * count);
            assert!(value.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')), "{value:?}");
        }
        for encoding in [BytesEncoding::Base64url, BytesEncoding::Unspecified] {
            for value in both_ways(&room, random_bytes(length, encoding)).await {
                let decoded = data_encoding::BASE64URL_NOPAD.decode(value.as_bytes()).unwrap();
                assert_eq!(decoded.len(), count);
            }
        }
        for value in values_made(&room, random_bytes(length, BytesEncoding::Raw)).await {
            assert!(matches!(&value, Value::Binary(bytes) if bytes.len() == count), "{value:?}");
        }
    }
}

#[tokio::test]
async fn a_generated_uuid_is_a_random_one() {
    let room = Room::open().await;
    for value in both_ways(&room, random_uuid()).await {
        let uuid = Uuid::parse_str(&value).unwrap();
        assert_eq!(uuid.get_version(), Some(Version::Random));
        assert_eq!(uuid.hyphenated().to_string(), value);
    }
}

#[tokio::test]
async fn a_password_has_a_character_of_each_required_class() {
    let room = Room::open().await;
    let required =
        [CharacterClass::Lower, CharacterClass::Upper, CharacterClass::Digit, CharacterClass::Symbol];
    for value in both_ways(&room, password_with(8, "", &required)).await {
        assert_eq!(value.len(), 8);
        assert!(value.contains(|c: char| c.is_ascii_lowercase()), "{value:?}");
        assert!(value.contains(|c: char| c.is_ascii_uppercase()), "{value:?}");
        assert!(value.contains(|c: char| c.is_ascii_digit()), "{value:?}");
        assert!(value.contains(|c: char| c.is_ascii_punctuation()), "{value:?}");
    }
}

#[tokio::test]
async fn a_passphrase_has_its_words_and_its_separator() {
    let room = Room::open().await;
    for value in both_ways(&room, passphrase(None, None)).await {
        assert_eq!(value.split('-').count(), 8, "{value:?}");
        assert!(value.split('-').all(|word| word.bytes().all(|c| c.is_ascii_lowercase())), "{value:?}");
    }
    for value in both_ways(&room, passphrase(Some(4), Some(" "))).await {
        assert_eq!(value.split(' ').count(), 4, "{value:?}");
    }
}

#[tokio::test]
async fn a_key_pair_has_its_private_key_as_the_value_and_its_public_key_in_the_metadata() {
    let room = Room::open().await;
    for algorithm in [KeyPairAlgorithm::Ed25519, KeyPairAlgorithm::EcdsaP256] {
        let name = format!("pair_{}", Uuid::new_v4().simple());
        let metadata = pairs(&[("owner", "payments")]);
        let request =
            CreateSecretRequest { value: None, generate: key_pair(algorithm), metadata, ..create(&name, "") };
        let created = room.create_with(request).await;
        let first = (room.value(&name).await, created.metadata.get("public_key").unwrap().clone());
        assert_eq!(created.metadata.get("owner").unwrap(), "payments");

        let request = RotateSecretRequest { value: None, generate: key_pair(algorithm), ..rotate(&name, "") };
        let rotated = room.secrets().rotate_secret(request).await.unwrap().into_inner().secret.unwrap();
        let second = (room.value(&name).await, rotated.metadata.get("public_key").unwrap().clone());
        assert_eq!(rotated.metadata.len(), 2);

        // The way back to the first pair, and forward again.
        for (version, of_version) in [(1, &first), (2, &second)] {
            let promotion = PromoteVersionRequest { name: name.clone(), version, ..Default::default() };
            let promoted =
                room.secrets().promote_version(promotion).await.unwrap().into_inner().secret.unwrap();
            let now = (room.value(&name).await, promoted.metadata.get("public_key").unwrap().clone());
            assert_eq!(&now, of_version);
        }

        assert_ne!(first, second);
        for (private, public) in [first, second] {
            let Value::Text(private) = private else { panic!("{private:?} is not text") };
            assert_eq!(public_key_by_openssl(&private), public);
        }

        // Another value has no public key.
        let rotated = room.secrets().rotate_secret(rotate(&name, "other")).await.unwrap().into_inner();
        assert_eq!(rotated.secret.unwrap().metadata, pairs(&[("owner", "payments")]));
        // A public key that is not of the former value is the caller's own.
        let own = pairs(&[("public_key", "-----BEGIN PUBLIC KEY-----\nown")]);
        let request = UpdateSecretRequest { metadata: own.clone(), ..update(&name) };
        room.update(request).await;
        let rotated = room.secrets().rotate_secret(rotate(&name, "another")).await.unwrap().into_inner();
        assert_eq!(rotated.secret.unwrap().metadata, own);
    }
    // There is no room for the public key.
    let request = CreateSecretRequest {
        value: None,
        generate: key_pair(KeyPairAlgorithm::Ed25519),
        metadata: many_pairs(64),
        ..create("full", "")
    };
    invalid(room.secrets().create_secret(request).await, &["metadata"]);
}

/// The public key of a private key, both in PEM, as another implementation sees it.
fn public_key_by_openssl(private: &str) -> String {
    let mut openssl = Command::new("openssl")
        .args(["pkey", "-pubout"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl");
    openssl.stdin.take().unwrap().write_all(private.as_bytes()).unwrap();
    let output = openssl.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn no_value_is_generated_twice() {
    let room = Room::open().await;
    let mut seen = BTreeSet::new();
    for generate in [password(None, ""), random_bytes(None, BytesEncoding::Hex), random_uuid()] {
        for _ in 0..20 {
            for value in both_ways(&room, generate.clone()).await {
                assert!(seen.insert(value), "a value was generated twice");
            }
        }
    }
}

#[tokio::test]
async fn a_generated_value_is_returned_only_on_request() {
    let room = Room::open().await;
    for return_value in [false, true] {
        let name = format!("returned_{return_value}");
        let request =
            CreateSecretRequest { value: None, generate: random_uuid(), return_value, ..create(&name, "") };
        let created = room.create_with(request).await;
        let kept = room.value(&name).await;
        assert_eq!(Value::of(&created), if return_value { kept } else { Value::Redacted });

        let request =
            RotateSecretRequest { value: None, generate: random_uuid(), return_value, ..rotate(&name, "") };
        let rotated = room.secrets().rotate_secret(request).await.unwrap().into_inner().secret.unwrap();
        let kept = room.value(&name).await;
        assert_eq!(Value::of(&rotated), if return_value { kept } else { Value::Redacted });
    }
}

#[tokio::test]
async fn generators_beyond_their_limits_are_refused_and_make_nothing() {
    let room = Room::open().await;
    room.create("there", "v").await;
    let before = room.get("there").await;
    let all_printable: String = ('!'..='~').collect();
    for generate in [
        password(Some(0), ""),
        password(Some(7), ""),
        password(Some(4097), ""),
        password(Some(u32::MAX), ""),
        password(None, "a"),
        password(None, "abca"),
        password(None, "abé"),
        password(None, "ab\n"),
        password(None, "ab\0"),
        password(None, "ab\u{7f}"),
        password(None, &all_printable.repeat(3)),
        random_bytes(Some(0), BytesEncoding::Hex),
        random_bytes(Some(15), BytesEncoding::Hex),
        random_bytes(Some(4097), BytesEncoding::Raw),
        random_bytes(Some(u32::MAX), BytesEncoding::Base64url),
        unknown_encoding(),
        password_with(8, "abc", &[CharacterClass::Digit]),
        password_with(8, "", &[CharacterClass::Unspecified]),
        passphrase(Some(3), None),
        passphrase(Some(65), None),
        passphrase(None, Some("123456789")),
        passphrase(None, Some("\n")),
        key_pair(KeyPairAlgorithm::Unspecified),
        Some(Generator { kind: None }),
    ] {
        let request = CreateSecretRequest { value: None, generate: generate.clone(), ..create("made", "") };
        invalid(room.secrets().create_secret(request).await, &["generate"]);
        let request = RotateSecretRequest { value: None, generate, ..rotate("there", "") };
        invalid(room.secrets().rotate_secret(request).await, &["generate"]);
    }
    assert_eq!(room.names().await, ["there"]);
    assert_eq!(room.get("there").await, before);
}

#[tokio::test]
async fn a_password_may_use_every_printable_character() {
    let room = Room::open().await;
    let alphabet: String = ('!'..='~').collect();
    let made = both_ways(&room, password(Some(4096), &alphabet)).await;
    assert_eq!(made[0].chars().collect::<BTreeSet<_>>().len(), 94);
}

#[tokio::test]
async fn rotate_takes_a_value_or_a_generator_but_not_both_nor_neither() {
    let room = Room::open().await;
    room.create("A", "v").await;
    let before = room.get("A").await;
    for request in [
        RotateSecretRequest { generate: random_uuid(), ..rotate("A", "w") },
        RotateSecretRequest { value: None, ..rotate("A", "") },
        RotateSecretRequest { value: Value::Redacted.sent(), ..rotate("A", "") },
    ] {
        let status =
            refused(room.secrets().rotate_secret(request).await, Code::InvalidArgument, "VALIDATION_FAILED");
        let fields = fields_of(&status);
        assert!(
            fields.iter().all(|field| field == "value" || field == "generate") && !fields.is_empty(),
            "{status:?}"
        );
    }
    let request = RotateSecretRequest { return_value: true, ..rotate("A", "w") };
    invalid(room.secrets().rotate_secret(request).await, &["return_value"]);
    assert_eq!(room.get("A").await, before);
}

/// The texts that a create and a rotation generate.
async fn both_ways(room: &Caller, generate: Option<Generator>) -> [String; 2] {
    values_made(room, generate).await.map(|value| match value {
        Value::Text(text) => text,
        other => panic!("{other:?} is not text"),
    })
}

async fn values_made(room: &Caller, generate: Option<Generator>) -> [Value; 2] {
    let name = format!("made_{}", Uuid::new_v4().simple());
    let request = CreateSecretRequest { value: None, generate: generate.clone(), ..create(&name, "") };
    room.create_with(request).await;
    let created = room.value(&name).await;
    let request = RotateSecretRequest { value: None, generate, ..rotate(&name, "") };
    room.secrets().rotate_secret(request).await.unwrap();
    [created, room.value(&name).await]
}

fn unknown_encoding() -> Option<Generator> {
    use strongroom::api::v1::{BytesGenerator, generator::Kind};
    Some(Generator { kind: Some(Kind::Bytes(BytesGenerator { length: None, encoding: 99 })) })
}
