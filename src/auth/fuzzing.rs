//! Entry points for fuzzing: bytes as callers and issuers could send them. None may become a credential that nobody signed.

use tokio_rustls::rustls::pki_types::CertificateDer;

use super::certificate::ClientAuthorities;
use super::key_set::{KeyPrint, KeySet};
use super::token::{Token, TokenRules};
use crate::config::{Config, Settings};
use crate::domain::Timestamp;

/// An issuer whose private key nobody has here (RFC 8037, appendix A.2).
const KEYS: &[u8] =
    br#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
const ISSUER: &str =
    "[[issuers]]\nname = 'i'\nissuer = 'i'\naudiences = ['a']\njwks_file = 'k'\ngroups_claim = 'groups'";
const NOW: Timestamp = Timestamp::from_micros(1_764_007_876_120_000);

fn rules() -> Option<TokenRules> {
    let config = Config::try_from(toml::from_str::<Settings>(ISSUER).ok()?).ok()?;
    TokenRules::new(config.issuers.first()?).ok()
}

/// Tries the bytes as a token, as the claims of a token that was signed, as a key set, as authorities, and as a certificate.
pub fn presented(bytes: &[u8]) {
    let (Some(rules), Ok(keys)) = (rules(), KeySet::parse(KEYS)) else { return };
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(token) = Token::parse(text)
    {
        assert!(rules.verify(&token, &keys, NOW).is_err());
    }
    if let Ok(claims) = serde_json::from_slice(bytes)
        && let Ok(token) = rules.accept(&claims, KeyPrint([0; 32]), NOW)
    {
        let day = std::time::Duration::from_secs(25 * 60 * 60);
        assert!(token.expires_at() > NOW && token.expires_at() < NOW.plus(day));
        let text = token.name().to_string();
        assert_eq!(super::PrincipalName::parse(&text).as_ref(), Ok(token.name()));
    }
    if let Ok(keys) = KeySet::parse(bytes)
        && let Ok(token) = Token::parse("eyJhbGciOiJFZERTQSIsImtpZCI6ImEifQ.eyJpc3MiOiJpIn0.AA")
    {
        assert!(rules.verify(&token, &keys, NOW).is_err());
    }
    let _ = ClientAuthorities::parse(bytes, NOW);
    let chain = bytes.split(|byte| *byte == 0xff).map(CertificateDer::from).collect::<Vec<_>>();
    for chain in [chain.as_slice(), &[CertificateDer::from(bytes)]] {
        assert!(ClientAuthorities::default().verify(chain, NOW).is_err());
    }
}
