//! The server's settings: flags win over the environment, that wins over the configuration file, and that over the defaults.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

mod audit;
mod cached_reads;
mod connection_age;
mod deletion;
mod endpoint;
mod error;
mod etcd;
mod history;
mod issuer;
mod limits;
mod listen;
mod master_key;
mod otlp;
mod quota;
mod syntax;

pub use self::audit::{AuditNames, AuditSettings, AuditStderr};
pub use self::cached_reads::CachedReads;
pub use self::connection_age::{ConnectionAge, parse_duration};
pub use self::error::ConfigError;
pub use self::etcd::{Etcd, PASSWORD_VARIABLE, PasswordError};
pub use self::history::HistorySettings;
pub use self::issuer::{Issuer, IssuerSettings, KeySource, TokenAlgorithm};
pub use self::limits::Limits;
pub use self::listen::parse_listen;
pub use self::master_key::{MASTER_KEY_VARIABLE, MasterKeySource};
pub use self::otlp::{OTLP_ENDPOINT_VARIABLE, Otlp};
pub use self::quota::QuotaSettings;
pub use self::syntax::SyntaxProblem;

/// The settings of one source: the flags, the environment, or the configuration file (TOML, with these names; hyphens and underscores are the same). `None`: not
/// set there.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The folder of the store and the keys.
    #[serde(alias = "data-dir")]
    pub data_dir: Option<PathBuf>,
    /// The address to listen on.
    pub listen: Option<SocketAddr>,
    /// The address to serve metrics on.
    pub metrics_listen: Option<SocketAddr>,
    /// The collector that traces are sent to, such as `http://127.0.0.1:4317`.
    #[serde(alias = "otlp-endpoint")]
    pub otlp_endpoint: Option<String>,
    /// The part of the requests without a trace context that is traced, from 0 to 1.
    #[serde(alias = "otlp-sample-ratio")]
    pub otlp_sample_ratio: Option<f64>,
    /// The engine.
    pub store: Option<StoreKind>,
    /// The addresses of etcd's members, separated by commas.
    #[serde(alias = "etcd-endpoints")]
    pub etcd_endpoints: Option<String>,
    /// The prefix of this store's keys in etcd.
    #[serde(alias = "etcd-prefix")]
    pub etcd_prefix: Option<String>,
    /// The authorities (PEM) that signed the certificates of etcd's members.
    #[serde(alias = "etcd-ca")]
    pub etcd_ca: Option<PathBuf>,
    /// The certificate (PEM) with which the service identifies itself to etcd.
    #[serde(alias = "etcd-cert")]
    pub etcd_cert: Option<PathBuf>,
    /// The private key (PEM) of that certificate.
    #[serde(alias = "etcd-key")]
    pub etcd_key: Option<PathBuf>,
    /// The user that the service logs in to etcd as.
    #[serde(alias = "etcd-user")]
    pub etcd_user: Option<String>,
    /// The file of that user's password.
    #[serde(alias = "etcd-password-file")]
    pub etcd_password_file: Option<PathBuf>,
    /// The file of the master key.
    #[serde(alias = "master-key-file")]
    pub master_key_file: Option<PathBuf>,
    /// The command that prints the master key.
    #[serde(alias = "master-key-command")]
    pub master_key_command: Option<String>,
    /// The file of a passphrase. The master key is derived from it.
    #[serde(alias = "master-key-passphrase-file")]
    pub master_key_passphrase_file: Option<PathBuf>,
    /// The name of the systemd credential that is the master key.
    #[serde(alias = "master-key-credential")]
    pub master_key_credential: Option<String>,
    /// The file of the master key that the environment names.
    #[serde(skip)]
    pub master_key_variable: Option<PathBuf>,
    /// The folder of this service's credentials, set by systemd.
    #[serde(skip)]
    pub credentials: Option<PathBuf>,
    /// The server's certificate chain (PEM).
    #[serde(alias = "tls-cert")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM).
    #[serde(alias = "tls-key")]
    pub tls_key: Option<PathBuf>,
    /// The authorities (PEM) whose client certificates are credentials.
    #[serde(alias = "tls-client-ca")]
    pub tls_client_ca: Option<PathBuf>,
    /// The issuers whose tokens are credentials.
    pub issuers: Option<Vec<IssuerSettings>>,
    /// Whether to listen without TLS on an address that others can reach.
    #[serde(alias = "insecure-plaintext")]
    pub insecure_plaintext: Option<bool>,
    /// Whether to serve reflection, which lists the services and their messages to anyone.
    pub reflection: Option<bool>,
    /// How long a connection lives, such as `1h`.
    #[serde(default, deserialize_with = "connection_age::duration")]
    #[serde(alias = "max-connection-age")]
    pub max_connection_age: Option<Duration>,
    /// How much longer its requests may take then, such as `5m`.
    #[serde(default, deserialize_with = "connection_age::duration")]
    #[serde(alias = "max-connection-age-grace")]
    pub max_connection_age_grace: Option<Duration>,
    /// How long deleted and expired secrets are kept, such as `7d`; `0s`: not at all.
    #[serde(default, deserialize_with = "connection_age::duration")]
    #[serde(alias = "deletion-retention")]
    pub deletion_retention: Option<Duration>,
    /// How old the state may be that a cached read is answered from, such as `5s`.
    #[serde(default, deserialize_with = "connection_age::duration")]
    pub cached_reads_max_age: Option<Duration>,
    /// The limits that keep one client from taking the service from the others.
    pub limits: Option<Limits>,
    /// How much the secrets of namespaces may take.
    pub quotas: Option<Vec<QuotaSettings>>,
    /// The audit log.
    pub audit: Option<AuditSettings>,
    /// The history of changes.
    pub history: Option<HistorySettings>,
    /// Whether to begin a new audit log in place of one that is broken: a flag only, since it is for one start.
    #[serde(skip)]
    pub begin_new_audit_log: Option<bool>,
    /// The file of the anchor, which holds the newest known state of the store.
    #[serde(alias = "anchor-file")]
    pub anchor_file: Option<PathBuf>,
    /// Whether to serve a store although something else altered it: a flag only, since it is for one start.
    #[serde(skip)]
    pub accept_altered_store: Option<bool>,
    /// The form of the log.
    #[serde(alias = "log-format")]
    pub log_format: Option<LogFormat>,
    /// How much is logged.
    #[serde(alias = "log-level")]
    pub log_level: Option<LogLevel>,
}

