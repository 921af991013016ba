//! How a command reaches the service: the flags of the connection, the environment where a flag is absent, and then the context.
//!
//! Every command that is a client calls [`Connection::client`] once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use strongroom_client::{Address, ApiKey, Builder, Client, ConnectError, RetryPolicy, Settings};

use super::contexts::{Context, Contexts, KeyText};
use super::failure::{Failure, note};
use super::{file, key_file};

/// The flags of the connection.
#[derive(clap::Args)]
pub(super) struct Connection {
    /// The address of the service: HOST:PORT, http://HOST:PORT (plaintext) or https://HOST:PORT (TLS) [env:
    /// STRONGROOM_SERVER] [default: 127.0.0.1:50051]
    ///
    /// An address without a scheme means plaintext if the host is this machine and no --ca-cert is given, and TLS
    /// otherwise. An address without a port means port 50051. Several addresses of one service are separated by commas:
    /// the first one that serves is used.
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

    /// The context to use, of those that 'strongroom login' made [env: STRONGROOM_CONTEXT] [default: the current one]
    #[arg(long, global = true, value_name = "NAME", help_heading = "Connection")]
    context: Option<String>,
}

/// The options and variables of the connection, without a context: for `login`.
pub(super) struct Given {
    pub(super) server: String,
    pub(super) insecure_plaintext: bool,
    /// The file of --api-key-file. The variables do not count: a context is for terminals without them.
    pub(super) api_key_file: Option<PathBuf>,
    pub(super) namespace: Option<String>,
    pub(super) ca_cert: Option<PathBuf>,
    pub(super) client_cert: Option<PathBuf>,
    pub(super) client_key: Option<PathBuf>,
}

impl Connection {
    /// Connects to the service.
    pub(super) async fn client(&self) -> Result<Client, Failure> {
        let settings = self.settings()?;
        if let Some(file) = self.key_file()? {
            key_file::note_if_open_to_others(&file);
        }
        Ok(settings.connect().await?)
    }

    /// Connects for requests that are made once and must end soon.
    pub(super) async fn quick_client(&self, deadline: Duration) -> Result<Client, Failure> {
        let settings = self.settled(builder().deadline(deadline).retry(RetryPolicy::NEVER))?;
        let late = Failure::unreachable(format!("{} does not answer", settings.address()));
        Ok(tokio::time::timeout(deadline, settings.connect()).await.map_err(|_| late)??)
    }

    /// The checked settings, such as the address and the namespace. Nothing is sent.
    pub(super) fn settings(&self) -> Result<Settings, Failure> {
        self.settled(builder())
    }

    fn settled(&self, builder: Builder) -> Result<Settings, Failure> {
        let mut builder = builder.or_environment().insecure_plaintext(self.insecure_plaintext);
        if let Some(server) = &self.server {
            builder = builder.server(server);
        }
        if let Some(file) = &self.api_key_file {
            builder = with_key_file(builder, file)?;
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
        if let Some(context) = self.context_that_counts()? {
            builder = self.with_context(builder, &context)?;
        }
        Ok(builder.settings()?)
    }

    /// The file of the API key that --api-key-file or the variable names, if the key comes from there.
    fn key_file(&self) -> Result<Option<PathBuf>, Failure> {
        match &self.api_key_file {
            Some(file) => Ok(Some(file.clone()).filter(|file| !file::is_standard(file))),
            None if variable("STRONGROOM_API_KEY")?.is_some() => Ok(None),
            None => Ok(variable("STRONGROOM_API_KEY_FILE")?.map(PathBuf::from)),
        }
    }

    /// Whether the API key comes from standard input.
    pub(super) fn reads_input(&self) -> bool {
        self.api_key_file.as_deref().is_some_and(file::is_standard)
    }

    /// The name of --context, or of the variable.
    pub(super) fn context(&self) -> Result<Option<String>, Failure> {
        match &self.context {
            Some(name) => Ok(Some(name.clone())),
            None => variable("STRONGROOM_CONTEXT"),
        }
    }

    /// The context that a command is about: the one of its argument, of --context, or of the variable.
    pub(super) fn context_or(&self, argument: Option<String>) -> Result<Option<String>, Failure> {
        match (argument, &self.context) {
            (Some(argument), Some(option)) if argument != *option => Err(Failure::usage(
                "the argument and --context name different contexts: leave one of them out",
            )),
            (Some(argument), _) => Ok(Some(argument)),
            (None, _) => self.context(),
        }
    }

    /// What the options and the variables say, for a context that `login` makes of it.
    pub(super) fn given(&self) -> Result<Given, Failure> {
        let text = |given: &Option<String>, name: &'static str| match given {
            Some(given) => Ok(Some(given.clone())),
            None => variable(name),
        };
        let path = |given: &Option<PathBuf>, name: &'static str| -> Result<_, Failure> {
            Ok(given.clone().or(variable(name)?.map(PathBuf::from)))
        };
        Ok(Given {
            server: text(&self.server, "STRONGROOM_SERVER")?.unwrap_or_else(|| DEFAULT_SERVER.to_owned()),
            insecure_plaintext: self.insecure_plaintext,
            api_key_file: self.api_key_file.clone(),
            namespace: text(&self.namespace, "STRONGROOM_NAMESPACE")?,
            ca_cert: path(&self.ca_cert, "STRONGROOM_CA_CERT")?,
            client_cert: path(&self.client_cert, "STRONGROOM_CLIENT_CERT")?,
            client_key: path(&self.client_key, "STRONGROOM_CLIENT_KEY")?,
        })
    }

    /// The settings of a context alone.
    pub(super) fn of_context(context: &Context) -> Result<Settings, Failure> {
        let mut settings = of_context(builder().server(&context.server), context);
        settings = with_key(settings, context)?;
        if let Some(namespace) = &context.namespace {
            settings = settings.namespace(namespace);
        }
        Ok(settings.settings()?)
    }

    /// The context of this command. `None`: there is none, or the options and variables name another service: its API key must
    /// not be sent there.
    fn context_that_counts(&self) -> Result<Option<Context>, Failure> {
        let server = match &self.server {
            Some(server) => Some(server.clone()),
            None => variable("STRONGROOM_SERVER")?,
        };
        let named = self.context()?;
        let contexts = match Contexts::read() {
            // The command needs nothing of a file that cannot be read.
            Err(broken) if named.is_none() && server.is_some() && self.has_credential()? => {
                note(&format!("the contexts are left out: {}", broken.brief()));
                return Ok(None);
            }
            read => read?,
        };
        let Some(context) = contexts.chosen(named.as_deref())? else { return Ok(None) };
        match server {
            Some(server) if !is_of(&server, &context) && named.is_some() => Err(Failure::usage(
                "--server and STRONGROOM_SERVER name another service than the context: leave one of them out",
            )),
            Some(server) if !is_of(&server, &context) => Ok(None),
            _ => Ok(Some(context)),
        }
    }

    /// Whether an option or a variable has a credential.
    fn has_credential(&self) -> Result<bool, Failure> {
        let set = |name| variable(name).map(|set| set.is_some());
        Ok(self.client_cert.is_some()
            || self.api_key_file.is_some()
            || set("STRONGROOM_CLIENT_CERT")?
            || set("STRONGROOM_API_KEY")?
            || set("STRONGROOM_API_KEY_FILE")?)
    }

    /// The settings with what the context has and neither an option nor a variable says.
    fn with_context(&self, mut builder: Builder, context: &Context) -> Result<Builder, Failure> {
        let unset = |name| variable(name).map(|set| set.is_none());
        // Where the given address has no scheme, that of the context counts: a key for TLS must not go out in plaintext.
        let has_scheme = context.server.parse::<Address>().is_ok_and(|address| address.tls().is_some());
        if has_scheme || (self.server.is_none() && unset("STRONGROOM_SERVER")?) {
            builder = builder.server(&context.server);
        }
        if let Some(namespace) = &context.namespace
            && self.namespace.is_none()
            && unset("STRONGROOM_NAMESPACE")?
        {
            builder = builder.namespace(namespace);
        }
        let own_ca = self.ca_cert.is_some() || !unset("STRONGROOM_CA_CERT")?;
        let allowed = self.insecure_plaintext || context.insecure_plaintext;
        builder = builder.insecure_plaintext(allowed);
        if let Some(file) = context.ca_cert.as_ref().filter(|_| !own_ca) {
            builder = builder.ca_cert_file(file);
        }
        if self.has_credential()? {
            return Ok(builder);
        }
        with_key(with_certificate(builder, context), context)
    }
}

