//! The settings of etcd. They are checked before anything is opened.

use std::path::PathBuf;

use zeroize::Zeroizing;

use super::endpoint::Endpoint;
use super::{ConfigError, Settings, StoreKind, Tls};

/// The environment variable of the password of etcd's user, used where no file is named.
pub const PASSWORD_VARIABLE: &str = "STRONGROOM_ETCD_PASSWORD";

const DEFAULT_PREFIX: &str = "strongroom/";
const DEFAULT_PORT: u16 = 2379;
const MAX_PREFIX: usize = 128;

/// How to reach etcd.
#[derive(Debug, Clone)]
pub struct Etcd {
    /// The client addresses of its members: `http://HOST:PORT` or `https://HOST:PORT`, at least one.
    pub endpoints: Vec<String>,
    /// The prefix of this store's keys in etcd. Ends in `/`.
    pub prefix: String,
    /// The authorities (PEM) that signed the members' certificates; `None`: those of the system.
    pub ca: Option<PathBuf>,
    /// The certificate and key with which this service identifies itself to etcd.
    pub identity: Option<Tls>,
    /// The user that the service logs in as.
    pub user: Option<String>,
    /// The file of the user's password; `None`: the password is in [`PASSWORD_VARIABLE`].
    pub password_file: Option<PathBuf>,
}

/// Why there is no password of etcd's user. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The file cannot be read.
    #[error("the file of etcd's password, {}, cannot be read: {}", .0.display(), .1)]
    File(PathBuf, std::io::Error),
    /// Neither a file nor the environment has it.
    #[error("--etcd-user is given without a password: give --etcd-password-file, or set {PASSWORD_VARIABLE}")]
    Missing,
}

