//! What the server is told: flags, which win, over the configuration file, over the defaults.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

mod connection_age;
mod etcd;
mod master_key;

pub use self::connection_age::{ConnectionAge, parse_duration};
pub use self::etcd::{Etcd, PASSWORD_VARIABLE, PasswordError};
pub use self::master_key::{MASTER_KEY_VARIABLE, MasterKeySource};

/// What may be set, by a flag or in the configuration file (TOML, with these very names). Absent: not set there.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The folder of the store and the keys.
    pub data_dir: Option<PathBuf>,
    /// The address to listen on.
    pub listen: Option<SocketAddr>,
    /// The engine.
    pub store: Option<StoreKind>,
    /// Where etcd's members answer, separated by commas.
    pub etcd_endpoints: Option<String>,
    /// What the keys of this store begin with in etcd.
    pub etcd_prefix: Option<String>,
    /// The certificates (PEM) that those of etcd's members are signed by.
    pub etcd_ca: Option<PathBuf>,
    /// The certificate (PEM) that is shown to etcd.
    pub etcd_cert: Option<PathBuf>,
    /// The private key (PEM) of that certificate.
    pub etcd_key: Option<PathBuf>,
    /// The user to log in to etcd as.
    pub etcd_user: Option<String>,
    /// The file of that user's password.
    pub etcd_password_file: Option<PathBuf>,
    /// The file of the master key.
    pub master_key_file: Option<PathBuf>,
    /// The command that prints the master key.
    pub master_key_command: Option<String>,
    /// The file of a passphrase that the master key is made from.
    pub master_key_passphrase_file: Option<PathBuf>,
    /// The name of the systemd credential that is the master key.
    pub master_key_credential: Option<String>,
    /// The file of the master key, as the environment names it.
    #[serde(skip)]
    pub master_key_variable: Option<PathBuf>,
    /// Where systemd put this service's credentials.
    #[serde(skip)]
    pub credentials: Option<PathBuf>,
    /// The server's certificate chain (PEM).
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM).
    pub tls_key: Option<PathBuf>,
    /// Whether to listen without TLS where others can listen in.
    pub insecure_plaintext: Option<bool>,
    /// How long a connection lives, such as `1h`.
    #[serde(default, deserialize_with = "connection_age::duration")]
    pub max_connection_age: Option<Duration>,
    /// How much longer its requests may take then, such as `5m`.
    #[serde(default, deserialize_with = "connection_age::duration")]
    pub max_connection_age_grace: Option<Duration>,
    /// The file that says how far the store is.
    pub anchor_file: Option<PathBuf>,
    /// Whether to serve a store whatever was done to it: a flag only, since it is for once.
    #[serde(skip)]
    pub accept_altered_store: Option<bool>,
    /// The form of the log.
    pub log_format: Option<LogFormat>,
    /// How much is logged.
    pub log_level: Option<LogLevel>,
}

/// The engine that keeps the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// In the data folder, on disk.
    Sled,
    /// In etcd, for as many replicas as there should be; give --etcd-endpoints too.
    Etcd,
    /// In memory: everything is gone when the server stops. For trials and tests.
    Memory,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// Text for people.
    Text,
    /// A JSON object a line.
    Json,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // the names say it
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// What the server does.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder of the store and the keys.
    pub data_dir: PathBuf,
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The engine.
    pub store: StoreKind,
    /// How etcd is reached, where it is the engine.
    pub etcd: Option<Etcd>,
    /// Where the master key comes from.
    pub master_key: MasterKeySource,
    /// Certificate and private key; `None`: plaintext.
    pub tls: Option<Tls>,
    /// How long a connection lives.
    pub connection_age: ConnectionAge,
    /// The file that says how far the store is; `None`: none does.
    pub anchor_file: Option<PathBuf>,
    /// Whether to serve a store whatever was done to it.
    pub accept_altered_store: bool,
    /// The form of the log.
    pub log_format: LogFormat,
    /// How much is logged.
    pub log_level: LogLevel,
}

/// The files of the server's identity.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The certificate chain (PEM).
    pub cert: PathBuf,
    /// Its private key (PEM).
    pub key: PathBuf,
}

