//! The settings of a client: collected from the caller and from the environment, then checked, before anything is sent.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use zeroize::Zeroizing;

use crate::address::Address;
use crate::api_key::{ApiKey, ApiKeyError};
use crate::client::Client;
use crate::connect_error::ConnectError;
use crate::error::causes;
use crate::retry::RetryPolicy;

/// The address of the service where none is set.
const DEFAULT_SERVER: &str = "127.0.0.1:50051";
/// How long making a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// Sets a client up: begun by [`Client::builder`], ended by [`connect`](Self::connect).
///
/// | method | environment variable | default |
/// | --- | --- | --- |
/// | `server` | `STRONGROOM_SERVER` | `127.0.0.1:50051` |
/// | `api_key`, `api_key_file` | `STRONGROOM_API_KEY`, `STRONGROOM_API_KEY_FILE` | no key is sent |
/// | `client_cert_file`, `client_key_file` | `STRONGROOM_CLIENT_CERT`, `STRONGROOM_CLIENT_KEY` | no certificate is presented |
/// | `namespace` | `STRONGROOM_NAMESPACE` | the API key's home namespace |
/// | `ca_cert_file` | `STRONGROOM_CA_CERT` | the system's certificates |
///
/// The variables count after [`or_environment`](Self::or_environment) only. A method wins over a variable, and an empty
/// variable counts as unset.
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    server: Option<String>,
    key: Option<Key>,
    namespace: Option<String>,
    ca_cert_file: Option<PathBuf>,
    client_cert_file: Option<PathBuf>,
    client_key_file: Option<PathBuf>,
    insecure_plaintext: bool,
    deadline: Duration,
    retry: RetryPolicy,
    user_agent: String,
    /// Reads an environment variable.
    environment: Option<fn(&str) -> Option<OsString>>,
}

#[derive(Clone, Debug)]
enum Key {
    Given(ApiKey),
    InFile(PathBuf),
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            server: None,
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

    /// The service: `HOST:PORT`, `http://HOST:PORT` (plaintext) or `https://HOST:PORT` (TLS); see [`Address`].
    ///
    /// Without a scheme it is plaintext for this machine itself where no CA certificate is given, and TLS otherwise.
    pub fn server(mut self, server: impl Into<String>) -> Self {
        self.server = Some(server.into());
        self
    }

    /// The API key to present.
    pub fn api_key(mut self, key: ApiKey) -> Self {
        self.key = Some(Key::Given(key));
        self
    }

    /// The file of the API key to present, or of a token (JWT) of an issuer that the service knows. It is read once.
    pub fn api_key_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.key = Some(Key::InFile(path.into()));
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

    /// The file of the certificate (PEM) to present, with those that vouch for it.
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