impl Etcd {
    /// The settings of etcd; `None` where another store keeps the data.
    pub(super) fn from_settings(settings: &Settings) -> Result<Option<Self>, ConfigError> {
        let given = [
            ("--etcd-endpoints", settings.etcd_endpoints.is_some()),
            ("--etcd-prefix", settings.etcd_prefix.is_some()),
            ("--etcd-ca", settings.etcd_ca.is_some()),
            ("--etcd-cert", settings.etcd_cert.is_some()),
            ("--etcd-key", settings.etcd_key.is_some()),
            ("--etcd-user", settings.etcd_user.is_some()),
            ("--etcd-password-file", settings.etcd_password_file.is_some()),
        ];
        if settings.store != Some(StoreKind::Etcd) {
            return match given.iter().find(|(_, given)| *given) {
                Some((flag, _)) => Err(ConfigError::EtcdElsewhere(flag)),
                None => Ok(None),
            };
        }
        let list = settings.etcd_endpoints.as_deref().ok_or(ConfigError::EtcdEndpointsMissing)?;
        let endpoints = list.split(',').map(endpoint).collect::<Option<Vec<_>>>();
        let endpoints = endpoints.ok_or(ConfigError::EtcdEndpoints)?;
        let identity = match (settings.etcd_cert.clone(), settings.etcd_key.clone()) {
            (Some(cert), Some(key)) => Some(Tls { cert, key }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(ConfigError::HalfEtcdTls),
        };
        if settings.etcd_user.is_none() && settings.etcd_password_file.is_some() {
            return Err(ConfigError::EtcdUserMissing);
        }
        let ca = settings.etcd_ca.clone();
        if (ca.is_some() || identity.is_some()) && endpoints.iter().any(|endpoint| !endpoint.tls) {
            return Err(ConfigError::EtcdTlsWithoutHttps);
        }
        let in_the_clear = endpoints.iter().find(|endpoint| !endpoint.tls && !endpoint.loopback);
        if let (Some(endpoint), Some(_)) = (in_the_clear, &settings.etcd_user)
            && !settings.insecure_plaintext.unwrap_or(false)
        {
            return Err(ConfigError::EtcdPlaintext(endpoint.url.clone()));
        }
        Ok(Some(Self {
            endpoints: endpoints.into_iter().map(|endpoint| endpoint.url).collect(),
            prefix: prefix(settings.etcd_prefix.as_deref().unwrap_or(DEFAULT_PREFIX))?,
            ca,
            identity,
            user: settings.etcd_user.clone(),
            password_file: settings.etcd_password_file.clone(),
        }))
    }

    /// The password of the user, without the line end that an editor adds.
    pub fn password(&self) -> Result<Zeroizing<String>, PasswordError> {
        let text = match &self.password_file {
            Some(file) => {
                std::fs::read_to_string(file).map_err(|error| PasswordError::File(file.clone(), error))?
            }
            None => std::env::var(PASSWORD_VARIABLE).map_err(|_| PasswordError::Missing)?,
        };
        let text = Zeroizing::new(text);
        Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
    }
}

/// Parses an endpoint as a person writes it: with or without a scheme, with or without a port.
fn endpoint(text: &str) -> Option<Endpoint> {
    let text = text.trim();
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    Endpoint::parse(&with_scheme, DEFAULT_PORT)
}

fn prefix(text: &str) -> Result<String, ConfigError> {
    let acceptable =
        !text.is_empty() && text.len() <= MAX_PREFIX && text.bytes().all(|b| b.is_ascii_graphic());
    if !acceptable {
        return Err(ConfigError::EtcdPrefix);
    }
    // The `/` keeps the keys of two stores apart whose prefixes begin alike.
    Ok(if text.ends_with('/') { text.to_owned() } else { format!("{text}/") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn config(toml: &str) -> Result<Config, ConfigError> {
        Config::try_from(toml::from_str::<Settings>(toml).unwrap())
    }

    fn etcd(toml: &str) -> Etcd {
        config(&format!("store = 'etcd'\n{toml}")).unwrap().etcd.unwrap()
    }

    #[test]
    fn endpoints_are_taken_as_people_write_them() {
        let settings = etcd("etcd_endpoints = 'one, http://two:1/,https://[::1]:3'\netcd_prefix = 'team'");
        assert_eq!(settings.endpoints, ["http://one:2379", "http://two:1", "https://[::1]:3"]);
        assert_eq!(settings.prefix, "team/");
        assert_eq!(etcd("etcd_endpoints = 'one'").prefix, "strongroom/");
        for refused in ["", "one,", "ftp://one", "http://user:pass@one", "http://one/path", "http://"] {
            let refused = config(&format!("store = 'etcd'\netcd_endpoints = '{refused}'"));
            assert!(matches!(refused, Err(ConfigError::EtcdEndpoints)));
        }
        assert!(matches!(config("store = 'etcd'"), Err(ConfigError::EtcdEndpointsMissing)));
        let refused = config("store = 'etcd'\netcd_endpoints = 'one'\netcd_prefix = ''");
        assert!(matches!(refused, Err(ConfigError::EtcdPrefix)));
    }

    #[test]
    fn settings_of_etcd_are_for_etcd_and_whole() {
        assert!(matches!(
            config("etcd_endpoints = 'one'"),
            Err(ConfigError::EtcdElsewhere("--etcd-endpoints"))
        ));
        let one = |more: &str| config(&format!("store = 'etcd'\netcd_endpoints = 'https://one'\n{more}"));
        assert!(matches!(one("etcd_cert = 'c'"), Err(ConfigError::HalfEtcdTls)));
        assert!(matches!(one("etcd_password_file = 'p'"), Err(ConfigError::EtcdUserMissing)));
        let plain = config("store = 'etcd'\netcd_endpoints = 'one'\netcd_ca = 'ca'");
        assert!(matches!(plain, Err(ConfigError::EtcdTlsWithoutHttps)));
    }

    #[test]
    fn a_password_goes_in_the_clear_only_to_this_machine() {
        let to = |endpoints: &str, more: &str| {
            config(&format!("store = 'etcd'\netcd_endpoints = '{endpoints}'\netcd_user = 'u'\n{more}"))
        };
        assert!(
            matches!(to("127.0.0.1,10.0.0.1", ""), Err(ConfigError::EtcdPlaintext(url)) if url.contains("10.0"))
        );
        assert!(to("127.0.0.1:1,[::1]:2,localhost", "").is_ok());
        assert!(to("https://10.0.0.1", "").is_ok());
        assert!(to("10.0.0.1", "insecure_plaintext = true").is_ok());
    }

    #[test]
    fn a_password_is_read_without_the_end_of_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, " of spaces \r\n").unwrap();
        let settings = Etcd { password_file: Some(file), ..etcd("etcd_endpoints = 'one'") };
        assert_eq!(settings.password().unwrap().as_str(), " of spaces ");
        let missing = Etcd { password_file: Some("not/there".into()), ..settings };
        assert!(matches!(missing.password(), Err(PasswordError::File(..))));
    }
}
