//! Why the server does not serve.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::data_dir::DataDirError;
use crate::app::SetupError;
use crate::auth::KeySetError;
use crate::config::MasterKeySource;
use crate::crypto::MasterKeyError;
use crate::domain::Invalid;
use crate::integrity::audit_log::LogError;
use crate::store::Unavailable;
use crate::telemetry::traces::TracesError;

/// Why the server does not serve. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A folder or file cannot be used.
    #[error("{} cannot be used: {}", .0.display(), .1)]
    File(PathBuf, io::Error),
    /// The store cannot serve.
    #[error(transparent)]
    Store(#[from] Unavailable),
    /// The master key cannot be used.
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    /// The data folder cannot be served.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The data is there, and its key is not.
    #[error(
        "the store holds data, but {0}, which opens it, is not there: put the key back, or name its place with \
         --master-key-file, --master-key-command or --master-key-passphrase-file. No new key was made, since a new key \
         cannot open the data"
    )]
    MasterKeyMissing(MasterKeySource),
    /// The settings name a key that is not there, and there is no data yet.
    #[error(
        "{source_of} is not there: make a key with `strongroom master-key generate --out {}`, or leave the setting out, \
         and a key is made in the data folder", file.display()
    )]
    NoMasterKeyYet {
        /// The source of the key.
        source_of: MasterKeySource,
        /// Its file.
        file: PathBuf,
    },
    /// The data was sealed with another key.
    #[error(
        "{0} does not hold the master key that this store was made with, or the store's keyring was altered: nothing was \
         changed. Give the right key with --master-key-file, --master-key-command or --master-key-passphrase-file"
    )]
    WrongMasterKey(MasterKeySource),
    /// The keys of one store would be overwritten by another's.
    #[error(
        "{} holds a store on disk: a store elsewhere needs a folder of its own for its keys, so give another --data-dir",
        .0.display()
    )]
    OtherStore(PathBuf),
    /// The service cannot be set up.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A new store may have been set up, or not: etcd has not said.
    #[error("the new store may not have been set up: {0}. Start the server again")]
    NewStore(Unavailable),
    /// The audit log is broken.
    #[error(
        "the audit log cannot be opened. {0} Nothing was changed. Put the files back as they were; or start once with \
         --begin-new-audit-log, which keeps a broken log beside a new one that records the break"
    )]
    AuditLog(LogError),
    /// The system does not let the server use the audit log.
    #[error(
        "the audit log cannot be opened: {0}. Nothing was changed, and the log is not broken by that: mend what the system \
         refuses, and start again. The folder and its files must belong to the user that the server runs as, with the modes 700 \
         and 600"
    )]
    AuditLogRefused(LogError),
    /// The server's certificate or its key is not one.
    #[error("{} and {} are not a certificate (PEM) and its private key (PEM): {}", .0.display(), .1.display(), .2)]
    Tls(PathBuf, PathBuf, Box<dyn std::error::Error + Send + Sync>),
    /// Users other than the owner may read or write the private key.
    #[error(
        "the private key {} is open to others (mode {:04o}); make it yours alone: chmod 600 {}",
        .0.display(), .1, .0.display()
    )]
    TlsKeyPermissions(PathBuf, u32),
    /// The private key's owner can change it, and is neither the server's user nor root.
    #[error(
        "the private key {} belongs to another user ({}), who could read and change it: it must belong to the user that the \
         server runs as ({}), or to root", .0.display(), .1, .2
    )]
    TlsKeyOwner(PathBuf, u32, u32),
    /// The private key can be opened with a passphrase only.
    #[error(
        "the private key {} is encrypted with a passphrase, and the server asks for none: write it without one with \
         `openssl pkey -in {} -out FILE`, make FILE yours alone with chmod 600, and name it with --tls-key",
        .0.display(), .0.display()
    )]
    TlsKeyEncrypted(PathBuf),
    /// The authorities of client certificates cannot be used.
    #[error("{} cannot be used as --tls-client-ca: {}", .0.display(), .1)]
    ClientCa(PathBuf, Box<dyn std::error::Error + Send + Sync>),
    /// The keys of an issuer cannot be used.
    #[error("{} cannot be used as the keys of an issuer: {}", .0.display(), .1)]
    KeySet(PathBuf, KeySetError),
    /// The home namespace of an issuer is none.
    #[error("the issuer '{0}' in [[issuers]] cannot be used: 'home_namespace' {1}")]
    Issuer(String, Invalid),
    /// The namespace of a quota is none.
    #[error("{0} in [[quotas]] cannot be used: 'namespace' {1}, or be left out for the whole store")]
    Quota(String, Invalid),
    /// Traces cannot be sent.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// The server cannot listen on the address.
    #[error("{0} cannot be listened on: {1}")]
    Listen(SocketAddr, io::Error),
    /// The transport ended by itself.
    #[error("the transport ended because of a defect: the log says more")]
    Ended,
    /// Reflection could not be made from the descriptors.
    #[error("reflection cannot be served: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

impl From<LogError> for ServeError {
    fn from(error: LogError) -> Self {
        if error.is_broken() { Self::AuditLog(error) } else { Self::AuditLogRefused(error) }
    }
}
