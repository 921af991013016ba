//! The builder of a client: collects the settings from the caller and from the environment.

use std::ffi::OsString;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::api_key::ApiKey;
use crate::client::Client;
use crate::connect_error::ConnectError;
use crate::credential::{AskForToken, Token};
use crate::retry::RetryPolicy;
use crate::settings::Settings;

/// Sets a client up: begun by [`Client::builder`], ended by [`build`](Self::build) or [`connect`](Self::connect).
///
/// | method | environment variable | default |
/// | --- | --- | --- |
/// | `server`, `servers` | `STRONGROOM_SERVER`, with commas between several | `127.0.0.1:50051` |
/// | `api_key`, `api_key_file`, `token_source` | `STRONGROOM_API_KEY`, `STRONGROOM_API_KEY_FILE` | no credential is sent |
/// | `client_cert_file`, `client_key_file` | `STRONGROOM_CLIENT_CERT`, `STRONGROOM_CLIENT_KEY` | no certificate is presented |
/// | `namespace` | `STRONGROOM_NAMESPACE` | the credential's home namespace |
/// | `ca_cert_file` | `STRONGROOM_CA_CERT` | the system's certificates |
///
/// The variables count after [`or_environment`](Self::or_environment) only. A method wins over a variable, and an empty
/// variable counts as unset.
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    pub(crate) servers: Vec<String>,
    pub(crate) key: Option<Key>,
    pub(crate) namespace: Option<String>,
    pub(crate) ca_cert_file: Option<PathBuf>,
    pub(crate) client_cert_file: Option<PathBuf>,
    pub(crate) client_key_file: Option<PathBuf>,
    pub(crate) insecure_plaintext: bool,
    pub(crate) deadline: Duration,
    pub(crate) retry: RetryPolicy,
    pub(crate) user_agent: String,
    /// Reads an environment variable.
    pub(crate) environment: Option<fn(&str) -> Option<OsString>>,
}

/// The credential that a method gives.
#[derive(Clone)]
pub(crate) enum Key {
    Given(ApiKey),
    InFile(PathBuf),
    FromSource(AskForToken),
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Given(_) => "Given(…)",
            Self::InFile(_) => "InFile(…)",
            Self::FromSource(_) => "FromSource(…)",
        })
    }
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            servers: Vec::new(),
            key: None,
            namespace: None,
            ca_cert_file: None,
            client_cert_file: None,
            client_key_file: None,
            insecure_plaintext: false,
            deadline: Duration::from_secs(30),
            retry: RetryPolicy::default(),
            user_agent: concat!("strongroom-rust/", env!("CARGO_PKG_VERSION")).to_owned(),
            environment: None,
        }
    }

    /// Takes the settings that no method gives from the environment.
    pub fn or_environment(mut self) -> Self {
        self.environment = Some(|name| std::env::var_os(name));
        self
    }

    /// The service: `HOST:PORT`, `http://HOST:PORT` (plaintext) or `https://HOST:PORT` (TLS); see
    /// [`Address`](crate::Address). Several addresses have commas between them; see [`servers`](Self::servers).
    ///
    /// Without a scheme it is plaintext for this machine itself where no CA certificate is given, and TLS otherwise.
    pub fn server(self, server: impl Into<String>) -> Self {
        let server = server.into();
        self.servers(server.split(','))
    }

    /// Several addresses, which must lead to the same store: replicas, or several ways to one server.
    ///
    /// The client keeps a connection to each, follows the health of each (`grpc.health.v1`), and sends its requests in turn to
    /// those that serve.
    pub fn servers<S: Into<String>>(mut self, servers: impl IntoIterator<Item = S>) -> Self {
        self.servers = servers.into_iter().map(|server| server.into().trim().to_owned()).collect();
        self
    }

    /// The API key to present, or a token (JWT) that is never renewed.
    pub fn api_key(mut self, key: ApiKey) -> Self {
        self.key = Some(Key::Given(key));
        self
    }

    /// The file of the API key to present, or of a token (JWT) of an issuer that the service knows, such as that of a
    /// Kubernetes service account. It is read again when it changes, and when the service refuses what it held; a pipe is
    /// read once.
    pub fn api_key_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.key = Some(Key::InFile(path.into()));
        self
    }

    /// A function that returns a token (JWT), for example from an identity provider. It is called for the first request, 30
    /// seconds before the token expires, and when the service refuses the token; never twice at the same time.
    pub fn token_source<Asked, E>(mut self, source: impl Fn() -> Asked + Send + Sync + 'static) -> Self
    where
        Asked: Future<Output = Result<Token, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.key = Some(Key::FromSource(Arc::new(move || {
            let asked = source();
            Box::pin(async { asked.await.map_err(Into::into) })
        })));
        self
    }

    /// The namespace of every request that names none.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// The file of the CA certificates (PEM) to trust, in place of the system's.
    pub fn ca_cert_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_cert_file = Some(path.into());
        self
    }

    /// The file of the certificate (PEM) to present, with those that vouch for it. This file and that of its key are read again
    /// for each connection, so that they can be renewed.
    pub fn client_cert_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.client_cert_file = Some(path.into());
        self
    }

    /// The file of that certificate's private key (PEM).
    pub fn client_key_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.client_key_file = Some(path.into());
        self
    }

    /// Allows `http://` to another machine. Others on the network can then read API keys and values.
    pub fn insecure_plaintext(mut self, allowed: bool) -> Self {
        self.insecure_plaintext = allowed;
        self
    }

    /// How long each request may take, with all its repeats; 30 seconds unless set. For a stream, how long its first
    /// answer may take.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How often a request that failed is sent again.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// What the client calls itself, in the `user-agent` header.
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = user_agent.into();
        self
    }

    /// Makes the client, without a connection: the first request makes it. Must be called on a tokio runtime.
    ///
    /// So a program can start before the service does. [`connect`](Self::connect) finds a wrong address at once.
    pub fn build(self) -> Result<Client, ConnectError> {
        self.settings()?.build()
    }

    /// Connects to the service. The connection is tried once, so that a wrong address is an error at once. With several
    /// addresses, one that serves is enough.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        self.settings()?.connect().await
    }

    /// Checks all settings and reads the files that they name. Nothing is sent.
    pub fn settings(self) -> Result<Settings, ConnectError> {
        Settings::of(self)
    }
}
