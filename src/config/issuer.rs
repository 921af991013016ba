//! The issuers of tokens: which tokens are credentials, and where the issuers' keys are. They are checked before anything is
//! opened.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use serde::Deserialize;

use super::{ConfigError, connection_age::duration};

/// The longest life of a token: 1 day.
const MAX_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// How often an issuer's keys are fetched: every 5 minutes.
const REFRESH: Duration = Duration::from_secs(5 * 60);
/// How long keys stay in use that cannot be fetched again: 1 day.
const KEYS_MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// An issuer, a table `[[issuers]]` of the configuration file. `None`: the default counts.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerSettings {
    /// Its name in principals, such as `cluster` in `jwt:cluster:system:serviceaccount:web:api`.
    pub name: String,
    /// The claim `iss` of its tokens, exactly.
    pub issuer: String,
    /// The claim `aud` of a token must have one of these.
    pub audiences: Vec<String>,
    /// The file of its keys, a JSON web key set.
    #[serde(alias = "jwks-file")]
    pub jwks_file: Option<PathBuf>,
    /// The URL of its keys, which begins with `https://`.
    #[serde(alias = "jwks-url")]
    pub jwks_url: Option<String>,
    /// The authorities (PEM) that signed the certificate of that URL.
    #[serde(alias = "jwks-ca")]
    pub jwks_ca: Option<PathBuf>,
    /// How often its keys are fetched, such as `5m`.
    #[serde(default, deserialize_with = "duration")]
    #[serde(alias = "jwks-refresh")]
    pub jwks_refresh: Option<Duration>,
    /// How long its keys stay in use while they cannot be fetched again, such as `24h`.
    #[serde(default, deserialize_with = "duration")]
    #[serde(alias = "jwks-max-age")]
    pub jwks_max_age: Option<Duration>,
    /// The algorithms of signatures that are accepted.
    pub algorithms: Option<Vec<TokenAlgorithm>>,
    /// The claim that becomes the principal.
    #[serde(alias = "subject-claim")]
    pub subject_claim: Option<String>,
    /// The claim that lists the groups.
    #[serde(alias = "groups-claim")]
    pub groups_claim: Option<String>,
    /// The claims that a token must have, each with this text exactly.
    #[serde(alias = "required-claims")]
    pub required_claims: Option<BTreeMap<String, String>>,
    /// The longest life of a token, such as `24h`.
    #[serde(default, deserialize_with = "duration")]
    #[serde(alias = "max-lifetime")]
    pub max_lifetime: Option<Duration>,
    /// The namespace that an empty namespace in a request means.
    #[serde(alias = "home-namespace")]
    pub home_namespace: Option<String>,
}

/// An algorithm of signatures (RFC 7518 section 3.1 and RFC 8037). All of them have a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[allow(missing_docs)] // the names are the standard's
pub enum TokenAlgorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

/// An issuer of tokens, complete and checked.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// Its name in principals.
    pub name: String,
    /// The claim `iss` of its tokens.
    pub issuer: String,
    /// The claim `aud` of a token must have one of these.
    pub audiences: Vec<String>,
    /// Where its keys are.
    pub keys: KeySource,
    /// The algorithms of signatures that are accepted.
    pub algorithms: Vec<TokenAlgorithm>,
    /// The claim that becomes the principal.
    pub subject_claim: String,
    /// The claim that lists the groups.
    pub groups_claim: Option<String>,
    /// The claims that a token must have, each with its text.
    pub required_claims: BTreeMap<String, String>,
    /// The longest life of a token.
    pub max_lifetime: Duration,
    /// The namespace that an empty namespace in a request means.
    pub home_namespace: Option<String>,
}

/// Where the keys of an issuer are.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// In a file, which is read at the start and at each reload.
    File(PathBuf),
    /// At a URL, from which they are fetched regularly.
    Url {
        /// The URL, whose scheme is `https`.
        url: Uri,
        /// The authorities (PEM) that signed its certificate; `None`: those of the system.
        ca: Option<PathBuf>,
        /// How often the keys are fetched.
        refresh: Duration,
        /// How long keys stay in use that cannot be fetched again.
        max_age: Duration,
    },
}