/// Why a configuration is refused. Says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can not be read.
    #[error("the configuration file {} can not be read: {}", .0.display(), .1)]
    File(PathBuf, std::io::Error),
    /// The file is not as expected.
    #[error("the configuration file {} is not acceptable: {}", .0.display(), .1)]
    Syntax(PathBuf, toml::de::Error),
    /// Only half of the identity is given.
    #[error("--tls-cert and --tls-key go together: give both, or neither")]
    HalfTls,
    /// Anyone on the network could read what goes over it.
    #[error(
        "{0} can be reached over the network, and without TLS anyone there could read keys and values: give --tls-cert \
         and --tls-key, listen on 127.0.0.1, or accept the risk with --insecure-plaintext"
    )]
    Plaintext(SocketAddr),
    /// A connection would be closed at once, or kept for too long.
    #[error("{flag} must be between 1s and 30days, and is {}", humantime::format_duration(*given))]
    ConnectionAge {
        /// The flag of the setting.
        flag: &'static str,
        /// Its value.
        given: Duration,
    },
    /// One master key opens the data.
    #[error(
        "{0} and {1} both say where the master key comes from: give one of them. A flag wins over {MASTER_KEY_VARIABLE}, and \
         that over the configuration file"
    )]
    TwoMasterKeys(&'static str, &'static str),
    /// systemd handed nothing over.
    #[error(
        "--master-key-credential is for a service that systemd starts with LoadCredential= or LoadCredentialEncrypted=: \
         CREDENTIALS_DIRECTORY is not set. Name the file with --master-key-file instead"
    )]
    NoCredentials,
    /// It would be another file's.
    #[error("--master-key-credential is the name of a credential: it is not empty, and has no /")]
    CredentialName,
    /// Nobody said where etcd is.
    #[error(
        "--store etcd needs --etcd-endpoints: the addresses of etcd's members, such as \
         https://10.0.0.1:2379,https://10.0.0.2:2379"
    )]
    EtcdEndpointsMissing,
    /// What was given is no list of addresses. They are not repeated, since a password may stand in them by mistake.
    #[error(
        "--etcd-endpoints is not a list of addresses: separate them by commas, each HOST:PORT (plaintext), \
         http://HOST:PORT or https://HOST:PORT; a user goes into --etcd-user"
    )]
    EtcdEndpoints,
    /// The prefix is not one.
    #[error("--etcd-prefix is 1 to 128 characters of printable ASCII without spaces")]
    EtcdPrefix,
    /// A setting of etcd that nothing would use.
    #[error("{0} is for --store etcd: give that too, or leave {0} out")]
    EtcdElsewhere(&'static str),
    /// Only half of the identity is given.
    #[error("--etcd-cert and --etcd-key go together: give both, or neither")]
    HalfEtcdTls,
    /// A password of nobody.
    #[error("--etcd-password-file is given without --etcd-user: give both, or neither")]
    EtcdUserMissing,
    /// Certificates where nothing is encrypted.
    #[error(
        "--etcd-ca and --etcd-cert are for TLS: every address in --etcd-endpoints has to begin with https://"
    )]
    EtcdTlsWithoutHttps,
    /// Anyone on the way could read etcd's password.
    #[error(
        "etcd's password would go to {0} in the clear: use https://, or accept the risk with --insecure-plaintext"
    )]
    EtcdPlaintext(String),
}

impl Settings {
    /// The settings in a configuration file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|error| ConfigError::File(path.to_owned(), error))?;
        toml::from_str(&text).map_err(|error| ConfigError::Syntax(path.to_owned(), error))
    }

    /// What the environment sets. Variables that are empty set nothing.
    pub fn from_environment() -> Self {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self {
            master_key_variable: variable(MASTER_KEY_VARIABLE),
            credentials: variable(master_key::CREDENTIALS_VARIABLE),
            ..Self::default()
        }
    }

    /// These settings, and the others where these say nothing. Where these say where the master key comes from, nothing
    /// that the others say of that counts.
    pub fn or(self, mut others: Self) -> Self {
        if self.names_master_key() {
            others.master_key_file = None;
            others.master_key_command = None;
            others.master_key_passphrase_file = None;
            others.master_key_credential = None;
            others.master_key_variable = None;
        }
        Self {
            data_dir: self.data_dir.or(others.data_dir),
            listen: self.listen.or(others.listen),
            store: self.store.or(others.store),
            etcd_endpoints: self.etcd_endpoints.or(others.etcd_endpoints),
            etcd_prefix: self.etcd_prefix.or(others.etcd_prefix),
            etcd_ca: self.etcd_ca.or(others.etcd_ca),
            etcd_cert: self.etcd_cert.or(others.etcd_cert),
            etcd_key: self.etcd_key.or(others.etcd_key),
            etcd_user: self.etcd_user.or(others.etcd_user),
            etcd_password_file: self.etcd_password_file.or(others.etcd_password_file),
            master_key_file: self.master_key_file.or(others.master_key_file),
            master_key_command: self.master_key_command.or(others.master_key_command),
            master_key_passphrase_file: self.master_key_passphrase_file.or(others.master_key_passphrase_file),
            master_key_credential: self.master_key_credential.or(others.master_key_credential),
            master_key_variable: self.master_key_variable.or(others.master_key_variable),
            credentials: self.credentials.or(others.credentials),
            tls_cert: self.tls_cert.or(others.tls_cert),
            tls_key: self.tls_key.or(others.tls_key),
            insecure_plaintext: self.insecure_plaintext.or(others.insecure_plaintext),
            max_connection_age: self.max_connection_age.or(others.max_connection_age),
            max_connection_age_grace: self.max_connection_age_grace.or(others.max_connection_age_grace),
            anchor_file: self.anchor_file.or(others.anchor_file),
            accept_altered_store: self.accept_altered_store.or(others.accept_altered_store),
            log_format: self.log_format.or(others.log_format),
            log_level: self.log_level.or(others.log_level),
        }
    }

    fn names_master_key(&self) -> bool {
        self.master_key_file.is_some()
            || self.master_key_command.is_some()
            || self.master_key_passphrase_file.is_some()
            || self.master_key_credential.is_some()
            || self.master_key_variable.is_some()
    }
}

