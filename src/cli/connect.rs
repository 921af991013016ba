use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};
use zeroize::Zeroizing;

use super::failure::Failure;
use crate::api::MAX_MESSAGE;
use crate::api::v1::access_service_client::AccessServiceClient;
use crate::api::v1::operator_service_client::OperatorServiceClient;
use crate::api::v1::reference_service_client::ReferenceServiceClient;
use crate::api::v1::secret_service_client::SecretServiceClient;

/// How the service is reached.
#[derive(clap::Args)]
pub(super) struct Connection {
    /// The service: HOST:PORT, http://HOST:PORT (plaintext) or https://HOST:PORT (TLS)
    ///
    /// Without a scheme, plaintext is used only for this machine itself, and only where no --ca-cert is given.
    #[arg(
        long,
        global = true,
        env = "STRONGROOM_SERVER",
        hide_env_values = true,
        default_value = "127.0.0.1:50051",
        value_name = "ADDRESS"
    )]
    #[arg(help_heading = "Connection")]
    server: String,

    /// The file of the API key; the key itself can stand in STRONGROOM_API_KEY
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    api_key_file: Option<PathBuf>,

    /// The namespace [default: the API key's home namespace]
    #[arg(
        short,
        long,
        global = true,
        env = "STRONGROOM_NAMESPACE",
        hide_env_values = true,
        value_name = "NAMESPACE"
    )]
    #[arg(help_heading = "Connection")]
    namespace: Option<String>,

    /// The certificate (PEM) that the service's certificate is signed by [default: those of the system]
    #[arg(
        long,
        global = true,
        env = "STRONGROOM_CA_CERT",
        hide_env_values = true,
        value_name = "FILE",
        help_heading = "Connection"
    )]
    ca_cert: Option<PathBuf>,
}

/// A channel that sends the API key with every request.
pub(super) type Authenticated = InterceptedService<Channel, ApiKey>;

const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(30);
/// A page of 1,000 secrets with all the metadata that they can have.
const MAX_REPLY: usize = 64 * MAX_MESSAGE;

impl Connection {
    /// The namespace that requests name; empty for the home namespace.
    pub(super) fn namespace(&self) -> String {
        self.namespace.clone().unwrap_or_default()
    }

    /// The service's address as it was given.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    pub(super) async fn secrets(&self) -> Result<SecretServiceClient<Authenticated>, Failure> {
        let client = SecretServiceClient::with_interceptor(self.channel().await?, self.api_key()?);
        Ok(client.max_decoding_message_size(MAX_REPLY))
    }

    pub(super) async fn access(&self) -> Result<AccessServiceClient<Authenticated>, Failure> {
        let client = AccessServiceClient::with_interceptor(self.channel().await?, self.api_key()?);
        Ok(client.max_decoding_message_size(MAX_REPLY))
    }

    pub(super) async fn references(&self) -> Result<ReferenceServiceClient<Authenticated>, Failure> {
        let client = ReferenceServiceClient::with_interceptor(self.channel().await?, self.api_key()?);
        Ok(client.max_decoding_message_size(MAX_REPLY))
    }

    pub(super) async fn operator(&self) -> Result<OperatorServiceClient<Authenticated>, Failure> {
        Ok(OperatorServiceClient::with_interceptor(self.channel().await?, self.api_key()?))
    }

    /// A channel without an API key.
    pub(super) async fn channel(&self) -> Result<Channel, Failure> {
        let (tls, address) = self.address()?;
        let malformed =
            |_| Failure::usage("the server's address must be HOST:PORT, or begin with http:// or https://");
        let scheme = if tls { "https" } else { "http" };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))
            .map_err(malformed)?
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            .user_agent(concat!("strongroom-cli/", env!("CARGO_PKG_VERSION")))
            .map_err(malformed)?;
        if tls {
            let mut config = ClientTlsConfig::new();
            config = match &self.ca_cert {
                Some(file) => config.ca_certificate(Certificate::from_pem(read(file)?)),
                None => config.with_native_roots(),
            };
            endpoint = endpoint
                .tls_config(config)
                .map_err(|error| Failure::usage(format!("TLS can not be set up: {}", causes(&error))))?;
        }
        endpoint.connect().await.map_err(|error| {
            Failure::unreachable(format!("{scheme}://{address} can not be reached: {}", causes(&error)))
        })
    }

    /// Whether to use TLS, and the address without its scheme.
    fn address(&self) -> Result<(bool, &str), Failure> {
        if let Some(address) = self.server.strip_prefix("https://") {
            return Ok((true, address));
        }
        if let Some(address) = self.server.strip_prefix("http://") {
            if self.ca_cert.is_some() {
                return Err(Failure::usage("http:// is plaintext: drop --ca-cert, or use https://"));
            }
            return Ok((false, address));
        }
        let host = self.server.rsplit_once(':').map_or(self.server.as_str(), |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        Ok((!here || self.ca_cert.is_some(), &self.server))
    }

    fn api_key(&self) -> Result<ApiKey, Failure> {
        let from_file = |file: PathBuf| -> Result<Zeroizing<String>, Failure> {
            let bytes = Zeroizing::new(read(&file)?);
            let text = std::str::from_utf8(&bytes).map_err(|_| not_a_key(&file.display()))?;
            Ok(Zeroizing::new(text.trim().to_owned()))
        };
        let variable = |name: &str| std::env::var_os(name).filter(|set| !set.is_empty());
        let key = if let Some(file) = &self.api_key_file {
            Some(from_file(file.clone())?)
        } else if let Some(key) = variable("STRONGROOM_API_KEY") {
            let key = key.into_string().map_err(|_| not_a_key(&"STRONGROOM_API_KEY"))?;
            Some(Zeroizing::new(key.trim().to_owned()))
        } else if let Some(file) = variable("STRONGROOM_API_KEY_FILE") {
            Some(from_file(file.into())?)
        } else {
            None // the service says what is missing
        };
        let Some(key) = key else { return Ok(ApiKey(None)) };
        let header = Zeroizing::new(format!("Bearer {}", *key));
        let mut header = MetadataValue::try_from(header.as_str()).map_err(|_| not_a_key(&"the API key"))?;
        header.set_sensitive(true);
        Ok(ApiKey(Some(header)))
    }
}

/// Sends the API key, where there is one.
#[derive(Clone)]
pub(super) struct ApiKey(Option<MetadataValue<Ascii>>);

impl Interceptor for ApiKey {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(header) = &self.0 {
            request.metadata_mut().insert("authorization", header.clone());
        }
        Ok(request)
    }
}

fn read(file: &PathBuf) -> Result<Vec<u8>, Failure> {
    fs::read(file).map_err(|error| Failure::usage(format!("{} can not be read: {error}", file.display())))
}

fn not_a_key(place: &dyn std::fmt::Display) -> Failure {
    Failure::usage(format!("{place} does not hold an API key: srk_… on one line is expected"))
}

/// An error with all that caused it.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        let said = deeper.to_string();
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        cause = deeper.source();
    }
    text
}
