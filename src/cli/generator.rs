//! How the service generates a value, in the short form of the command line, such as `password:40`.

use strongroom_client::v1::{self, generator::Kind};

/// What the help says of the short form.
pub(super) const FORMS: &str = "\
Values that the service generates (SPEC):
  password[:LENGTH[:CLASSES[:ALPHABET]]]
                               letters and digits; each of CLASSES, such as
                               lower,upper,digit,symbol, occurs at least once;
                               8 to 4096 characters, 32 by default; with ALPHABET,
                               such as 'password:20::abcdef0123', these characters
  base64url[:LENGTH]           random bytes in base64url; 16 to 4096 bytes, 32 by
                               default
  hex[:LENGTH]                 the same in hexadecimal, with two digits for a byte
  raw[:LENGTH]                 the same as the bytes themselves
  bytes[:LENGTH[:ENCODING]]    the same; ENCODING is base64url, hex or raw
  uuid                         a random UUID
  passphrase[:WORDS[:SEPARATOR]]
                               random words, joined by hyphens, or by SEPARATOR;
                               4 to 64 words, 8 by default
  key_pair:ALGORITHM           a private key, of ed25519 or ecdsa-p256; the public
                               key goes into the metadata 'public_key'
ALPHABET and SEPARATOR are all that follows their colon. An empty setting before another one is the default.";

/// Reads a generator from an argument.
pub(super) fn parse(spec: &str) -> Result<v1::Generator, String> {
    let (kind, settings) =
        spec.split_once(':').map_or((spec, None), |(kind, settings)| (kind, Some(settings)));
    let kind = match kind {
        "password" => password(settings)?,
        "bytes" => {
            let (length, coding) = first(settings);
            bytes(length, encoding(coding.unwrap_or("base64url"))?)?
        }
        "base64url" | "hex" | "raw" => bytes(only(kind, settings)?, encoding(kind)?)?,
        "uuid" if settings.is_none() => Kind::Uuid(v1::UuidGenerator {}),
        "uuid" => return Err("a uuid takes no length".to_owned()),
        "passphrase" => {
            let (words, separator) = first(settings);
            let separator = separator.map(ToOwned::to_owned);
            Kind::Passphrase(v1::PassphraseGenerator {
                words: number(words, separator.is_some())?,
                separator,
            })
        }
        "key_pair" => Kind::KeyPair(v1::KeyPairGenerator {
            algorithm: match only(kind, settings)? {
                Some("ed25519") => v1::KeyPairAlgorithm::Ed25519.into(),
                Some("ecdsa-p256") => v1::KeyPairAlgorithm::EcdsaP256.into(),
                _ => return Err("expected key_pair:ed25519 or key_pair:ecdsa-p256".to_owned()),
            },
        }),
        _ => {
            return Err("expected password[:LENGTH[:CLASSES[:ALPHABET]]], bytes[:LENGTH[:ENCODING]], \
                        base64url[:LENGTH], hex[:LENGTH], raw[:LENGTH], uuid, passphrase[:WORDS[:SEPARATOR]] or \
                        key_pair:ALGORITHM"
                .to_owned());
        }
    };
    Ok(v1::Generator { kind: Some(kind) })
}

/// A generator in its short form, as [`parse`] reads it. The form leaves out what it stands for by default.
pub(super) fn shown(generator: &v1::Generator) -> String {
    let with = |kind: &str, number: Option<u32>| match number {
        Some(number) => format!("{kind}:{number}"),
        None => kind.to_owned(),
    };
    match &generator.kind {
        Some(Kind::Password(password)) => {
            let classes: Vec<_> = password.required().map(class_name).collect();
            let (length, classes) = (password.length, classes.join(","));
            let alphabet = Some(password.alphabet.as_str())
                .filter(|alphabet| !alphabet.is_empty() && *alphabet != implied_alphabet(password));
            let length_or_none = length.map(|length| length.to_string()).unwrap_or_default();
            match (alphabet, classes.as_str()) {
                (Some(alphabet), classes) => format!("password:{length_or_none}:{classes}:{alphabet}"),
                (None, "") => with("password", length),
                (None, classes) => format!("password:{length_or_none}:{classes}"),
            }
        }
        Some(Kind::Bytes(bytes)) => match bytes.encoding() {
            v1::BytesEncoding::Base64url | v1::BytesEncoding::Unspecified => with("base64url", bytes.length),
            v1::BytesEncoding::Hex => with("hex", bytes.length),
            v1::BytesEncoding::Raw => with("raw", bytes.length),
        },
        Some(Kind::Uuid(_)) => "uuid".to_owned(),
        Some(Kind::Passphrase(passphrase)) => match passphrase.separator.as_deref() {
            None | Some("-") => with("passphrase", passphrase.words),
            Some(separator) => {
                let words = passphrase.words.map(|words| words.to_string()).unwrap_or_default();
                format!("passphrase:{words}:{separator}")
            }
        },
        Some(Kind::KeyPair(pair)) => match pair.algorithm() {
            v1::KeyPairAlgorithm::Ed25519 => "key_pair:ed25519".to_owned(),
            v1::KeyPairAlgorithm::EcdsaP256 => "key_pair:ecdsa-p256".to_owned(),
            v1::KeyPairAlgorithm::Unspecified => "key_pair".to_owned(),
        },
        None => "a generator of a later release".to_owned(),
    }
}

