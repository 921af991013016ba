//! Client certificates: which ones are credentials, and for which principal.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use prost::Message;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, SanType};
use strongroom::api::v1::{CreateBindingRequest, GetSecretRequest, WhoAmIResponse};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, HandshakeKind, RootCertStore, SupportedProtocolVersion};
use tonic::Code;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use super::authority::{Authority, dns, ending, uri};
use super::who;
use crate::caller::{Caller, Credential, endpoint};
use crate::harness::{Launch, Output, Server};
use crate::raw::Wire;
use crate::refusal::{denied, refused};
use crate::requests::{Value, get};

/// A server that asks for client certificates.
pub struct Site {
    pub server: Server,
    /// The authority of the server's certificate.
    pub authority: Authority,
    /// The authority of client certificates.
    pub clients: Authority,
    pub folder: tempfile::TempDir,
}

impl Site {
    pub fn open() -> Self {
        let clients = Authority::new();
        let pem = clients.pem();
        Self::with(clients, &pem)
    }

    /// A server that trusts the authorities in this text.
    pub fn with(clients: Authority, authorities: &str) -> Self {
        let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        let server = launch(folder.path(), &authority, authorities).start();
        Self { server, authority, clients, folder }
    }

    /// A connection that presents this certificate.
    pub async fn connect(&self, (certificate, key): (String, String)) -> Caller {
        self.try_connect(Some((certificate, key))).await.unwrap()
    }

    pub async fn try_connect(
        &self,
        identity: Option<(String, String)>,
    ) -> Result<Caller, tonic::transport::Error> {
        let trusted = Certificate::from_pem(self.authority.pem());
        let mut tls = ClientTlsConfig::new().ca_certificate(trusted).domain_name("localhost");
        if let Some((certificate, key)) = identity {
            tls = tls.identity(Identity::from_pem(certificate, key));
        }
        let channel = endpoint(&self.server.url).tls_config(tls)?.connect().await?;
        Ok(Caller::over(channel, Credential::default()))
    }

    /// Connects and asks who is calling. With TLS 1.3 a refused certificate shows at the first read only.
    async fn principal(&self, names: &[SanType]) -> String {
        let caller = self.connect(self.clients.client(names)).await;
        who(&caller).await.unwrap().into_inner().principal
    }

    /// Asserts that no request comes through with this certificate.
    async fn not_served(&self, identity: (String, String)) {
        if let Ok(caller) = self.try_connect(Some(identity)).await {
            let failed = who(&caller).await.unwrap_err();
            assert!(failed.details().is_empty(), "the service has answered: {failed:?}");
        }
    }
}

/// Writes the files of a server, and gives their settings.
fn launch(folder: &Path, authority: &Authority, client_authorities: &str) -> Launch {
    let (certificate, key) = authority.sign(Authority::server());
    let files = [
        ("--tls-cert", "server.pem", certificate.as_str()),
        ("--tls-key", "server.key", &key),
        ("--tls-client-ca", "clients.pem", client_authorities),
    ];
    files.into_iter().fold(Launch::in_memory(), |launch, (flag, name, content)| {
        let file = folder.join(name);
        fs::write(&file, content).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        launch.argument(flag).argument(file.display().to_string())
    })
}

#[tokio::test]
async fn the_principal_is_the_uri_or_else_the_first_dns_name() {
    let site = Site::open();
    for (names, principal) in [
        (vec![uri("spiffe://example.org/ns/web/sa/api")], "cert:spiffe://example.org/ns/web/sa/api"),
        (vec![dns("a.example.org"), uri("urn:uuid:1")], "cert:urn:uuid:1"),
        (vec![dns("API.example.org"), dns("b.example.org")], "cert:api.example.org"),
    ] {
        assert_eq!(site.principal(&names).await, principal);
    }
}

#[tokio::test]
async fn a_certificate_gives_no_right_by_itself() {
    let site = Site::open();
    let caller = site.connect(site.clients.client(&[dns("a.example.org")])).await;
    let reply = who(&caller).await.unwrap().into_inner();
    assert!(reply.api_key.is_none() && reply.rights.is_empty());
    denied(caller.secrets().get_secret(get("A")).await);
    let root = site.try_connect(None).await.unwrap().with(Credential::bearer(&site.server.root_key));
    root.create("A", "for the bound").await;
    let binding = CreateBindingRequest {
        principal: "cert:a.example.org".into(),
        role: "editor".into(),
        namespace_pattern: "default".into(),
        ..Default::default()
    };
    root.access().create_binding(binding).await.unwrap();
    assert_eq!(caller.value("A").await, Value::text("for the bound"));
    caller.rotate("A", "from the bound").await;
}

