//! The settings of a client, checked before anything is sent.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_rustls::rustls::pki_types::ServerName;
use tonic::transport::{Channel, Endpoint};
use zeroize::Zeroizing;

use crate::address::Address;
use crate::api_key::{ApiKey, ApiKeyError};
use crate::builder::{Builder, Key};
use crate::client::Client;
use crate::connect_error::ConnectError;
use crate::connector::{CONNECT, Connector};
use crate::credential::{Credential, KeyFile, TokenSource};
use crate::error::causes;
use crate::pool::{Pool, Target};
use crate::problem::Noted;
use crate::retry::RetryPolicy;
use crate::tls::{Identity, Tls};

/// The address of the service where none is set.
const DEFAULT_SERVER: &str = "127.0.0.1:50051";
/// A connection over which nothing comes for this long is asked for a sign of life.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Without one within this time, it is lost.
const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(10);

/// Settings that are complete and checked; see [`Builder::settings`].
pub struct Settings {
    addresses: Addresses,
    namespace: String,
    pub(crate) credential: Credential,
    tls: Option<Arc<Tls>>,
    user_agent: String,
    pub(crate) deadline: Duration,
    pub(crate) retry: RetryPolicy,
}

/// The addresses, of which there is at least one.
struct Addresses {
    first: Address,
    others: Vec<Address>,
}

impl Settings {
    pub(crate) fn of(builder: Builder) -> Result<Self, ConnectError> {
        let ca_cert_file = builder.ca_cert_file.clone().or_else(|| builder.path("STRONGROOM_CA_CERT"));
        let identity = builder.identity()?;
        let addresses = builder.addresses(ca_cert_file.is_some() || identity.is_some())?;
        let tls = addresses.first.tls() == Some(true);
        if !tls && ca_cert_file.is_some() {
            return Err(ConnectError::PlaintextWithCaCert);
        }
        if !tls && identity.is_some() {
            return Err(ConnectError::PlaintextWithClientCert);
        }
        let namespace = match builder.namespace.clone() {
            Some(namespace) => namespace,
            None => builder.variable("STRONGROOM_NAMESPACE")?.unwrap_or_default(),
        };
        let credential = builder.credential()?;
        let tls = if tls { Some(Arc::new(Tls::new(ca_cert_file.as_deref(), identity)?)) } else { None };
        let Builder { user_agent, deadline, retry, .. } = builder;
        let settings = Self { addresses, namespace, credential, tls, user_agent, deadline, retry };
        for address in settings.addresses.iter() {
            settings.target(address)?;
        }
        Ok(settings)
    }

    /// Where the service is, with the scheme that is used: the first address.
    pub fn address(&self) -> &Address {
        &self.addresses.first
    }

    /// All addresses, each with the scheme that is used.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.addresses.iter()
    }

    /// The namespace of every request that names none; empty for the credential's home namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Makes the client; see [`Builder::build`].
    pub fn build(self) -> Result<Client, ConnectError> {
        self.client(None)
    }

    /// Connects to the service; see [`Builder::connect`].
    pub async fn connect(self) -> Result<Client, ConnectError> {
        if self.addresses.others.is_empty() {
            let Target { address, endpoint, connector, noted } = self.target(&self.addresses.first)?;
            return match endpoint.connect_with_connector(connector).await {
                Ok(channel) => self.client(Some((channel, noted))),
                Err(error) => {
                    let reason = match noted.last() {
                        Some(problem) => problem.at(&address).to_string(),
                        None => format!("{address} cannot be reached: {}", causes(&error)),
                    };
                    Err(ConnectError::Unreachable { address, reason })
                }
            };
        }
        let address = self.addresses.first.clone();
        let client = self.client(None)?;
        let pool = &client.link().pool;
        pool.settled().await;
        match pool.problems() {
            Some((reason, true)) if !pool.serves() => Err(ConnectError::Unreachable { address, reason }),
            _ => Ok(client),
        }
    }

    /// The client. `connected` is the connection to the first address, where there is one already, and where its connector notes
    /// problems.
    fn client(self, connected: Option<(Channel, Noted)>) -> Result<Client, ConnectError> {
        Handle::try_current().map_err(|_| ConnectError::NoRuntime)?;
        let mut first = self.target(&self.addresses.first)?;
        let connected = connected.map(|(channel, noted)| {
            first.noted = noted;
            channel
        });
        let others = self.addresses.others.iter().map(|address| self.target(address));
        let pool = Pool::new(first, others.collect::<Result<_, _>>()?, connected);
        Ok(Client::over(pool, self))
    }

    /// How to connect to an address.
    fn target(&self, address: &Address) -> Result<Target, ConnectError> {
        let failed = |error: tonic::transport::Error| ConnectError::Tls(causes(&error));
        // tonic sees plaintext in either case: the connector does TLS.
        let endpoint = Endpoint::from_shared(format!("http://{}", address.authority())).map_err(failed)?;
        let endpoint = endpoint
            .user_agent(&*self.user_agent)
            .map_err(|_| ConnectError::UserAgent)?
            .origin(
                address.to_string().parse().map_err(|_| ConnectError::Tls("the address is no URI".into()))?,
            )
            .connect_timeout(2 * CONNECT) // the connector keeps to its own
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_ANSWER)
            .keep_alive_while_idle(true);
        let tls = match &self.tls {
            None => None,
            Some(tls) => {
                let host = address.host().trim_start_matches('[').trim_end_matches(']').to_owned();
                let name = ServerName::try_from(host);
                let no_name = |_| ConnectError::Tls(format!("{address} has no name for a certificate"));
                Some((tls.clone(), name.map_err(no_name)?))
            }
        };
        let noted = Noted::default();
        let connector = Connector::new(tls, noted.clone());
        Ok(Target { address: address.clone(), endpoint, connector, noted })
    }
}

