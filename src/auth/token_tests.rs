//! Tokens at explicit times, and keys that are withdrawn.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData, SigningKey};
use serde_json::{Value, json};

use super::key_set::*;
use super::token::*;
use crate::config::{Config, Settings};
use crate::domain::Timestamp;

const SECOND: Duration = Duration::from_secs(1);

struct Signer(KeyPair);

impl Signer {
    fn new() -> Self {
        Self(KeyPair::generate_for(&PKCS_ED25519).unwrap())
    }

    fn jwk(&self) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "x": BASE64URL_NOPAD.encode(self.0.der_bytes())})
    }

    fn token(&self, claims: &Value) -> String {
        let part = |json: &Value| BASE64URL_NOPAD.encode(json.to_string().as_bytes());
        let signed = format!("{}.{}", part(&json!({"alg": "EdDSA"})), part(claims));
        let signature = self.0.sign(signed.as_bytes()).unwrap();
        format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
    }
}

fn keys(signers: &[&Signer]) -> KeySet {
    let keys: Vec<_> = signers.iter().map(|signer| signer.jwk()).collect();
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

fn rules(settings: &str) -> TokenRules {
    let issuer = "[[issuers]]\nname = 'i'\nissuer = 'https://i'\naudiences = ['a']\njwks_file = 'k'\n";
    let config = Config::try_from(toml::from_str::<Settings>(&format!("{issuer}{settings}")).unwrap());
    TokenRules::new(&config.unwrap().issuers[0]).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn verify(
    rules: &TokenRules,
    token: &str,
    keys: &KeySet,
    now: Timestamp,
) -> Result<VerifiedToken, TokenProblem> {
    rules.verify(&Token::parse(token)?, keys, now)
}

#[test]
fn a_token_is_in_force_from_its_begin_to_its_end_with_a_minute_for_the_clocks() {
    let (signer, rules) = (Signer::new(), rules(""));
    let keys = keys(&[&signer]);
    let claims = json!({"iss": "https://i", "aud": "a", "sub": "s", "nbf": 1000, "iat": 1000, "exp": 2000});
    let token = signer.token(&claims);
    for (now, expected) in [
        (939, Some(TokenProblem::NotYetValid)),
        (940, None),
        (2059, None),
        (2060, Some(TokenProblem::Expired)),
    ] {
        assert_eq!(verify(&rules, &token, &keys, at(now)).err(), expected, "at {now}");
    }
    let token = Arc::new(verify(&rules, &token, &keys, at(1500)).unwrap());
    assert_eq!(token.principal().expires_at(), Some(at(2060)));
    assert_eq!(token.in_force(&keys, at(2060)), Err(TokenProblem::Expired));
    assert_eq!(token.in_force(&keys, Timestamp::from_micros(2_059_999_999)), Ok(()));
}

#[test]
fn the_life_of_a_token_is_bounded_from_its_issue_and_else_from_now() {
    let (signer, rules) = (Signer::new(), rules("max_lifetime = '1h'"));
    let keys = keys(&[&signer]);
    let mut claims = json!({"iss": "https://i", "aud": "a", "sub": "s", "iat": 10_000, "exp": 13_600});
    assert!(verify(&rules, &signer.token(&claims), &keys, at(10_000)).is_ok());
    claims["exp"] = json!(13_661);
    let refused = verify(&rules, &signer.token(&claims), &keys, at(13_000));
    assert_eq!(refused.err(), Some(TokenProblem::TooLongLived));
    claims.as_object_mut().unwrap().remove("iat");
    assert!(verify(&rules, &signer.token(&claims), &keys, at(13_000)).is_ok());
    let refused = verify(&rules, &signer.token(&claims), &keys, at(10_000));
    assert_eq!(refused.err(), Some(TokenProblem::TooLongLived));
}

#[test]
fn a_token_ends_with_its_key() {
    let (signer, other, rules) = (Signer::new(), Signer::new(), rules(""));
    let claims = json!({"iss": "https://i", "aud": "a", "sub": "s", "exp": 2000});
    let token = verify(&rules, &signer.token(&claims), &keys(&[&signer]), at(1000)).unwrap();
    assert_eq!(token.in_force(&keys(&[&signer]), at(1000)), Ok(()));
    assert_eq!(token.in_force(&keys(&[&other, &signer]), at(1000)), Ok(()));
    assert_eq!(token.in_force(&keys(&[&other]), at(1000).plus(SECOND)), Err(TokenProblem::UnknownKey));
}

#[test]
fn without_an_id_a_token_means_the_only_key() {
    let (signer, other, rules) = (Signer::new(), Signer::new(), rules(""));
    let claims = json!({"iss": "https://i", "aud": "a", "sub": "s", "exp": 2000});
    let refused = verify(&rules, &signer.token(&claims), &keys(&[&signer, &other]), at(1000));
    assert_eq!(refused.err(), Some(TokenProblem::Algorithm));
}

#[test]
fn key_sets_are_bounded() {
    let many: Vec<_> = (0..101).map(|_| json!({"kty": "new"})).collect();
    let parse = |json: Value| KeySet::parse(json.to_string().as_bytes()).err();
    assert_eq!(parse(json!({ "keys": many })), Some(KeySetError::TooLarge));
    assert_eq!(parse(json!({"keys": [], "x": "x".repeat(256 * 1024)})), Some(KeySetError::TooLarge));
    assert_eq!(parse(json!([])), Some(KeySetError::Malformed));
    // 1024 bits are too few.
    let weak = json!({"kty": "RSA", "n": BASE64URL_NOPAD.encode(&[0xff; 128]), "e": "AQAB"});
    assert_eq!(
        parse(json!({"keys": [weak, {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]})),
        Some(KeySetError::Empty)
    );
}