#[tokio::test]
async fn work_that_waits_ends_when_the_certificate_expires() {
    let site = Site::open();
    let root = site.try_connect(None).await.unwrap().with(Credential::bearer(&site.server.root_key));
    let binding = CreateBindingRequest {
        principal: "cert:a.example.org".into(),
        role: "reader".into(),
        namespace_pattern: "default".into(),
        ..Default::default()
    };
    let revision = root.access().create_binding(binding).await.unwrap().into_inner().revision;
    let (params, _) = ending(Authority::with(&[dns("a.example.org")]), 4);
    let caller = site.connect(site.clients.sign(params)).await;
    // It waits for a revision that nobody makes.
    let waits = GetSecretRequest { min_revision: revision + 1000, ..get("A") };
    let status =
        refused(caller.secrets().get_secret(waits).await, Code::Unauthenticated, "CREDENTIAL_EXPIRED");
    assert!(status.message().contains("certificate"), "{status:?}");
}

#[tokio::test]
async fn certificates_are_presented_over_tls_1_2_and_1_3() {
    let site = Site::open();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let wire = raw(&site, version, site.clients.client(&[dns("a.example.org")])).await;
        let reply = wire.call("/strongroom.v1.AccessService/WhoAmI", b"").await.unwrap().into_inner();
        let reply = WhoAmIResponse::decode(reply.as_slice()).unwrap();
        assert_eq!(reply.principal, "cert:a.example.org", "{version:?}");
    }
}

async fn raw(site: &Site, version: &'static SupportedProtocolVersion, identity: (String, String)) -> Wire {
    let (wire, _) = handshake(site, &config(site, version, identity)).await;
    wire
}

fn config(
    site: &Site,
    version: &'static SupportedProtocolVersion,
    identity: (String, String),
) -> Arc<rustls::ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(site.authority.pem().as_bytes()).unwrap()).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(identity.0.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(identity.1.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]);
    let config = config.unwrap().with_root_certificates(roots);
    let mut config = config.with_client_auth_cert(chain, key).unwrap();
    config.alpn_protocols.push(b"h2".to_vec());
    Arc::new(config)
}

async fn handshake(site: &Site, config: &Arc<rustls::ClientConfig>) -> (Wire, Option<HandshakeKind>) {
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", site.server.port())).await.unwrap();
    let name = "localhost".try_into().unwrap();
    let stream = TlsConnector::from(config.clone()).connect(name, stream).await.unwrap();
    let kind = stream.get_ref().1.handshake_kind();
    (Wire::over(stream, "localhost").await, kind)
}

#[tokio::test]
async fn a_session_that_is_resumed_does_not_outlive_its_certificate() {
    const WHO_AM_I: &str = "/strongroom.v1.AccessService/WhoAmI";
    let site = Site::open();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let (params, time) = ending(Authority::with(&[dns("a.example.org")]), 4);
        let config = config(&site, version, site.clients.sign(params));
        let (first, _) = handshake(&site, &config).await;
        first.call(WHO_AM_I, b"").await.unwrap();
        let (second, kind) = handshake(&site, &config).await;
        assert_eq!(kind, Some(HandshakeKind::Resumed), "{version:?}");
        second.call(WHO_AM_I, b"").await.unwrap();
        tokio::time::sleep(time).await; // both processes read the same clock
        let (third, kind) = handshake(&site, &config).await;
        assert_eq!(kind, Some(HandshakeKind::Resumed), "{version:?}");
        refused(third.call(WHO_AM_I, b"").await, Code::Unauthenticated, "CREDENTIAL_EXPIRED");
    }
}

#[tokio::test]
async fn a_client_without_a_certificate_uses_another_credential() {
    let site = Site::open();
    let caller = site.try_connect(None).await.unwrap();
    refused(who(&caller).await, Code::Unauthenticated, "CREDENTIAL_MISSING");
    let reply = who(&caller.with(Credential::bearer(&site.server.root_key))).await.unwrap().into_inner();
    assert!(reply.api_key.is_some());
}

#[tokio::test]
async fn a_certificate_and_another_credential_are_two() {
    let site = Site::open();
    let caller = site.connect(site.clients.client(&[dns("a.example.org")])).await;
    for credential in
        [Credential::bearer(&site.server.root_key), Credential::header("x-api-key", &site.server.root_key)]
    {
        let status =
            refused(who(&caller.with(credential)).await, Code::Unauthenticated, "CREDENTIAL_INVALID");
        assert!(status.message().contains("more than one"), "{status:?}");
    }
    who(&caller).await.unwrap();
}