    /// Connects to the service. The connection is tried once, so that a wrong address is an error at once.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        self.settings()?.connect().await
    }

    /// Checks all settings and reads the files that they name. Nothing is sent.
    pub fn settings(self) -> Result<Settings, ConnectError> {
        let server = match self.server.clone() {
            Some(server) => server,
            None => self.variable("STRONGROOM_SERVER")?.unwrap_or_else(|| DEFAULT_SERVER.to_owned()),
        };
        let address: Address = server.parse()?;
        let ca_cert_file = self.ca_cert_file.clone().or_else(|| self.path("STRONGROOM_CA_CERT"));
        let identity = self.identity_files()?;
        let for_tls = ca_cert_file.is_some() || identity.is_some();
        let tls = address.tls().unwrap_or(for_tls || !address.is_loopback());
        let address = address.with_tls(tls);
        if !tls && ca_cert_file.is_some() {
            return Err(ConnectError::PlaintextWithCaCert);
        }
        if !tls && identity.is_some() {
            return Err(ConnectError::PlaintextWithClientCert);
        }
        if !tls && !address.is_loopback() && !self.insecure_plaintext {
            return Err(ConnectError::Plaintext(address));
        }
        let namespace = match self.namespace.clone() {
            Some(namespace) => namespace,
            None => self.variable("STRONGROOM_NAMESPACE")?.unwrap_or_default(),
        };
        let header = self.key()?.as_ref().map(ApiKey::header).transpose()?;
        let identity = identity.as_ref().map(|(cert, key)| (cert.as_path(), key.as_path()));
        let endpoint = self.endpoint(&address, ca_cert_file.as_deref(), identity)?;
        let (deadline, retry) = (self.deadline, self.retry);
        Ok(Settings { address, namespace, header, endpoint, deadline, retry })
    }

    /// The files of the client certificate and of its key: the methods', or else the environment's.
    fn identity_files(&self) -> Result<Option<(PathBuf, PathBuf)>, ConnectError> {
        let given = self.client_cert_file.is_some() || self.client_key_file.is_some();
        let (cert, key) = if given {
            (self.client_cert_file.clone(), self.client_key_file.clone())
        } else {
            (self.path("STRONGROOM_CLIENT_CERT"), self.path("STRONGROOM_CLIENT_KEY"))
        };
        match (cert, key) {
            (Some(cert), Some(key)) => Ok(Some((cert, key))),
            (None, None) => Ok(None),
            (Some(_), None) | (None, Some(_)) => Err(ConnectError::HalfClientCert),
        }
    }

    fn endpoint(
        &self,
        address: &Address,
        ca_cert_file: Option<&Path>,
        identity: Option<(&Path, &Path)>,
    ) -> Result<Endpoint, ConnectError> {
        let tls_failed = |error: tonic::transport::Error| ConnectError::Tls(causes(&error));
        let endpoint = Endpoint::from_shared(address.to_string()).map_err(tls_failed)?;
        let endpoint = endpoint.user_agent(&*self.user_agent).map_err(|_| ConnectError::UserAgent)?;
        let endpoint = endpoint.connect_timeout(CONNECT);
        if address.tls() != Some(true) {
            return Ok(endpoint);
        }
        let config = ClientTlsConfig::new();
        let config = match ca_cert_file {
            None => config.with_native_roots(),
            Some(path) => {
                let unreadable = |error| ConnectError::CaCert { path: path.to_owned(), error };
                config.ca_certificate(Certificate::from_pem(fs::read(path).map_err(unreadable)?))
            }
        };
        let config = match identity {
            None => config,
            Some((cert, key)) => {
                let read = |path: &Path| {
                    fs::read(path).map_err(|error| ConnectError::ClientCert { path: path.to_owned(), error })
                };
                // tonic keeps a copy of the key for as long as the client lives.
                config.identity(Identity::from_pem(read(cert)?, Zeroizing::new(read(key)?)))
            }
        };
        endpoint.tls_config(config).map_err(tls_failed)
    }

    fn key(&self) -> Result<Option<ApiKey>, ConnectError> {
        match &self.key {
            Some(Key::Given(key)) => return Ok(Some(key.clone())),
            Some(Key::InFile(path)) => return Ok(Some(ApiKey::from_file(path)?)),
            None => {}
        }
        const VARIABLE: &str = "STRONGROOM_API_KEY";
        let malformed = |_| ApiKeyError::MalformedIn(VARIABLE.to_owned());
        if let Some(text) = self.variable(VARIABLE)? {
            return Ok(Some(ApiKey::parse(&Zeroizing::new(text)).map_err(malformed)?));
        }
        let file = self.path("STRONGROOM_API_KEY_FILE");
        Ok(file.map(ApiKey::from_file).transpose()?)
    }

    /// An environment variable; `None` where it is unset, empty, or not asked for.
    fn variable(&self, name: &'static str) -> Result<Option<String>, ConnectError> {
        let text = self.environment.and_then(|read| read(name)).filter(|set| !set.is_empty());
        text.map(|text| text.into_string().map_err(|_| ConnectError::NotText(name))).transpose()
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.environment.and_then(|read| read(name)).filter(|set| !set.is_empty()).map(PathBuf::from)
    }
}

