//! Why a configuration is refused.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{MASTER_KEY_VARIABLE, OTLP_ENDPOINT_VARIABLE, SyntaxProblem};

/// Why a configuration is refused. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration file {} cannot be read: {}", .0.display(), .1)]
    File(PathBuf, std::io::Error),
    /// The file is not a configuration.
    #[error("the configuration file {} is not valid: {}", .0.display(), .1)]
    Syntax(PathBuf, SyntaxProblem),
    /// A certificate without its key, or the other way round.
    #[error("--tls-cert and --tls-key go together: give both, or neither")]
    HalfTls,
    /// Client certificates without TLS.
    #[error("--tls-client-ca is for TLS: give --tls-cert and --tls-key too, or leave it out")]
    ClientCaWithoutTls,
    /// The settings of an issuer of tokens cannot be used.
    #[error("the issuer '{name}' in [[issuers]] cannot be used: {problem}")]
    Issuer {
        /// Its name.
        name: String,
        /// What is wrong with it, and what to do.
        problem: &'static str,
    },
    /// Others on the network could read along.
    #[error(
        "{0} can be reached over the network, and without TLS others there could read keys and values: give --tls-cert \
         and --tls-key, listen on 127.0.0.1, or accept the risk with --insecure-plaintext"
    )]
    Plaintext(SocketAddr),
    /// A connection would live for too short or too long a time.
    #[error("{flag} must be between 1s and 30days, and is {}", humantime::format_duration(*given))]
    ConnectionAge {
        /// The flag of the setting.
        flag: &'static str,
        /// Its value.
        given: Duration,
    },
    /// Deleted secrets are to be kept for too long.
    #[error("deletion_retention must be at most 3650days, and is {0:?}")]
    DeletionRetention(Duration),
    /// Cached reads are to be too new or too old.
    #[error("cached_reads_max_age must be between 2s and 10m, and is {0:?}")]
    CachedReads(Duration),
    /// A limit is out of its range.
    #[error("limits.{name} must be between {least} and {most}, and is {given}")]
    Limit {
        /// The name of the limit.
        name: &'static str,
        /// Its least value.
        least: String,
        /// Its greatest value.
        most: String,
        /// Its value.
        given: String,
    },
    /// A quota cannot be used.
    #[error("{quota} in [[quotas]] cannot be used: {problem}")]
    Quota {
        /// Which one.
        quota: String,
        /// What is wrong with it, and what to do.
        problem: &'static str,
    },
    /// A setting of the audit log is out of its range.
    #[error("audit.{name} must be from {least} to {most}, and not {given}")]
    Audit {
        /// The name of the setting.
        name: &'static str,
        /// Its least value.
        least: String,
        /// Its greatest value.
        most: String,
        /// Its value.
        given: String,
    },
    /// A setting of the history is out of its range.
    #[error("history.{name} must be from {least} to {most}, and not {given}")]
    History {
        /// The name of the setting.
        name: &'static str,
        /// Its least value.
        least: &'static str,
        /// Its greatest value.
        most: &'static str,
        /// Its value.
        given: String,
    },
    /// The collector of traces has no address. The message does not repeat it, since it may hold a password by mistake.
    #[error(
        "--otlp-endpoint is not the address of a collector: give http://HOST:PORT or https://HOST:PORT without a user and a path, \
         such as http://127.0.0.1:4317, there, in {OTLP_ENDPOINT_VARIABLE}, or as otlp_endpoint in the configuration file"
    )]
    OtlpEndpoint,
    /// Less than nothing or more than all is to be traced.
    #[error("--otlp-sample-ratio must be from 0 to 1, and is {0}")]
    OtlpSampleRatio(f64),
    /// Two sources of the master key are named.
    #[error(
        "{0} and {1} both name a source of the master key: give one of them. A flag wins over {MASTER_KEY_VARIABLE}, and \
         {MASTER_KEY_VARIABLE} wins over the configuration file"
    )]
    TwoMasterKeys(&'static str, &'static str),
    /// systemd gave the service no credentials.
    #[error(
        "--master-key-credential is for a service that systemd starts with LoadCredential= or LoadCredentialEncrypted=: \
         CREDENTIALS_DIRECTORY is not set. Name the file with --master-key-file instead"
    )]
    NoCredentials,
    /// The name would lead to a file elsewhere.
    #[error("--master-key-credential must be the name of a credential: not empty, and without /")]
    CredentialName,
    /// The addresses of etcd are missing.
    #[error(
        "--store etcd needs --etcd-endpoints: the addresses of etcd's members, such as \
         https://10.0.0.1:2379,https://10.0.0.2:2379"
    )]
    EtcdEndpointsMissing,
    /// The list of addresses is not one. The message does not repeat it, since it may hold a password by mistake.
    #[error(
        "--etcd-endpoints is not a list of addresses: separate them by commas, each HOST:PORT (plaintext), \
         http://HOST:PORT or https://HOST:PORT; a user goes into --etcd-user"
    )]
    EtcdEndpoints,
    /// The prefix cannot be used.
    #[error("--etcd-prefix must be 1 to 128 characters of printable ASCII without spaces")]
    EtcdPrefix,
    /// A setting of etcd for another store.
    #[error("{0} is for --store etcd: give that too, or leave {0} out")]
    EtcdElsewhere(&'static str),
    /// The same for etcd.
    #[error("--etcd-cert and --etcd-key go together: give both, or neither")]
    HalfEtcdTls,
    /// A password without a user.
    #[error("--etcd-password-file is given without --etcd-user: give both, or neither")]
    EtcdUserMissing,
    /// Certificates for addresses without TLS.
    #[error(
        "--etcd-ca and --etcd-cert are for TLS: every address in --etcd-endpoints must begin with https://"
    )]
    EtcdTlsWithoutHttps,
    /// Others on the network could read etcd's password.
    #[error(
        "etcd's password would go to {0} in the clear: use https://, or accept the risk with --insecure-plaintext"
    )]
    EtcdPlaintext(String),
}