#[tokio::test]
async fn a_certificate_that_names_no_principal_is_no_credential_and_hinders_none() {
    let site = Site::open();
    for (names, says) in [
        (vec![], "names no principal"),
        (vec![SanType::Rfc822Name("a@example.org".try_into().unwrap())], "names no principal"),
        (vec![dns("*.example.org")], "names no principal"),
        (vec![uri("a b")], "names no principal"),
        (vec![uri(&format!("urn:{}", "a".repeat(600)))], "names no principal"),
        (vec![uri("spiffe://a/b"), uri("spiffe://a/c"), dns("a.example.org")], "more than one URI"),
    ] {
        let caller = site.connect(site.clients.client(&names)).await;
        let status = refused(who(&caller).await, Code::Unauthenticated, "CREDENTIAL_INVALID");
        assert!(status.message().contains(says), "{status:?}");
        who(&caller.with(Credential::bearer(&site.server.root_key))).await.unwrap();
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_valid_does_not_connect() {
    let site = Site::open();
    let names = [dns("a.example.org")];
    site.not_served(Authority::new().client(&names)).await;
    let mut expired = Authority::with(&names);
    expired.not_before = rcgen::date_time_ymd(2001, 1, 1);
    expired.not_after = rcgen::date_time_ymd(2002, 1, 1);
    site.not_served(site.clients.sign(expired)).await;
    let mut early = Authority::with(&names);
    early.not_before = rcgen::date_time_ymd(4000, 1, 1);
    early.not_after = rcgen::date_time_ymd(4001, 1, 1);
    site.not_served(site.clients.sign(early)).await;
    let mut for_servers = Authority::with(&names);
    for_servers.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    site.not_served(site.clients.sign(for_servers)).await;
    site.principal(&names).await;
}

#[tokio::test]
async fn a_certificate_that_expires_ends_on_its_open_connection() {
    let site = Site::open();
    let (params, time) = ending(Authority::with(&[dns("a.example.org")]), 4);
    let caller = site.connect(site.clients.sign(params)).await;
    who(&caller).await.unwrap();
    tokio::time::sleep(time).await; // both processes read the same clock
    let status = refused(who(&caller).await, Code::Unauthenticated, "CREDENTIAL_EXPIRED");
    assert!(status.message().contains("certificate"), "{status:?}");
}

#[tokio::test]
async fn an_authority_that_has_expired_vouches_for_nobody() {
    let (expired, valid) = (Authority::expired(), Authority::new());
    let only = refused_start(&expired.pem());
    assert!(only.all().contains("clients.pem") && only.all().contains("expired"), "{}", only.all());
    let both = format!("{}{}", expired.pem(), valid.pem());
    let site = Site::with(valid, &both);
    site.not_served(expired.client(&[dns("a.example.org")])).await;
    site.principal(&[dns("a.example.org")]).await;
}

#[tokio::test]
async fn an_authority_that_expires_takes_its_certificates_along() {
    let (params, time) = ending(CertificateParams::default(), 6);
    let clients = Authority::of(params);
    let (pem, identity) = (clients.pem(), clients.client(&[dns("a.example.org")]));
    let site = Site::with(clients, &pem);
    let caller = site.connect(identity.clone()).await;
    who(&caller).await.unwrap();
    tokio::time::sleep(time).await;
    refused(who(&caller).await, Code::Unauthenticated, "CREDENTIAL_EXPIRED");
    // TLS does not look at the end of an authority. The service does.
    let later = site.connect(identity).await;
    refused(who(&later).await, Code::Unauthenticated, "CREDENTIAL_INVALID");
}

#[tokio::test]
async fn a_file_of_authorities_that_cannot_be_used_is_named_at_the_start() {
    let (leaf, _) = Authority::new().client(&[dns("a.example.org")]);
    for (content, says) in
        [("", "certificates"), ("nonsense", "certificates"), (leaf.as_str(), "not that of an authority")]
    {
        let said = refused_start(content).all();
        assert!(said.contains("clients.pem") && said.contains(says), "{said}");
    }
    let plain = Launch::in_memory().argument("--tls-client-ca").argument("clients.pem").refused();
    assert_eq!(plain.code, Some(2), "a usage error");
}

fn refused_start(authorities: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    launch(folder.path(), &Authority::new(), authorities).refused()
}

#[tokio::test]
async fn the_command_line_presents_a_certificate() {
    let site = Site::open();
    let (certificate, key) = site.clients.client(&[uri("spiffe://example.org/cli")]);
    let write = |name: &str, content: &str| {
        let file = site.folder.path().join(name);
        fs::write(&file, content).unwrap();
        file.display().to_string()
    };
    let (cert, key) = (write("client.pem", &certificate), write("client.key", &key));
    let ca = write("ca.pem", &site.authority.pem());
    let command = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_strongroom"));
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("STRONGROOM_"))
        {
            command.env_remove(name);
        }
        command.args(["whoami", "-o", "json", "--server", &site.server.url, "--ca-cert", &ca]);
        command
    };
    let says = |command: &mut std::process::Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let by_flags = says(command().args(["--client-cert", &cert, "--client-key", &key]));
    let by_variables =
        says(command().env("STRONGROOM_CLIENT_CERT", &cert).env("STRONGROOM_CLIENT_KEY", &key));
    assert!(by_flags.contains("cert:spiffe://example.org/cli"), "{by_flags}");
    assert_eq!(by_flags, by_variables);
    let half = command().args(["--client-cert", &cert]).output().unwrap();
    assert_eq!(half.status.code(), Some(2));
}