/// Settings that are complete and checked; see [`Builder::settings`].
#[derive(Clone, Debug)]
pub struct Settings {
    address: Address,
    namespace: String,
    pub(crate) header: Option<MetadataValue<Ascii>>,
    endpoint: Endpoint,
    pub(crate) deadline: Duration,
    pub(crate) retry: RetryPolicy,
}

impl Settings {
    /// Where the service is, with the scheme that is used.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The namespace of every request that names none; empty for the API key's home namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Connects to the service. The connection is tried once, so that a wrong address is an error at once.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        match self.endpoint.connect().await {
            Ok(channel) => Ok(Client::over(channel, self)),
            Err(error) => {
                // The outermost error only says that it is one of the transport.
                let reason = std::error::Error::source(&error).map_or_else(|| causes(&error), causes);
                let reason = match reason.contains("InvalidContentType") {
                    true => {
                        "the server does not answer in TLS: if it uses plaintext, give the address http://…"
                            .to_owned()
                    }
                    false => reason,
                };
                Err(ConnectError::Unreachable { address: self.address, reason })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settle(builder: Builder) -> Result<Settings, String> {
        builder.settings().map_err(|error| error.to_string())
    }

    fn with_environment(builder: Builder, read: fn(&str) -> Option<OsString>) -> Builder {
        Builder { environment: Some(read), ..builder }
    }

    /// A file with this content.
    fn file(name: &str, content: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("{name}-{}", uuid::Uuid::new_v4()));
        fs::write(&path, content).unwrap();
        path
    }

    #[test]
    fn what_nobody_says_has_a_default() {
        let settings = Builder::new().settings().unwrap();
        assert_eq!(settings.address().to_string(), "http://127.0.0.1:50051");
        assert_eq!((settings.namespace(), settings.header.is_some()), ("", false));
        assert_eq!(settings.deadline, Duration::from_secs(30));
    }

    #[test]
    fn plaintext_is_for_this_machine_unless_it_is_asked_for() {
        let address = |builder| settle(builder).map(|settings| settings.address().to_string());
        let at = |server: &str| Builder::new().server(server);
        assert_eq!(address(at("localhost")).unwrap(), "http://localhost:50051");
        assert_eq!(address(at("HTTP://[::1]:7")).unwrap(), "http://[::1]:7");
        assert_eq!(address(at("10.0.0.1:7")).unwrap(), "https://10.0.0.1:7");
        assert_eq!(address(at("HTTPS://127.0.0.1:7")).unwrap(), "https://127.0.0.1:7");
        let refused = address(at("http://10.0.0.1")).unwrap_err();
        assert!(refused.contains("plaintext") && refused.contains("https://"), "{refused}");
        assert_eq!(address(at("http://10.0.0.1").insecure_plaintext(true)).unwrap(), "http://10.0.0.1:50051");
        // The permission is no wish: without a scheme it is TLS.
        assert_eq!(address(at("10.0.0.1").insecure_plaintext(true)).unwrap(), "https://10.0.0.1:50051");
        assert!(address(at("127.0.0.1:99999")).unwrap_err().contains("1 to 65535"));
        assert!(address(at("")).unwrap_err().contains("host is missing"));
    }

    #[test]
    fn a_ca_certificate_asks_for_tls() {
        let pem = file("ca.pem", "");
        let with_ca = |server: &str| settle(Builder::new().server(server).ca_cert_file(&pem));
        assert_eq!(with_ca("127.0.0.1").unwrap().address().to_string(), "https://127.0.0.1:50051");
        assert!(with_ca("http://127.0.0.1").unwrap_err().contains("leave the CA certificate out"));
        fs::remove_file(&pem).unwrap();
        assert!(with_ca("127.0.0.1").unwrap_err().contains("cannot be read"));
    }

