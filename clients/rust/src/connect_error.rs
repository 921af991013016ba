//! Why there is no client: settings that cannot be used, or a service that cannot be reached.

use std::io;
use std::path::PathBuf;

use crate::address::{Address, AddressError};
use crate::api_key::ApiKeyError;

/// Why a client is not set up, or not connected. No request was sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The text is not an address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The environment variable is not text in UTF-8.
    #[error("{0} is not text in UTF-8")]
    NotText(&'static str),
    /// The API key cannot be read, or is not one.
    #[error(transparent)]
    ApiKey(#[from] ApiKeyError),
    /// `http://` to another machine, where others on the network could read API keys and values.
    #[error(
        "{0} is plaintext, and others on the network could read API keys and values: use https://, or accept the risk \
         with Builder::insecure_plaintext"
    )]
    Plaintext(Address),
    /// `http://` with a CA certificate, which only TLS uses.
    #[error("http:// is plaintext: leave the CA certificate out, or use https://")]
    PlaintextWithCaCert,
    /// The CA certificate cannot be read.
    #[error("{} cannot be read: {error}", .path.display())]
    CaCert {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The file of the CA certificate holds none.
    #[error("{} has no certificate in PEM: give the certificate of the authority", .path.display())]
    NoCaCert {
        /// The file.
        path: PathBuf,
    },
    /// A client certificate without its key, or the other way round.
    #[error("a client certificate and its private key go together: give both, or neither")]
    HalfClientCert,
    /// `http://` with a client certificate, which only TLS uses.
    #[error("http:// is plaintext: leave the client certificate out, or use https://")]
    PlaintextWithClientCert,
    /// The client certificate or its key cannot be read.
    #[error("{} cannot be read: {error}", .path.display())]
    ClientCert {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The certificates, or the settings of TLS, cannot be used.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// The text cannot stand in a `user-agent` header.
    #[error("the user agent must be printable ASCII")]
    UserAgent,
    /// Some addresses are plaintext and some use TLS.
    #[error("some addresses are plaintext and some use TLS: give all of them as https://, or all as http://")]
    Mixed,
    /// No address is given.
    #[error("there is no address: give one such as https://secrets.example.com:50051")]
    NoAddress,
    /// There is no tokio runtime.
    #[error("a client needs a tokio runtime: make it in an async function")]
    NoRuntime,
    /// No connection to any address can be made.
    #[error("{reason}")]
    Unreachable {
        /// The first address, with its scheme.
        address: Address,
        /// What is wrong with each address, and what to do, for people.
        reason: String,
    },
}
