//! A test issuer: an HTTPS server that answers every request with its key set, and counts the requests.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

use super::authority::Authority;

/// A running issuer. It ends with the tests.
pub struct TestIssuer {
    pub url: String,
    /// The file of the authority that signed its certificate.
    pub ca: PathBuf,
    answer: Arc<Mutex<String>>,
    requests: Arc<AtomicUsize>,
}

impl TestIssuer {
    /// An issuer whose files are in this folder, and which has these keys.
    pub fn start(folder: &Path, keys: &str) -> Self {
        let authority = Authority::new();
        let ca = authority.write(&folder.join("issuer-ca.pem"));
        let (certificate, key) = authority.sign(Authority::server());
        let provider = Arc::new(crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let config = config.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));

        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("https://localhost:{}/keys", listener.local_addr().unwrap().port());
        let (answer, requests) = (Arc::new(Mutex::new(ok(keys))), Arc::new(AtomicUsize::new(0)));
        let (answers, count) = (answer.clone(), requests.clone());
        // A thread of its own: tests wait for the server on theirs.
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    let (acceptor, answers, count) = (acceptor.clone(), answers.clone(), count.clone());
                    tokio::spawn(async move {
                        let _ = serve(acceptor, stream, &answers, &count).await; // a client may break off
                    });
                }
            });
        });
        Self { url, ca, answer, requests }
    }

    /// The settings of its keys.
    pub fn settings(&self) -> String {
        format!("jwks_url = '{}'\njwks_ca = '{}'", self.url, self.ca.display())
    }

    pub fn publish(&self, keys: &str) {
        self.answer(ok(keys));
    }

    /// The answer to every request from now on, with its head.
    pub fn answer(&self, answer: String) {
        *self.answer.lock().unwrap() = answer;
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

async fn serve(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    answer: &Mutex<String>,
    requests: &AtomicUsize,
) -> std::io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    requests.fetch_add(1, Ordering::SeqCst);
    let answer = answer.lock().unwrap().clone();
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}
