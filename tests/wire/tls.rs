//! TLS, and the refusal to speak to other machines without it.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{self, RootCertStore};
use tonic::transport::{Certificate, Channel, ClientTlsConfig};

use crate::caller::{Caller, Credential, endpoint};
use crate::harness::{Launch, Output, Server};
use crate::raw::Wire;
use crate::requests::{Value, create, get};

#[tokio::test]
async fn a_client_that_trusts_the_authority_is_served() {
    let site = Site::open();
    let caller = site.caller(&site.authority).await.unwrap();
    caller.create("A", "over TLS").await;
    assert_eq!(caller.value("A").await, Value::text("over TLS"));
    site.server.stop().await;
}

#[tokio::test]
async fn a_client_that_trusts_another_authority_does_not_connect() {
    let site = Site::open();
    let stranger = authority();
    assert!(site.caller(&stranger.pem()).await.is_err());
    site.caller(&site.authority).await.unwrap().create("A", "v").await;
}

#[tokio::test]
async fn a_plaintext_client_is_not_served() {
    let site = Site::open();
    let plain = site.server.url.replace("https://", "http://");
    let channel = endpoint(&plain).connect_lazy();
    let caller = Caller::over(channel, Credential::bearer(&site.server.root_key));
    let reply = caller.secrets().create_secret(create("A", "v")).await;
    assert!(reply.is_err(), "served without TLS");
    let caller = site.caller(&site.authority).await.unwrap();
    crate::refusal::not_found(caller.secrets().get_secret(get("A")).await, "A");
}

#[tokio::test]
async fn a_client_that_never_shakes_hands_holds_up_nobody() {
    let site = Site::open();
    let silent: Vec<_> =
        (0..50).map(|_| TcpStream::connect(("127.0.0.1", site.server.port())).unwrap()).collect();
    site.caller(&site.authority).await.unwrap().create("A", "v").await;
    drop(silent);
    site.server.stop().await;
}

#[tokio::test]
async fn every_call_needs_a_credential_over_tls_too() {
    let site = Site::open();
    let caller = site.caller(&site.authority).await.unwrap().with(Credential::default());
    let reply = caller.secrets().get_secret(get("A")).await;
    crate::refusal::refused(reply, tonic::Code::Unauthenticated, "CREDENTIAL_MISSING");
}

#[tokio::test]
async fn the_command_line_speaks_tls_and_says_when_tls_is_missing() {
    let site = Site::open();
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("ca.pem");
    fs::write(&authority, &site.authority).unwrap();
    let address = site.server.url.strip_prefix("https://").unwrap().to_owned();
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_strongroom"));
        command.env("STRONGROOM_API_KEY", &site.server.root_key).arg("whoami").args(arguments);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let authority = authority.to_str().unwrap();
    // An authority is given, so the client speaks TLS, whether or not the address says so.
    for server in [&site.server.url, &address] {
        assert_eq!(run(&["--server", server, "--ca-cert", authority]), (Some(0), String::new()));
    }
    let (code, said) = run(&["--server", &site.server.url]);
    assert!(code == Some(69) && said.contains("certificate"), "{code:?} {said}");
    let (code, said) = run(&["--server", &address]);
    assert!(code == Some(69) && said.contains("https://"), "{code:?} {said}");
}

#[tokio::test]
async fn plaintext_to_other_machines_is_refused() {
    for address in ["0.0.0.0:0", "[::]:0"] {
        let said = Launch::in_memory().listen(address).refused().all();
        assert!(said.contains("--insecure-plaintext") && said.contains("--tls-cert"), "{address}:\n{said}");
    }
}

#[tokio::test]
async fn half_a_tls_configuration_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key, _) = certificate_files(folder.path());
    let (cert, key) = (cert.as_str(), key.as_str());
    assert_eq!(start(&["--tls-cert", cert]).code, Some(2), "a usage error");
    assert_eq!(start(&["--tls-key", key]).code, Some(2), "a usage error");
    let absent = folder.path().join("absent.pem").display().to_string();
    assert!(start(&["--tls-cert", &absent, "--tls-key", key]).all().contains("absent.pem"));
    assert!(start(&["--tls-cert", cert, "--tls-key", &absent]).all().contains("absent.pem"));
}

