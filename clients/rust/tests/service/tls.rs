//! TLS: what an error says where the two ends do not fit, and the renewal of a client certificate.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use strongroom_client::{Builder, Client, ErrorKind, RetryPolicy};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::fake::Fake;
use crate::reply;

/// An authority, and files that it has signed.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = std::env::temp_dir().join(format!("tls-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    fn certificate(&self, name: &str, serial: u64) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.serial_number = Some(serial.into());
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// Writes the client certificate of this serial number.
    fn write_client(&self, serial: u64) {
        let (certificate, key) = self.certificate("client", serial);
        fs::write(self.folder.join("client.pem"), certificate.pem()).unwrap();
        fs::write(self.folder.join("client.key"), key.serialize_pem()).unwrap();
    }

    /// A way in TLS to a service. It tells the client certificate of each connection.
    async fn way_to(&self, service: SocketAddr, name: &str) -> TlsWay {
        let (certificate, key) = self.certificate(name, 1);
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            Arc::new(tokio_rustls::rustls::crypto::ring::default_provider()),
        );
        let verifier = verifier.allow_unauthenticated().build().unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(
            tokio_rustls::rustls::crypto::ring::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
        config.alpn_protocols.push(b"h2".to_vec());
        let (tell, presented) = unbounded_channel();
        let end = Arc::new(Notify::new());
        let ended = end.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (acceptor, tell, ended) = (acceptor.clone(), tell.clone(), ended.clone());
                tokio::spawn(async move {
                    let Ok(mut near) = acceptor.accept(near).await else { return };
                    let peer = near.get_ref().1.peer_certificates().and_then(|chain| chain.first());
                    let presented = peer.map(|peer| peer.to_vec()).unwrap_or_default();
                    let ended = ended.notified();
                    let _ = tell.send(presented);
                    let mut far = tokio::net::TcpStream::connect(service).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        () = ended => {}
                    }
                });
            }
        });
        TlsWay { address, presented, end }
    }

    fn client(&self, server: String) -> Builder {
        Client::builder().server(server).ca_cert_file(self.folder.join("ca.pem")).retry(RetryPolicy::NEVER)
    }
}

struct TlsWay {
    address: SocketAddr,
    presented: UnboundedReceiver<Vec<u8>>,
    /// Ends the connections that are there.
    end: Arc<Notify>,
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

async fn said(builder: Builder) -> String {
    let error = builder.build().unwrap().get("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    error.to_string()
}

#[tokio::test]
async fn an_error_says_what_does_not_fit() {
    let (authority, other) = (Authority::new(), Authority::new());
    let fake = Fake::start([]);
    let address = authority.way_to(fake.address, "127.0.0.1").await.address;
    let elsewhere = authority.way_to(fake.address, "elsewhere.example.com").await.address;
    let stranger = said(other.client(address.to_string())).await;
    assert!(stranger.contains("CA certificate") && stranger.contains(&address.to_string()), "{stranger}");
    let renamed = said(authority.client(elsewhere.to_string())).await;
    assert!(renamed.contains("for other names"), "{renamed}");
    let plain = said(Client::builder().server(format!("http://{address}")).retry(RetryPolicy::NEVER)).await;
    assert!(plain.contains(&format!("https://{address}")), "{plain}");
    // The same where the connection was made before.
    let connected = Client::builder()
        .server(format!("http://{address}"))
        .retry(RetryPolicy::NEVER)
        .connect()
        .await
        .unwrap();
    let plain = connected.get("a").await.unwrap_err();
    assert!(plain.to_string().contains(&format!("https://{address}")), "{plain}");
    // A server in plaintext that waits for the beginning of HTTP/2, and ends the connection where it does not come.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plaintext = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut beginning = [0; 24];
            let _ = near.read_exact(&mut beginning).await;
        }
    });
    let no_tls = said(authority.client(format!("https://{plaintext}"))).await;
    assert!(no_tls.contains(&format!("http://{plaintext}")), "{no_tls}");
}

#[tokio::test]
async fn a_client_certificate_is_read_again_for_each_connection() {
    let authority = Authority::new();
    let fake = Fake::start([]);
    fake.always("GetSecret", &reply("a", "one"));
    let mut way = authority.way_to(fake.address, "127.0.0.1").await;
    authority.write_client(7);
    let builder = authority
        .client(way.address.to_string())
        .client_cert_file(authority.folder.join("client.pem"))
        .client_key_file(authority.folder.join("client.key"));
    let client = builder.retry(RetryPolicy::default()).build().unwrap();
    client.get("a").await.unwrap();
    let first = way.presented.recv().await.unwrap();
    authority.write_client(8);
    way.end.notify_waiters();
    // The connection may end while the call is under way, which is then made again.
    let second = loop {
        client.get("a").await.unwrap();
        if let Ok(second) = way.presented.try_recv() {
            break second;
        }
    };
    assert!(!first.is_empty() && !second.is_empty() && first != second);
    // What cannot be used does not replace what worked.
    fs::write(authority.folder.join("client.key"), "").unwrap();
    way.end.notify_waiters();
    let third = loop {
        client.get("a").await.unwrap();
        if let Ok(third) = way.presented.try_recv() {
            break third;
        }
    };
    assert_eq!(second, third);
}