/// The settings of a password: its length, its classes, and its alphabet, which may have colons.
fn password(settings: Option<&str>) -> Result<Kind, String> {
    let (length, rest) = first(settings);
    let (classes, alphabet) = first(rest);
    let required = match (classes, alphabet) {
        (None, _) | (Some(""), Some(_)) => Vec::new(),
        (Some(classes), _) => required(classes)?,
    };
    if alphabet == Some("") {
        return Err("the alphabet after the last ':' must have characters".to_owned());
    }
    Ok(Kind::Password(v1::PasswordGenerator {
        length: number(length, classes.is_some())?,
        alphabet: alphabet.unwrap_or_default().to_owned(),
        required,
    }))
}

/// The alphabet that a password has if none is given: letters and digits, and the other characters if they are required.
fn implied_alphabet(password: &v1::PasswordGenerator) -> String {
    let symbols = password.required().any(|class| class == v1::CharacterClass::Symbol);
    ('!'..='~').filter(|character| symbols || character.is_ascii_alphanumeric()).collect()
}

/// The first setting, and the rest.
fn first(settings: Option<&str>) -> (Option<&str>, Option<&str>) {
    match settings.map(|settings| settings.split_once(':').ok_or(settings)) {
        Some(Ok((first, rest))) => (Some(first), Some(rest)),
        Some(Err(only)) => (Some(only), None),
        None => (None, None),
    }
}

/// The only setting.
fn only<'a>(kind: &str, settings: Option<&'a str>) -> Result<Option<&'a str>, String> {
    match first(settings) {
        (only, None) => Ok(only),
        (_, Some(_)) => Err(format!("'{kind}' takes at most one setting")),
    }
}

/// A number. It may be empty only before another setting: then it is the default.
fn number(text: Option<&str>, more_follows: bool) -> Result<Option<u32>, String> {
    match text {
        None => Ok(None),
        Some("") if more_follows => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| "the length after ':' must be a number".to_owned()),
    }
}