#[tokio::test]
async fn a_certificate_and_a_key_that_do_not_belong_together_are_refused_before_it_is_ready() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key, _) = certificate_files(folder.path());
    let (cert, key) = (cert.as_str(), key.as_str());
    // A certificate is no key, a key is no certificate, and the key of another certificate does not fit.
    start(&["--tls-cert", key, "--tls-key", cert]);
    let elsewhere = tempfile::tempdir().unwrap();
    let (_, other_key, _) = certificate_files(elsewhere.path());
    start(&["--tls-cert", cert, "--tls-key", &other_key]);
}

#[tokio::test]
async fn a_private_key_that_others_can_read_or_that_is_encrypted_is_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key, _) = certificate_files(folder.path());
    for mode in [0o640, 0o604, 0o644, 0o660] {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        let said = start(&["--tls-cert", &cert, "--tls-key", &key]).all();
        assert!(said.contains("open to others") && said.contains("chmod 600"), "{said}");
    }
    for encrypted in [
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nMIIB\n-----END RSA PRIVATE KEY-----\n",
    ] {
        fs::write(&key, encrypted).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let said = start(&["--tls-cert", &cert, "--tls-key", &key]).all();
        assert!(said.contains("encrypted with a passphrase") && said.contains("openssl pkey"), "{said}");
    }
}

#[tokio::test]
async fn a_certificate_whose_time_is_not_now_is_said_at_the_start() {
    for (from, until, told) in [(2001, 2002, "has expired"), (2200, 2201, "is not valid yet")] {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key, _) = certificate_files_between(folder.path(), from, until);
        let launch = Launch::in_memory().argument("--tls-cert").argument(&cert);
        let server = launch.argument("--tls-key").argument(&key).start();
        let said = server.stop().await.stderr;
        assert!(said.contains(told) && said.contains("server.pem"), "{said}");
    }
}

fn start(arguments: &[&str]) -> Output {
    arguments.iter().fold(Launch::in_memory(), |launch, &argument| launch.argument(argument)).refused()
}

/// A server with TLS.
pub struct Site {
    pub server: Server,
    /// The certificate of the authority that signed the server's, as PEM.
    pub authority: String,
    _folder: tempfile::TempDir,
}

impl Site {
    pub fn open() -> Self {
        Self::with(&[])
    }

    /// The same, with more arguments.
    pub fn with(arguments: &[&str]) -> Self {
        Self::of(arguments.iter().fold(Launch::in_memory(), |launch, argument| launch.argument(*argument)))
    }

    /// The server of these settings, with TLS.
    pub fn of(launch: Launch) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key, authority) = certificate_files(folder.path());
        let launch = launch.argument("--tls-cert").argument(cert);
        let server = launch.argument("--tls-key").argument(key).start();
        assert!(server.url.starts_with("https://"), "{}", server.url);
        Self { server, authority, _folder: folder }
    }

    /// A connection that presents nothing, from a client that trusts the authority.
    pub async fn wire(&self) -> Wire {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols.push(b"h2".to_vec());
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", self.server.port())).await.unwrap();
        let name = "localhost".try_into().unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        Wire::over(stream, "localhost").await
    }

    /// A caller with the root key that trusts this authority.
    pub async fn caller(&self, authority: &str) -> Result<Caller, tonic::transport::Error> {
        let tls =
            ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority)).domain_name("localhost");
        let channel: Channel = endpoint(&self.server.url).tls_config(tls)?.connect().await?;
        Ok(Caller::over(channel, Credential::bearer(&self.server.root_key)))
    }
}

/// Writes a certificate for `localhost` and its key; gives their paths, and the authority's certificate.
fn certificate_files(folder: &Path) -> (String, String, String) {
    certificate_files_between(folder, 2020, 2100)
}

/// The same, for a certificate that is valid from the beginning of one year to that of another.
fn certificate_files_between(folder: &Path, from: i32, until: i32) -> (String, String, String) {
    let authority = authority();
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = rcgen::date_time_ymd(from, 1, 1);
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    let certificate = params.signed_by(&key, &authority).unwrap();
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    };
    (write("server.pem", certificate.pem()), write("server.key", key.serialize_pem()), authority.pem())
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}