impl Addresses {
    fn iter(&self) -> impl Iterator<Item = &Address> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let addresses: Vec<_> = self.addresses().map(Address::to_string).collect();
        f.debug_struct("Settings")
            .field("addresses", &addresses)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// The addresses with their schemes: TLS for all of them, or for none.
    fn addresses(&self, for_tls: bool) -> Result<Addresses, ConnectError> {
        let servers = match self.servers.is_empty() {
            false => self.servers.clone(),
            true => {
                let set = self.variable("STRONGROOM_SERVER")?.unwrap_or_else(|| DEFAULT_SERVER.to_owned());
                set.split(',').map(|server| server.trim().to_owned()).collect()
            }
        };
        let mut parsed = Vec::with_capacity(servers.len());
        for server in servers {
            let address: Address = server.parse()?;
            let tls = address.tls().unwrap_or(for_tls || !address.is_loopback());
            let address = address.with_tls(tls);
            if !tls && !address.is_loopback() && !self.insecure_plaintext && !for_tls {
                return Err(ConnectError::Plaintext(address));
            }
            parsed.push(address);
        }
        let mut parsed = parsed.into_iter();
        let first = parsed.next().ok_or(ConnectError::NoAddress)?;
        let others: Vec<_> = parsed.collect();
        if others.iter().any(|other| other.tls() != first.tls()) {
            return Err(ConnectError::Mixed);
        }
        Ok(Addresses { first, others })
    }

    /// The files of the client certificate and of its key: the methods', or else the environment's.
    fn identity(&self) -> Result<Option<Identity>, ConnectError> {
        let given = self.client_cert_file.is_some() || self.client_key_file.is_some();
        let (certificate, key) = if given {
            (self.client_cert_file.clone(), self.client_key_file.clone())
        } else {
            (self.path("STRONGROOM_CLIENT_CERT"), self.path("STRONGROOM_CLIENT_KEY"))
        };
        match (certificate, key) {
            (Some(certificate), Some(key)) => Ok(Some(Identity { certificate, key })),
            (None, None) => Ok(None),
            (Some(_), None) | (None, Some(_)) => Err(ConnectError::HalfClientCert),
        }
    }

    fn credential(&self) -> Result<Credential, ConnectError> {
        const VARIABLE: &str = "STRONGROOM_API_KEY";
        match &self.key {
            Some(Key::Given(key)) => return Ok(Credential::Fixed(key.header()?)),
            Some(Key::InFile(path)) => return Ok(KeyFile::open(path.clone())?),
            Some(Key::FromSource(ask)) => return Ok(Credential::Source(TokenSource::new(ask.clone()))),
            None => {}
        }
        if let Some(text) = self.variable(VARIABLE)? {
            let malformed = |_| ApiKeyError::MalformedIn(VARIABLE.to_owned());
            let key = ApiKey::parse(&Zeroizing::new(text)).map_err(malformed)?;
            return Ok(Credential::Fixed(key.header()?));
        }
        match self.path("STRONGROOM_API_KEY_FILE") {
            Some(path) => Ok(KeyFile::open(path)?),
            None => Ok(Credential::None),
        }
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

#[cfg(test)]
mod tests;