fn bytes(length: Option<&str>, encoding: v1::BytesEncoding) -> Result<Kind, String> {
    Ok(Kind::Bytes(v1::BytesGenerator { length: number(length, false)?, encoding: encoding.into() }))
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
    use proptest::prelude::*;

    use super::*;
    use crate::domain;

    #[test]
    fn the_short_form_is_read_and_shown_again() {
        for (spec, again) in [
            ("password", "password"),
            ("password:40", "password:40"),
            ("password:32:lower,upper,digit,symbol", "password:32:lower,upper,digit,symbol"),
            ("password::digit", "password::digit"),
            ("password:8::abc", "password:8::abc"),
            ("password:8:lower,digit:ab:1,:", "password:8:lower,digit:ab:1,:"),
            ("password:::01", "password:::01"),
            ("bytes", "base64url"),
            ("bytes:32:hex", "hex:32"),
            ("bytes:16:raw", "raw:16"),
            ("base64url:24", "base64url:24"),
            ("hex", "hex"),
            ("raw:32", "raw:32"),
            ("uuid", "uuid"),
            ("passphrase", "passphrase"),
            ("passphrase:6", "passphrase:6"),
            ("passphrase:6:_", "passphrase:6:_"),
            ("passphrase:6:: ", "passphrase:6:: "),
            ("passphrase:6:", "passphrase:6:"),
            ("passphrase::.", "passphrase::."),
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
            "password:",
            "password:long",
            "password:-1",
            "password:32:vowel",
            "password:32:",
            "password:1:lower:",
            "password:32::",
            "bytes:32:base32",
            "bytes::hex",
            "hex:",
            "hex:32:raw",
            "uuid:4",
            "uuid:",
            "passphrase:",
            "passphrase:six",
            "key_pair",
            "key_pair:",
            "key_pair:rsa",
            "key_pair:ed25519:1",
        ] {
            assert!(parse(spec).is_err(), "{spec}");
        }
    }

    /// What a generator means to the service, which fills in what is left out.
    fn meaning(generator: &v1::Generator) -> domain::Generator {
        let class = |class| match class {
            v1::CharacterClass::Lower => domain::CharacterClass::Lower,
            v1::CharacterClass::Upper => domain::CharacterClass::Upper,
            v1::CharacterClass::Digit => domain::CharacterClass::Digit,
            v1::CharacterClass::Symbol | v1::CharacterClass::Unspecified => domain::CharacterClass::Symbol,
        };
        let encoding = |encoding| match encoding {
            v1::BytesEncoding::Base64url | v1::BytesEncoding::Unspecified => domain::BytesEncoding::Base64Url,
            v1::BytesEncoding::Hex => domain::BytesEncoding::Hex,
            v1::BytesEncoding::Raw => domain::BytesEncoding::Raw,
        };
        let made = match generator.kind.as_ref().unwrap() {
            Kind::Password(password) => {
                let required = password.required().map(class).collect();
                domain::Generator::password(password.length, &password.alphabet, required)
            }
            Kind::Bytes(bytes) => domain::Generator::bytes(bytes.length, encoding(bytes.encoding())),
            Kind::Uuid(_) => Ok(domain::Generator::Uuid),
            Kind::Passphrase(words) => domain::Generator::passphrase(words.words, words.separator.as_deref()),
            Kind::KeyPair(pair) => Ok(domain::Generator::KeyPair(match pair.algorithm() {
                v1::KeyPairAlgorithm::EcdsaP256 => domain::KeyPairAlgorithm::EcdsaP256,
                _ => domain::KeyPairAlgorithm::Ed25519,
            })),
        };
        made.unwrap()
    }

    fn lengths(least: u32, most: u32) -> impl Strategy<Value = Option<u32>> {
        proptest::option::of(least..=most)
    }

    fn passwords() -> impl Strategy<Value = Kind> {
        let characters: Vec<_> = ('!'..='~').collect();
        let all = characters.len();
        let alphabet = proptest::sample::subsequence(characters, 2..=all).prop_shuffle();
        let alphabet = prop_oneof![Just(Vec::new()), Just(('!'..='~').collect()), alphabet];
        let classes = proptest::sample::subsequence(vec![1, 2, 3, 4], 0..=4).prop_shuffle();
        (lengths(8, 4096), alphabet, classes).prop_map(|(length, alphabet, required)| {
            let alphabet: String = alphabet.into_iter().collect();
            let has = |class: &i32| {
                let one = v1::PasswordGenerator { required: vec![*class], ..Default::default() };
                alphabet.is_empty()
                    || alphabet.chars().any(|c| match one.required().next() {
                        Some(v1::CharacterClass::Lower) => c.is_ascii_lowercase(),
                        Some(v1::CharacterClass::Upper) => c.is_ascii_uppercase(),
                        Some(v1::CharacterClass::Digit) => c.is_ascii_digit(),
                        _ => c.is_ascii_punctuation(),
                    })
            };
            let required = required.into_iter().filter(has).collect();
            Kind::Password(v1::PasswordGenerator { length, alphabet, required })
        })
    }

    fn generators() -> impl Strategy<Value = v1::Generator> {
        let bytes = (lengths(16, 4096), 0..=3)
            .prop_map(|(length, encoding)| Kind::Bytes(v1::BytesGenerator { length, encoding }));
        let separator = proptest::option::of("[ -~]{0,8}");
        let words = (lengths(4, 64), separator)
            .prop_map(|(words, separator)| Kind::Passphrase(v1::PassphraseGenerator { words, separator }));
        let pairs = (1..=2).prop_map(|algorithm| Kind::KeyPair(v1::KeyPairGenerator { algorithm }));
        let uuid = Just(Kind::Uuid(v1::UuidGenerator {}));
        let kinds = prop_oneof![4 => passwords(), 2 => bytes, 3 => words, 1 => pairs, 1 => uuid];
        kinds.prop_map(|kind| v1::Generator { kind: Some(kind) })
    }

    proptest! {
        /// Whatever a policy has, and however the service has filled it in.
        #[test]
        fn what_is_shown_is_read_as_the_same(generator in generators()) {
            let text = shown(&generator);
            let read = parse(&text).unwrap();
            prop_assert_eq!(meaning(&read), meaning(&generator), "{}", text);
            prop_assert_eq!(shown(&read), text);
        }
    }
}
