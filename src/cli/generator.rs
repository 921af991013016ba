//! How the service generates a value, in the short form of the command line, such as `password:40`.

use strongroom_client::v1::{self, generator::Kind};

/// What the help says of the short form.
pub(super) const FORMS: &str = "\
Values that the service generates (SPEC):
  password[:LENGTH[:CLASSES]]  letters and digits; each of CLASSES, such as
                               lower,upper,digit,symbol, occurs at least once;
                               8 to 4096 characters, 32 by default
  base64url[:LENGTH]           random bytes in base64url; 16 to 4096 bytes, 32 by
                               default
  hex[:LENGTH]                 the same in hexadecimal, with two digits for a byte
  raw[:LENGTH]                 the same as the bytes themselves
  bytes[:LENGTH[:ENCODING]]    the same; ENCODING is base64url, hex or raw
  uuid                         a random UUID
  passphrase[:WORDS]           random words, joined by hyphens; 4 to 64 words, 8 by
                               default
  key_pair:ALGORITHM           a private key, of ed25519 or ecdsa-p256; the public
                               key goes into the metadata 'public_key'";

/// Reads a generator from an argument.
pub(super) fn parse(spec: &str) -> Result<v1::Generator, String> {
    let mut parts = spec.split(':');
    let kind = parts.next().unwrap_or_default();
    let (first, second) = (parts.next(), parts.next());
    if parts.next().is_some() {
        return Err(format!("'{kind}' takes at most two settings"));
    }
    let kind = match (kind, first, second) {
        ("password", length, classes) => Kind::Password(v1::PasswordGenerator {
            length: length.map(number).transpose()?,
            alphabet: String::new(),
            required: classes.map(required).transpose()?.unwrap_or_default(),
        }),
        ("bytes", length, coding) => {
            bytes(length, coding.map_or(Ok(v1::BytesEncoding::Base64url), encoding)?)?
        }
        ("base64url" | "hex" | "raw", length, None) => bytes(length, encoding(kind)?)?,
        ("uuid", None, None) => Kind::Uuid(v1::UuidGenerator {}),
        ("uuid", Some(_), _) => return Err("a uuid takes no length".to_owned()),
        ("passphrase", words, None) => Kind::Passphrase(v1::PassphraseGenerator {
            words: words.map(number).transpose()?,
            separator: None,
        }),
        ("key_pair", Some(algorithm), None) => Kind::KeyPair(v1::KeyPairGenerator {
            algorithm: match algorithm {
                "ed25519" => v1::KeyPairAlgorithm::Ed25519.into(),
                "ecdsa-p256" => v1::KeyPairAlgorithm::EcdsaP256.into(),
                _ => return Err("expected key_pair:ed25519 or key_pair:ecdsa-p256".to_owned()),
            },
        }),
        ("key_pair", None, _) => return Err("expected key_pair:ed25519 or key_pair:ecdsa-p256".to_owned()),
        ("base64url" | "hex" | "raw" | "passphrase" | "key_pair", _, Some(_)) => {
            return Err(format!("'{kind}' takes at most one setting"));
        }
        _ => {
            return Err(
                "expected password[:LENGTH[:CLASSES]], bytes[:LENGTH[:ENCODING]], base64url[:LENGTH], \
                        hex[:LENGTH], raw[:LENGTH], uuid, passphrase[:WORDS] or key_pair:ALGORITHM"
                    .to_owned(),
            );
        }
    };
    Ok(v1::Generator { kind: Some(kind) })
}

