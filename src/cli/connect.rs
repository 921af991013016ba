//! How a command reaches the service: the flags of the connection, and the environment where a flag is absent.
//!
//! Every command that is a client calls [`Connection::client`] once.

use std::path::PathBuf;

use strongroom_client::{Client, ConnectError, Settings};

use super::failure::Failure;

/// The flags of the connection.
#[derive(clap::Args)]
pub(super) struct Connection {
    /// The address of the service: HOST:PORT, http://HOST:PORT (plaintext) or https://HOST:PORT (TLS) [env:
    /// STRONGROOM_SERVER] [default: 127.0.0.1:50051]
    ///
    /// An address without a scheme means plaintext if the host is this machine and no --ca-cert is given, and TLS
    /// otherwise. An address without a port means port 50051.
    #[arg(long, global = true, value_name = "ADDRESS", help_heading = "Connection")]
    server: Option<String>,

    /// Allow http:// to another machine, although others on the network can read API keys and values
    #[arg(long, global = true, help_heading = "Connection")]
    insecure_plaintext: bool,

    /// The file that holds the API key, or a token (JWT) of an issuer that the service knows [env: STRONGROOM_API_KEY_FILE, or the key itself in STRONGROOM_API_KEY]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    api_key_file: Option<PathBuf>,

    /// The namespace of the secrets [env: STRONGROOM_NAMESPACE] [default: the API key's home namespace]
    #[arg(short, long, global = true, value_name = "NAMESPACE", help_heading = "Connection")]
    namespace: Option<String>,

    /// The certificate (PEM) of the authority that signed the service's certificate [env: STRONGROOM_CA_CERT] [default:
    /// the system's authorities]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    ca_cert: Option<PathBuf>,

    /// The client certificate (PEM) to present [env: STRONGROOM_CLIENT_CERT]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    client_cert: Option<PathBuf>,

    /// The private key (PEM) of the client certificate [env: STRONGROOM_CLIENT_KEY]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    client_key: Option<PathBuf>,
}

impl Connection {
    /// Connects to the service.
    pub(super) async fn client(&self) -> Result<Client, Failure> {
        Ok(self.settings()?.connect().await?)
    }

    /// The checked settings, such as the address and the namespace. Nothing is sent.
    pub(super) fn settings(&self) -> Result<Settings, Failure> {
        let mut builder = Client::builder()
            .or_environment()
            .insecure_plaintext(self.insecure_plaintext)
            .user_agent(concat!("strongroom-cli/", env!("CARGO_PKG_VERSION")));
        if let Some(server) = &self.server {
            builder = builder.server(server);
        }
        if let Some(file) = &self.api_key_file {
            builder = builder.api_key_file(file);
        }
        if let Some(namespace) = &self.namespace {
            builder = builder.namespace(namespace);
        }
        if let Some(file) = &self.ca_cert {
            builder = builder.ca_cert_file(file);
        }
        if let Some(file) = &self.client_cert {
            builder = builder.client_cert_file(file);
        }
        if let Some(file) = &self.client_key {
            builder = builder.client_key_file(file);
        }
        Ok(builder.settings()?)
    }
}

/// The client names its own methods; these messages name the flags instead.
impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Unreachable { .. } => Self::unreachable(error.to_string()),
            ConnectError::Plaintext(address) => Self::usage(format!(
                "{address} is plaintext, and others on the network could read API keys and values: use https://, or \
                 accept the risk with --insecure-plaintext"
            )),
            ConnectError::PlaintextWithCaCert => Self::usage(
                "http:// is plaintext: leave --ca-cert and STRONGROOM_CA_CERT out, or use https://",
            ),
            ConnectError::PlaintextWithClientCert => Self::usage(
                "http:// is plaintext: leave --client-cert and STRONGROOM_CLIENT_CERT out, or use https://",
            ),
            ConnectError::HalfClientCert => Self::usage(
                "--client-cert and --client-key go together, as do STRONGROOM_CLIENT_CERT and STRONGROOM_CLIENT_KEY: give \
                 both, or neither",
            ),
            other => Self::usage(other.to_string()),
        }
    }
}