/// The address where none is set.
const DEFAULT_SERVER: &str = "127.0.0.1:50051";

/// A person or a script waits for a command, so it gives up sooner than a service that uses the client.
const RETRIES: RetryPolicy = RetryPolicy {
    attempts: Some(5),
    first_delay: Duration::from_millis(100),
    longest_delay: Duration::from_secs(5),
};

fn builder() -> Builder {
    Client::builder().user_agent(concat!("strongroom-cli/", env!("CARGO_PKG_VERSION"))).retry(RETRIES)
}

fn of_context(mut builder: Builder, context: &Context) -> Builder {
    builder = builder.insecure_plaintext(context.insecure_plaintext);
    if let Some(file) = &context.ca_cert {
        builder = builder.ca_cert_file(file);
    }
    with_certificate(builder, context)
}

fn with_certificate(mut builder: Builder, context: &Context) -> Builder {
    if let Some(file) = &context.client_cert {
        builder = builder.client_cert_file(file);
    }
    if let Some(file) = &context.client_key {
        builder = builder.client_key_file(file);
    }
    builder
}

fn with_key(builder: Builder, context: &Context) -> Result<Builder, Failure> {
    match (&context.api_key, &context.api_key_file) {
        (Some(KeyText(key)), _) => {
            let wrong = |_| {
                Failure::usage("the context does not hold an API key: log in again with 'strongroom login'")
            };
            Ok(builder.api_key(ApiKey::parse(key).map_err(wrong)?))
        }
        (None, Some(file)) => Ok(builder.api_key_file(file)),
        (None, None) => Ok(builder),
    }
}

/// The settings with the key in a file; `-` is standard input.
fn with_key_file(builder: Builder, path: &Path) -> Result<Builder, Failure> {
    if !file::is_standard(path) {
        return Ok(builder.api_key_file(path));
    }
    let key = ApiKey::from_reader(std::io::stdin().lock(), "standard input").map_err(ConnectError::from)?;
    Ok(builder.api_key(key))
}

/// Whether the address is that of the context. The scheme counts only where both have one.
fn is_of(server: &str, context: &Context) -> bool {
    let parsed = |text: &str| text.parse::<Address>().ok();
    let Some((one, other)) = parsed(server).zip(parsed(&context.server)) else { return false };
    let same_scheme = one.tls().zip(other.tls()).is_none_or(|(one, other)| one == other);
    one.host().eq_ignore_ascii_case(other.host()) && one.port() == other.port() && same_scheme
}

/// An environment variable. An empty one counts as unset.
fn variable(name: &'static str) -> Result<Option<String>, Failure> {
    let text = std::env::var_os(name).filter(|set| !set.is_empty());
    text.map(|text| text.into_string().map_err(|_| ConnectError::NotText(name).into())).transpose()
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