impl TryFrom<Settings> for Config {
    type Error = ConfigError;

    fn try_from(settings: Settings) -> Result<Self, ConfigError> {
        let etcd = Etcd::from_settings(&settings)?;
        let tls = match (settings.tls_cert.clone(), settings.tls_key.clone()) {
            (Some(cert), Some(key)) => Some(Tls { cert, key }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(ConfigError::HalfTls),
        };
        let default_listen = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 50051);
        let listen = settings.listen.unwrap_or(default_listen);
        let insecure = settings.insecure_plaintext.unwrap_or(false);
        if tls.is_none() && !listen.ip().is_loopback() && !insecure {
            return Err(ConfigError::Plaintext(listen));
        }
        let data_dir = settings.data_dir.clone().unwrap_or_else(|| "strongroom-data".into());
        let master_key = MasterKeySource::from_settings(&settings, &data_dir)?;
        let connection_age = ConnectionAge::from_settings(&settings)?;
        Ok(Self {
            data_dir,
            listen,
            store: settings.store.unwrap_or(StoreKind::Sled),
            etcd,
            master_key,
            tls,
            connection_age,
            anchor_file: settings.anchor_file,
            accept_altered_store: settings.accept_altered_store.unwrap_or(false),
            log_format: settings.log_format.unwrap_or(LogFormat::Auto),
            log_level: settings.log_level.unwrap_or(LogLevel::Info),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(toml: &str) -> Settings {
        toml::from_str(toml).unwrap()
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_the_defaults() {
        let file = settings("listen = '127.0.0.1:1'\nstore = 'memory'\ndata_dir = 'file'");
        let flags = Settings { data_dir: Some("flag".into()), ..Settings::default() };
        let config = Config::try_from(flags.or(file)).unwrap();
        assert_eq!(config.data_dir, PathBuf::from("flag"));
        assert_eq!(config.store, StoreKind::Memory);
        assert_eq!(config.listen.port(), 1);
        assert_eq!(config.log_level, LogLevel::Info);
    }

    #[test]
    fn plaintext_is_for_loopback_unless_the_risk_is_accepted() {
        let refused = Config::try_from(settings("listen = '0.0.0.0:1'"));
        assert!(matches!(refused, Err(ConfigError::Plaintext(_))));
        assert!(Config::try_from(settings("listen = '0.0.0.0:1'\ninsecure_plaintext = true")).is_ok());
        assert!(Config::try_from(settings("listen = '[::1]:1'")).is_ok());
        let half = Config::try_from(settings("tls_cert = 'a'"));
        assert!(matches!(half, Err(ConfigError::HalfTls)));
    }

    #[test]
    fn an_unknown_setting_is_refused_by_name() {
        // What is for one start is a flag only.
        for (setting, line) in
            [("lisen", "lisen = '127.0.0.1:1'"), ("accept_altered_store", "accept_altered_store = true")]
        {
            let refused = toml::from_str::<Settings>(line).unwrap_err().to_string();
            assert!(refused.contains(setting), "{refused}");
        }
    }
}
