//! A certificate for the servers of a run, and a client that trusts it.

use std::fs::OpenOptions;
use std::io::Write;
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
    der: CertificateDer<'static>,
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
        Self { certificate, key: key_file, der: made.der().clone() }
    }

    /// TLS over a connection to the server.
    pub async fn connect(&self, stream: TcpStream) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).expect("a certificate");
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let name = ServerName::try_from("127.0.0.1").expect("an address");
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("TLS")
    }
}