/// The engine that keeps the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// In the data folder, on disk.
    Sled,
    /// In etcd, for any number of replicas; give --etcd-endpoints too.
    Etcd,
    /// In memory: everything is gone when the server stops. For trials and tests.
    Memory,
}

impl StoreKind {
    /// The name, as in the settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sled => "sled",
            Self::Etcd => "etcd",
            Self::Memory => "memory",
        }
    }
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Short lines on a terminal, JSON elsewhere.
    Auto,
    /// Text with all fields.
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

/// The settings of a server, complete and checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder of the store and the keys.
    pub data_dir: PathBuf,
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The address to serve metrics on; `None`: nowhere.
    pub metrics_listen: Option<SocketAddr>,
    /// Where traces are sent; `None`: nowhere.
    pub otlp: Option<Otlp>,
    /// The engine.
    pub store: StoreKind,
    /// How to reach etcd, where it is the engine.
    pub etcd: Option<Etcd>,
    /// The source of the master key.
    pub master_key: MasterKeySource,
    /// Certificate and private key; `None`: plaintext.
    pub tls: Option<Tls>,
    /// The file of the authorities (PEM) whose client certificates are credentials; `None`: clients present none.
    pub client_ca: Option<PathBuf>,
    /// The issuers whose tokens are credentials.
    pub issuers: Vec<Issuer>,
    /// Whether to serve reflection.
    pub reflection: bool,
    /// How long a connection lives.
    pub connection_age: ConnectionAge,
    /// How long deleted and expired secrets are kept.
    pub deletion_retention: Duration,
    /// How old the state may be that a cached read is answered from.
    pub cached_reads: CachedReads,
    /// The limits that keep one client from taking the service from the others.
    pub limits: Limits,
    /// How much the secrets of namespaces may take.
    pub quotas: Vec<QuotaSettings>,
    /// The audit log.
    pub audit: AuditSettings,
    /// The history of changes.
    pub history: HistorySettings,
    /// Whether to begin a new audit log in place of one that is broken.
    pub begin_new_audit_log: bool,
    /// The file of the anchor, if any.
    pub anchor_file: Option<PathBuf>,
    /// Whether to serve a store although something else altered it.
    pub accept_altered_store: bool,
    /// The form of the log.
    pub log_format: LogFormat,
    /// How much is logged.
    pub log_level: LogLevel,
}