impl Issuer {
    /// The issuers of these settings.
    pub(super) fn from_settings(settings: Vec<IssuerSettings>) -> Result<Vec<Self>, ConfigError> {
        let mut issuers: Vec<Self> = Vec::new();
        for settings in settings {
            let name = settings.name.clone();
            let failed = |problem| ConfigError::Issuer { name, problem };
            let issuer = match Self::checked(settings) {
                Ok(issuer) => issuer,
                Err(problem) => return Err(failed(problem)),
            };
            if issuers.iter().any(|other| other.name == issuer.name) {
                return Err(failed("another issuer has the same name: give each its own"));
            }
            if issuers.iter().any(|other| other.issuer == issuer.issuer) {
                return Err(failed(
                    "another issuer has the same 'issuer': put the audiences of both into one",
                ));
            }
            issuers.push(issuer);
        }
        Ok(issuers)
    }

    fn checked(settings: IssuerSettings) -> Result<Self, &'static str> {
        let require = |ok: bool, problem| if ok { Ok(()) } else { Err(problem) };
        require(
            is_name(&settings.name),
            "its name must be 1 to 64 letters, digits, dots, underscores and hyphens, beginning with a letter or a digit",
        )?;
        require(!settings.issuer.is_empty(), "'issuer' must be the text of the claim iss of its tokens")?;
        let audiences = &settings.audiences;
        require(
            !audiences.is_empty() && audiences.iter().all(|audience| !audience.is_empty()),
            "'audiences' must name what its tokens are for, such as [\"strongroom\"]",
        )?;
        let algorithms = settings
            .algorithms
            .unwrap_or_else(|| vec![TokenAlgorithm::RS256, TokenAlgorithm::ES256, TokenAlgorithm::EdDSA]);
        require(!algorithms.is_empty(), "'algorithms' must have at least one, or be left out")?;
        let subject_claim = settings.subject_claim.unwrap_or_else(|| "sub".to_owned());
        require(!subject_claim.is_empty(), "'subject_claim' must name a claim, or be left out")?;
        require(
            settings.groups_claim.as_deref() != Some(""),
            "'groups_claim' must name a claim, or be left out",
        )?;
        let max_lifetime = settings.max_lifetime.unwrap_or(MAX_LIFETIME);
        require(
            (MINUTE..=366 * DAY).contains(&max_lifetime),
            "'max_lifetime' must be between 1m and 366days",
        )?;
        let remote =
            [settings.jwks_refresh.is_some(), settings.jwks_max_age.is_some(), settings.jwks_ca.is_some()];
        let refresh = settings.jwks_refresh.unwrap_or(REFRESH);
        let max_age = settings.jwks_max_age.unwrap_or(KEYS_MAX_AGE.max(refresh));
        let keys = match (settings.jwks_file, settings.jwks_url) {
            (Some(_), None) if remote.contains(&true) => {
                return Err(
                    "'jwks_ca', 'jwks_refresh' and 'jwks_max_age' are for 'jwks_url': leave them out",
                );
            }
            (Some(file), None) => KeySource::File(file),
            (None, Some(url)) => {
                let url = https(&url).ok_or("'jwks_url' must be https://HOST/PATH, without a user")?;
                require((MINUTE..=DAY).contains(&refresh), "'jwks_refresh' must be between 1m and 1day")?;
                require(
                    (refresh..=30 * DAY).contains(&max_age),
                    "'jwks_max_age' must be between 'jwks_refresh' and 30days",
                )?;
                KeySource::Url { url, ca: settings.jwks_ca, refresh, max_age }
            }
            (Some(_), Some(_)) | (None, None) => return Err("give its keys as 'jwks_file' or as 'jwks_url'"),
        };
        Ok(Self {
            name: settings.name,
            issuer: settings.issuer,
            audiences: settings.audiences,
            keys,
            algorithms,
            subject_claim,
            groups_claim: settings.groups_claim,
            required_claims: settings.required_claims.unwrap_or_default(),
            max_lifetime,
            home_namespace: settings.home_namespace,
        })
    }
}