/// A generator in its short form, as [`parse`] reads it. What the short form cannot say is named behind it.
pub(super) fn shown(generator: &v1::Generator) -> String {
    let with = |kind: &str, number: Option<u32>| match number {
        Some(number) => format!("{kind}:{number}"),
        None => kind.to_owned(),
    };
    match &generator.kind {
        Some(Kind::Password(password)) => {
            let mut text = with("password", password.length);
            if !password.required.is_empty() {
                let names: Vec<_> = password.required().map(class_name).collect();
                let length = if password.length.is_none() { ":32" } else { "" };
                text = format!("{text}{length}:{}", names.join(","));
            }
            if password.alphabet.is_empty() { text } else { format!("{text} of {}", password.alphabet) }
        }
        Some(Kind::Bytes(bytes)) => match bytes.encoding() {
            v1::BytesEncoding::Base64url | v1::BytesEncoding::Unspecified => with("base64url", bytes.length),
            v1::BytesEncoding::Hex => with("hex", bytes.length),
            v1::BytesEncoding::Raw => with("raw", bytes.length),
        },
        Some(Kind::Uuid(_)) => "uuid".to_owned(),
        Some(Kind::Passphrase(words)) => with("passphrase", words.words),
        Some(Kind::KeyPair(pair)) => match pair.algorithm() {
            v1::KeyPairAlgorithm::Ed25519 => "key_pair:ed25519".to_owned(),
            v1::KeyPairAlgorithm::EcdsaP256 => "key_pair:ecdsa-p256".to_owned(),
            v1::KeyPairAlgorithm::Unspecified => "key_pair".to_owned(),
        },
        None => "a generator of a later release".to_owned(),
    }
}

fn number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "the length after ':' must be a number".to_owned())
}

fn bytes(length: Option<&str>, encoding: v1::BytesEncoding) -> Result<Kind, String> {
    Ok(Kind::Bytes(v1::BytesGenerator { length: length.map(number).transpose()?, encoding: encoding.into() }))
}

fn encoding(name: &str) -> Result<v1::BytesEncoding, String> {
    match name {
        "base64url" => Ok(v1::BytesEncoding::Base64url),
        "hex" => Ok(v1::BytesEncoding::Hex),
        "raw" => Ok(v1::BytesEncoding::Raw),
        _ => Err("the encoding must be base64url, hex or raw".to_owned()),
    }
}

fn required(classes: &str) -> Result<Vec<i32>, String> {
    let class = |name: &str| match name {
        "lower" => Ok(v1::CharacterClass::Lower.into()),
        "upper" => Ok(v1::CharacterClass::Upper.into()),
        "digit" => Ok(v1::CharacterClass::Digit.into()),
        "symbol" => Ok(v1::CharacterClass::Symbol.into()),
        _ => Err("the classes must be some of lower, upper, digit and symbol, joined by commas".to_owned()),
    };
    classes.split(',').map(class).collect()
}

fn class_name(class: v1::CharacterClass) -> &'static str {
    match class {
        v1::CharacterClass::Lower => "lower",
        v1::CharacterClass::Upper => "upper",
        v1::CharacterClass::Digit => "digit",
        v1::CharacterClass::Symbol => "symbol",
        v1::CharacterClass::Unspecified => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_form_is_read_and_shown_again() {
        for (spec, again) in [
            ("password", "password"),
            ("password:40", "password:40"),
            ("password:32:lower,upper,digit,symbol", "password:32:lower,upper,digit,symbol"),
            ("bytes", "base64url"),
            ("bytes:32:hex", "hex:32"),
            ("bytes:16:raw", "raw:16"),
            ("base64url:24", "base64url:24"),
            ("hex", "hex"),
            ("raw:32", "raw:32"),
            ("uuid", "uuid"),
            ("passphrase", "passphrase"),
            ("passphrase:6", "passphrase:6"),
            ("key_pair:ed25519", "key_pair:ed25519"),
            ("key_pair:ecdsa-p256", "key_pair:ecdsa-p256"),
        ] {
            let read = parse(spec).unwrap();
            assert_eq!(shown(&read), again, "{spec}");
            assert_eq!(parse(again).unwrap(), read, "{spec}");
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for spec in [
            "",
            "words",
            "password:long",
            "password:-1",
            "password:32:vowel",
            "password:32:",
            "password:1:lower:2",
            "bytes:32:base32",
            "hex:32:raw",
            "uuid:4",
            "passphrase:six",
            "passphrase:6:-",
            "key_pair",
            "key_pair:rsa",
            "key_pair:ed25519:1",
        ] {
            assert!(parse(spec).is_err(), "{spec}");
        }
    }
}
