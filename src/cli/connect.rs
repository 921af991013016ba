use std::path::PathBuf;

use strongroom_client::{Client, ConnectError, Settings};

use super::failure::Failure;

/// How the service is reached.
#[derive(clap::Args)]
pub(super) struct Connection {
    /// The service: HOST:PORT, http://HOST:PORT (plaintext) or https://HOST:PORT (TLS) [env: STRONGROOM_SERVER] [default:
    /// 127.0.0.1:50051]
    ///
    /// Without a scheme, plaintext is used only for this machine itself, and only where no --ca-cert is given.
    #[arg(long, global = true, value_name = "ADDRESS", help_heading = "Connection")]
    server: Option<String>,

    /// Use http:// to another machine, where others on the network can read keys and values
    #[arg(long, global = true, help_heading = "Connection")]
    insecure_plaintext: bool,

    /// The file of the API key; the key itself can stand in STRONGROOM_API_KEY
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    api_key_file: Option<PathBuf>,

    /// The namespace [env: STRONGROOM_NAMESPACE] [default: the API key's home namespace]
    #[arg(short, long, global = true, value_name = "NAMESPACE", help_heading = "Connection")]
    namespace: Option<String>,

    /// The certificate (PEM) that the service's certificate is signed by [env: STRONGROOM_CA_CERT] [default: those of the
    /// system]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    ca_cert: Option<PathBuf>,
}

impl Connection {
    /// A connection to the service.
    pub(super) async fn client(&self) -> Result<Client, Failure> {
        Ok(self.settings()?.connect().await?)
    }

    /// What is known before the service is asked: its address, and the namespace.
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
        Ok(builder.settings()?)
    }
}

/// What the client says of its methods, said of the flags.
impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Unreachable { .. } => Self::unreachable(error.to_string()),
            ConnectError::Plaintext(address) => Self::usage(format!(
                "{address} is plaintext, and others on the network could read API keys and values: use https://, or \
                 accept the risk with --insecure-plaintext"
            )),
            ConnectError::PlaintextWithCaCert => {
                Self::usage("http:// is plaintext: drop --ca-cert, or use https://")
            }
            other => Self::usage(other.to_string()),
        }
    }
}
