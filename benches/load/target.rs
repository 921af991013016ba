//! The server under load: one that is started for it, or that of the caller.

use strongroom_client::{ApiKey, Client};
use tempfile::TempDir;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use crate::lines::Place;
use crate::messages::Messages;
use crate::namespace::{Failure, Namespace};
use crate::options::{Options, variable};
use crate::server_processors;
use crate::tools::{Process, Server, Start, Trust, data_folder};

/// A connection waits for its turn without a request until then, and what is deleted does not come back.
const CONFIG: &str = "deletion_retention = \"0s\"\n[limits]\nauthentication_time = \"1h\"\n";
/// The namespace where none is given.
const NAMESPACE: &str = "load-generator";

/// A server, and how to reach it.
pub struct Target {
    pub places: Vec<Place>,
    pub messages: Messages,
    pub namespace: Namespace,
    /// Where it was started for the load.
    own: Option<Own>,
}

/// A server that was started for the load. Its data ends with this.
pub struct Own {
    pub server: Server,
    _folder: TempDir,
}

impl Own {
    /// Starts a server.
    pub fn start(options: &Options) -> Self {
        let folder = data_folder();
        let processors = server_processors();
        let server = Server::start(&Start {
            folder: folder.path(),
            store: options.store.name(),
            config: CONFIG,
            tls: None,
            processor: processors.as_deref(),
        });
        Self { server, _folder: folder }
    }

    /// What requests to it have in common.
    pub fn messages(&self, options: &Options, secrets: usize) -> Messages {
        Messages {
            key: self.server.key.clone(),
            namespace: NAMESPACE.into(),
            secrets,
            value_size: options.value_size,
        }
    }
}

impl Target {
    /// Starts a server for the load.
    pub fn start(options: &Options) -> Result<Self, Failure> {
        let own = Own::start(options);
        let address = &own.server.process.address;
        let client = Client::builder()
            .server(format!("http://{address}"))
            .api_key(ApiKey::parse(&own.server.key)?)
            .build()?;
        let (host, port) = address.rsplit_once(':').ok_or("an address without a port")?;
        Ok(Self {
            places: vec![Place { host: host.into(), port: port.parse()?, tls: None }],
            messages: own.messages(options, options.secrets),
            namespace: Namespace::new(&client, NAMESPACE),
            own: Some(own),
        })
    }

    /// Connects to the server of the caller, who must have agreed to the writes.
    pub async fn connect(options: &Options) -> Result<Self, Failure> {
        let mut builder = Client::builder().or_environment().insecure_plaintext(options.insecure_plaintext);
        if let Some(server) = &options.server {
            builder = builder.server(server);
        }
        if let Some(file) = &options.ca_cert {
            builder = builder.ca_cert_file(file);
        }
        let key = key(options)?;
        let settings = builder.api_key(ApiKey::parse(&key)?).settings()?;
        let addresses: Vec<_> = settings.addresses().cloned().collect();
        let name = options.namespace.clone().or_else(|| variable("STRONGROOM_NAMESPACE"));
        let name = name.unwrap_or_else(|| NAMESPACE.into());
        if !options.write && !options.clean {
            let server = settings.address();
            return Err(format!(
                "this load would create, change and remove secrets in the namespace {name} of {server}. Agree to that with --write. \
                 Without --server and STRONGROOM_SERVER, a server is started for the load"
            )
            .into());
        }
        let client = settings.connect().await?;
        let trust = match addresses.iter().any(|address| address.tls() == Some(true)) {
            true => Some(trust(options)?),
            false => None,
        };
        let place = |address: &strongroom_client::Address| Place {
            host: address.host().to_owned(),
            port: address.port(),
            tls: trust.clone(),
        };
        Ok(Self {
            places: addresses.iter().map(place).collect(),
            messages: Messages {
                key,
                namespace: name.clone(),
                secrets: options.secrets,
                value_size: options.value_size,
            },
            namespace: Namespace::new(&client, &name),
            own: None,
        })
    }

    /// The process of a server that was started for the load.
    pub fn process(&self) -> Option<&Process> {
        self.own.as_ref().map(|own| &own.server.process)
    }
}

/// The credential: an API key is never an argument.
fn key(options: &Options) -> Result<String, Failure> {
    let in_file = |path: &std::path::Path| match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) => Err(format!("{}: {error}", path.display())),
    };
    if let Some(path) = &options.api_key_file {
        return Ok(in_file(path)?);
    }
    match (variable("STRONGROOM_API_KEY"), variable("STRONGROOM_API_KEY_FILE")) {
        (Some(key), _) => Ok(key),
        (None, Some(path)) => Ok(in_file(path.as_ref())?),
        (None, None) => {
            Err("no API key: give --api-key-file, STRONGROOM_API_KEY_FILE or STRONGROOM_API_KEY".into())
        }
    }
}

/// The authorities of the file that is given, or else those of the system.
fn trust(options: &Options) -> Result<Trust, Failure> {
    let given = options.ca_cert.clone().or_else(|| variable("STRONGROOM_CA_CERT").map(Into::into));
    Ok(match given {
        None => Trust::new(rustls_native_certs::load_native_certs().certs),
        Some(file) => {
            let certificates: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file)?.collect();
            Trust::new(certificates?)
        }
    })
}