/// Whether a text can be the name of an issuer in a principal.
fn is_name(text: &str) -> bool {
    let begins = text.starts_with(|first: char| first.is_ascii_alphanumeric());
    let holds = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    begins && text.len() <= 64 && text.bytes().all(holds)
}

/// Parses a URL of TLS, without a user.
fn https(text: &str) -> Option<Uri> {
    let url: Uri = text.parse().ok()?;
    let authority = url.authority()?;
    let whole = url.scheme_str() == Some("https") && !authority.host().is_empty();
    (whole && !authority.as_str().contains('@')).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Settings};

    fn issuers(toml: &str) -> Result<Vec<Issuer>, ConfigError> {
        Config::try_from(toml::from_str::<Settings>(toml).unwrap()).map(|config| config.issuers)
    }

    const CLUSTER: &str =
        "[[issuers]]\nname = 'cluster'\nissuer = 'https://k8s'\naudiences = ['strongroom']\n";

    #[test]
    fn an_issuer_has_defaults() {
        let issuer = issuers(&format!("{CLUSTER}jwks_url = 'https://k8s/jwks'")).unwrap().remove(0);
        assert_eq!((issuer.subject_claim.as_str(), issuer.groups_claim), ("sub", None));
        assert_eq!(issuer.algorithms, [TokenAlgorithm::RS256, TokenAlgorithm::ES256, TokenAlgorithm::EdDSA]);
        assert_eq!(issuer.max_lifetime, DAY);
        let KeySource::Url { url, ca, refresh, max_age } = issuer.keys else { panic!("a file") };
        assert_eq!((url.to_string().as_str(), ca), ("https://k8s/jwks", None));
        assert_eq!((refresh, max_age), (5 * MINUTE, DAY));
        assert!(issuers("").unwrap().is_empty());
    }

    #[test]
    fn settings_that_cannot_be_used_are_refused_by_name() {
        let url = "jwks_url = 'https://k8s/jwks'";
        for (line, says) in [
            ("", "jwks_file"),
            ("jwks_file = 'a'\njwks_url = 'https://b/c'", "jwks_file"),
            ("jwks_file = 'a'\njwks_ca = 'b'", "jwks_ca"),
            ("jwks_url = 'http://k8s/jwks'", "jwks_url"),
            ("jwks_url = 'https://user:pass@k8s/jwks'", "jwks_url"),
            ("jwks_url = 'https://'", "jwks_url"),
            (&format!("{url}\nalgorithms = []"), "algorithms"),
            (&format!("{url}\njwks_refresh = '1s'"), "jwks_refresh"),
            (&format!("{url}\njwks_refresh = '2h'\njwks_max_age = '1h'"), "jwks_max_age"),
            (&format!("{url}\nmax_lifetime = '10years'"), "max_lifetime"),
            (&format!("{url}\nsubject_claim = ''"), "subject_claim"),
        ] {
            let refused = toml::from_str::<Settings>(&format!("{CLUSTER}{line}"));
            let refused = Config::try_from(refused.unwrap()).unwrap_err().to_string();
            assert!(refused.contains("'cluster'") && refused.contains(says), "{line}: {refused}");
        }
        for (from, to) in [("'cluster'", "'a:b'"), ("'cluster'", "''"), ("['strongroom']", "[]")] {
            assert!(issuers(&format!("{}{url}", CLUSTER.replace(from, to))).is_err(), "{to}");
        }
        let other = CLUSTER.replace("'cluster'", "'other'");
        let twice = format!("{CLUSTER}{url}\n{other}{url}");
        assert!(issuers(&twice).unwrap_err().to_string().contains("same 'issuer'"));
    }

    #[test]
    fn an_algorithm_without_a_public_key_is_refused() {
        for algorithm in ["HS256", "none", "RS1"] {
            let toml = format!("{CLUSTER}jwks_file = 'a'\nalgorithms = ['{algorithm}']");
            let refused = toml::from_str::<Settings>(&toml).unwrap_err().to_string();
            assert!(refused.contains(algorithm), "{refused}");
        }
    }
}