    #[test]
    fn a_client_certificate_has_a_key_and_asks_for_tls() {
        let (cert, key) = (file("client.pem", ""), file("client.key", ""));
        let with = |server: &str| {
            settle(Builder::new().server(server).client_cert_file(&cert).client_key_file(&key))
        };
        assert!(with("http://127.0.0.1").unwrap_err().contains("leave the client certificate out"));
        assert!(
            with("127.0.0.1").unwrap_err().contains("TLS cannot be set up"),
            "the files hold no certificate"
        );
        for half in [Builder::new().client_cert_file(&cert), Builder::new().client_key_file(&key)] {
            assert!(settle(half).unwrap_err().contains("go together"));
        }
        let set: fn(&str) -> Option<OsString> =
            |name| (name == "STRONGROOM_CLIENT_CERT").then(|| "/nowhere".into());
        let half = with_environment(Builder::new(), set).settings().unwrap_err();
        assert!(half.to_string().contains("go together"));
        fs::remove_file(&key).unwrap();
        assert!(with("127.0.0.1").unwrap_err().contains("cannot be read"));
        fs::remove_file(&cert).unwrap();
    }

    #[test]
    fn methods_win_over_variables_and_empty_variables_are_unset() {
        let set = |name: &str| match name {
            "STRONGROOM_SERVER" => Some("https://secrets.example.com".into()),
            "STRONGROOM_NAMESPACE" => Some("team".into()),
            "STRONGROOM_API_KEY" => Some(" srk_variable\n".into()),
            "STRONGROOM_API_KEY_FILE" => Some("/nowhere".into()),
            _ => None,
        };
        let settings = with_environment(Builder::new(), set).settings().unwrap();
        assert_eq!(settings.address().to_string(), "https://secrets.example.com:50051");
        assert_eq!(settings.namespace(), "team");
        assert_eq!(settings.header.unwrap().to_str().unwrap(), "Bearer srk_variable");

        let path = file("api.key", "srk_file\n");
        let own = Builder::new().server("127.0.0.1:1").namespace("").api_key_file(&path);
        let settings = with_environment(own, set).settings().unwrap();
        assert_eq!(settings.address().to_string(), "http://127.0.0.1:1");
        assert_eq!(settings.namespace(), "");
        assert_eq!(settings.header.unwrap().to_str().unwrap(), "Bearer srk_file");
        fs::remove_file(&path).unwrap();

        let settings = with_environment(Builder::new(), |_| Some(OsString::new())).settings().unwrap();
        assert_eq!(settings.address().to_string(), "http://127.0.0.1:50051");
        assert!(settings.header.is_none());
    }

    #[test]
    fn a_key_that_cannot_be_had_is_an_error_that_does_not_show_it() {
        let malformed: fn(&str) -> Option<OsString> =
            |name| (name == "STRONGROOM_API_KEY").then(|| "srk_hidden srk_hidden".into());
        let error = with_environment(Builder::new(), malformed).settings().unwrap_err();
        assert_eq!(
            error.to_string(),
            "STRONGROOM_API_KEY does not hold an API key: srk_… on one line is expected"
        );
        assert!(!format!("{error:?}").contains("hidden"));
        let missing: fn(&str) -> Option<OsString> =
            |name| (name == "STRONGROOM_API_KEY_FILE").then(|| "/nowhere".into());
        let error = with_environment(Builder::new(), missing).settings().unwrap_err();
        assert!(error.to_string().contains("/nowhere cannot be read"), "{error}");
        let empty = file("empty.key", "\n");
        let error = Builder::new().api_key_file(&empty).settings().unwrap_err();
        assert!(error.to_string().contains("is empty"), "{error}");
        fs::remove_file(&empty).unwrap();
    }

    #[test]
    fn debug_does_not_show_the_key() {
        let builder = Builder::new().api_key("srk_hidden".parse().unwrap());
        let shown = format!("{builder:?}");
        let shown = format!("{shown} {:?}", builder.settings().unwrap());
        assert!(!shown.contains("hidden"), "{shown}");
    }

    #[test]
    fn a_user_agent_that_is_no_header_is_refused() {
        assert!(settle(Builder::new().user_agent("a\nb")).unwrap_err().contains("user agent"));
    }
}
