//! A certificate for the servers of a run, and a client that trusts it or other authorities.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// A certificate for 127.0.0.1 and its key, in files.
pub struct Certificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
    trust: Trust,
}

impl Certificate {
    /// Makes one in a folder.
    pub fn make(folder: &Path) -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
        let made = params.self_signed(&key).expect("a certificate");
        let (certificate, key_file) = (folder.join("server.pem"), folder.join("server.key"));
        std::fs::write(&certificate, made.pem()).expect("a file");
        // The server takes no key that others can read.
        let mut private = OpenOptions::new();
        private.write(true).create_new(true).mode(0o600);
        let mut private = private.open(&key_file).expect("a file");
        private.write_all(key.serialize_pem().as_bytes()).expect("a file");
        Self { certificate, key: key_file, trust: Trust::new([made.der().clone()]) }
    }

    /// TLS over a connection to the server.
    pub async fn connect(&self, stream: TcpStream) -> TlsStream<TcpStream> {
        self.trust.connect("127.0.0.1", stream).await.expect("TLS")
    }
}

/// A client that trusts some authorities.
#[derive(Clone)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// Leaves out certificates that cannot be used, as the system's may have some.
    pub fn new(authorities: impl IntoIterator<Item = CertificateDer<'static>>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(authorities);
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self(Arc::new(config))
    }

    /// TLS over a connection to a host.
    pub async fn connect(&self, host: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        TlsConnector::from(self.0.clone()).connect(name, stream).await
    }
}