/// The files of a certificate and its key.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The certificate chain (PEM).
    pub cert: PathBuf,
    /// Its private key (PEM).
    pub key: PathBuf,
}

impl Settings {
    /// The settings in a configuration file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|error| ConfigError::File(path.to_owned(), error))?;
        toml::from_str(&text)
            .map_err(|error| ConfigError::Syntax(path.to_owned(), SyntaxProblem::of(&text, &error)))
    }

    /// The settings of the environment. Empty variables set nothing.
    pub fn from_environment() -> Self {
        let text = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let variable = |name| text(name).map(PathBuf::from);
        Self {
            otlp_endpoint: text(OTLP_ENDPOINT_VARIABLE).map(|url| url.to_string_lossy().into_owned()),
            master_key_variable: variable(MASTER_KEY_VARIABLE),
            credentials: variable(master_key::CREDENTIALS_VARIABLE),
            ..Self::default()
        }
    }

    /// These settings, and the others for those that are not set here. Where these name a source of the master key, the
    /// sources that the others name do not count.
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
            metrics_listen: self.metrics_listen.or(others.metrics_listen),
            otlp_endpoint: self.otlp_endpoint.or(others.otlp_endpoint),
            otlp_sample_ratio: self.otlp_sample_ratio.or(others.otlp_sample_ratio),
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
            tls_client_ca: self.tls_client_ca.or(others.tls_client_ca),
            issuers: self.issuers.or(others.issuers),
            insecure_plaintext: self.insecure_plaintext.or(others.insecure_plaintext),
            reflection: self.reflection.or(others.reflection),
            max_connection_age: self.max_connection_age.or(others.max_connection_age),
            max_connection_age_grace: self.max_connection_age_grace.or(others.max_connection_age_grace),
            deletion_retention: self.deletion_retention.or(others.deletion_retention),
            cached_reads_max_age: self.cached_reads_max_age.or(others.cached_reads_max_age),
            limits: self.limits.or(others.limits),
            quotas: self.quotas.or(others.quotas),
            audit: self.audit.or(others.audit),
            history: self.history.or(others.history),
            begin_new_audit_log: self.begin_new_audit_log.or(others.begin_new_audit_log),
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
        let otlp = Otlp::from_settings(&settings)?;
        let tls = match (settings.tls_cert.clone(), settings.tls_key.clone()) {
            (Some(cert), Some(key)) => Some(Tls { cert, key }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(ConfigError::HalfTls),
        };
        if tls.is_none() && settings.tls_client_ca.is_some() {
            return Err(ConfigError::ClientCaWithoutTls);
        }
        let default_listen = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 50051);
        let listen = settings.listen.unwrap_or(default_listen);
        let insecure = settings.insecure_plaintext.unwrap_or(false);
        if tls.is_none() && !listen.ip().is_loopback() && !insecure {
            return Err(ConfigError::Plaintext(listen));
        }
        let data_dir = settings.data_dir.clone().unwrap_or_else(|| "strongroom-data".into());
        let master_key = MasterKeySource::from_settings(&settings, &data_dir)?;
        let connection_age = ConnectionAge::from_settings(&settings)?;
        let deletion_retention = deletion::retention(settings.deletion_retention)?;
        let cached_reads = CachedReads::from_settings(settings.cached_reads_max_age)?;
        let limits = settings.limits.unwrap_or_default().checked()?;
        let audit = settings.audit.unwrap_or_default().checked()?;
        let history = settings.history.unwrap_or_default().checked()?;
        let quotas = QuotaSettings::checked(settings.quotas.unwrap_or_default())?;
        let issuers = Issuer::from_settings(settings.issuers.unwrap_or_default())?;
        Ok(Self {
            data_dir,
            listen,
            metrics_listen: settings.metrics_listen,
            otlp,
            store: settings.store.unwrap_or(StoreKind::Sled),
            etcd,
            master_key,
            tls,
            client_ca: settings.tls_client_ca,
            issuers,
            reflection: settings.reflection.unwrap_or(true),
            connection_age,
            deletion_retention,
            cached_reads,
            limits,
            quotas,
            audit,
            history,
            begin_new_audit_log: settings.begin_new_audit_log.unwrap_or(false),
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
        assert_eq!((config.log_level, config.metrics_listen), (LogLevel::Info, None));
    }

    #[test]
    fn metrics_are_served_on_the_address_of_the_flag_or_of_the_file() {
        let address = |port: u16| Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
        let file = || settings("metrics_listen = '127.0.0.1:1'");
        assert_eq!(Config::try_from(file()).unwrap().metrics_listen, address(1));
        let flags = Settings { metrics_listen: address(2), ..Settings::default() };
        assert_eq!(Config::try_from(flags.or(file())).unwrap().metrics_listen, address(2));
    }

    #[test]
    fn traces_go_to_the_collector_of_the_flag_or_of_the_environment_or_of_the_file() {
        let named =
            |name: &str| Settings { otlp_endpoint: Some(format!("http://{name}:1")), ..Settings::default() };
        let endpoint = |settings| Config::try_from(settings).unwrap().otlp.map(|otlp| otlp.endpoint);
        let file = || settings("otlp_endpoint = 'http://file:1'");
        assert_eq!(endpoint(file()).unwrap(), "http://file:1");
        assert_eq!(endpoint(named("variable").or(file())).unwrap(), "http://variable:1");
        assert_eq!(endpoint(named("flag").or(named("variable")).or(file())).unwrap(), "http://flag:1");
    }

    #[test]
    fn plaintext_is_for_loopback_unless_the_risk_is_accepted() {
        let refused = Config::try_from(settings("listen = '0.0.0.0:1'"));
        assert!(matches!(refused, Err(ConfigError::Plaintext(_))));
        assert!(Config::try_from(settings("listen = '0.0.0.0:1'\ninsecure_plaintext = true")).is_ok());
        assert!(Config::try_from(settings("listen = '[::1]:1'")).is_ok());
        let half = Config::try_from(settings("tls_cert = 'a'"));
        assert!(matches!(half, Err(ConfigError::HalfTls)));
        let certificates = Config::try_from(settings("tls_client_ca = 'a'"));
        assert!(matches!(certificates, Err(ConfigError::ClientCaWithoutTls)));
    }

    #[test]
    fn an_unknown_setting_is_refused_by_name() {
        // A setting for one start is a flag only.
        for (setting, line) in
            [("lisen", "lisen = '127.0.0.1:1'"), ("accept_altered_store", "accept_altered_store = true")]
        {
            let refused = toml::from_str::<Settings>(line).unwrap_err().to_string();
            assert!(refused.contains(setting), "{refused}");
        }
    }
}
