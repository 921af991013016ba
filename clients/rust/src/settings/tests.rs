//! What the settings make of methods and variables.

use std::ffi::OsString;
use std::fs;

use super::*;

fn settle(builder: Builder) -> Result<Settings, String> {
    builder.settings().map_err(|error| error.to_string())
}

fn with_environment(builder: Builder, read: fn(&str) -> Option<OsString>) -> Builder {
    Builder { environment: Some(read), ..builder }
}

/// The header that is presented.
fn header(settings: Settings) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let header = runtime.block_on(settings.credential.current()).unwrap();
    header.map(|header| header.to_str().unwrap().to_owned())
}

/// A file with this content.
fn file(name: &str, content: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("{name}-{}", uuid::Uuid::new_v4()));
    fs::write(&path, content).unwrap();
    path
}

#[test]
fn what_nobody_says_has_a_default() {
    let settings = Builder::new().settings().unwrap();
    assert_eq!(settings.address().to_string(), "http://127.0.0.1:50051");
    assert_eq!((settings.namespace(), settings.deadline), ("", Duration::from_secs(30)));
    assert!(header(settings).is_none());
}

#[test]
fn plaintext_is_for_this_machine_unless_it_is_asked_for() {
    let address = |builder| settle(builder).map(|settings| settings.address().to_string());
    let at = |server: &str| Builder::new().server(server);
    assert_eq!(address(at("localhost")).unwrap(), "http://localhost:50051");
    assert_eq!(address(at("HTTP://[::1]:7")).unwrap(), "http://[::1]:7");
    assert_eq!(address(at("10.0.0.1:7")).unwrap(), "https://10.0.0.1:7");
    assert_eq!(address(at("HTTPS://127.0.0.1:7")).unwrap(), "https://127.0.0.1:7");
    let refused = address(at("http://10.0.0.1")).unwrap_err();
    assert!(refused.contains("plaintext") && refused.contains("https://"), "{refused}");
    assert_eq!(address(at("http://10.0.0.1").insecure_plaintext(true)).unwrap(), "http://10.0.0.1:50051");
    // The permission is no wish: without a scheme it is TLS.
    assert_eq!(address(at("10.0.0.1").insecure_plaintext(true)).unwrap(), "https://10.0.0.1:50051");
    assert!(address(at("127.0.0.1:99999")).unwrap_err().contains("1 to 65535"));
    assert!(address(at("")).unwrap_err().contains("host is missing"));
}

#[test]
fn a_ca_certificate_asks_for_tls() {
    let authority = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = file("ca.pem", &authority.cert.pem());
    let with_ca = |server: &str| settle(Builder::new().server(server).ca_cert_file(&pem));
    assert_eq!(with_ca("127.0.0.1").unwrap().address().to_string(), "https://127.0.0.1:50051");
    assert!(with_ca("http://127.0.0.1").unwrap_err().contains("leave the CA certificate out"));
    fs::write(&pem, "no certificate").unwrap();
    assert!(with_ca("127.0.0.1").unwrap_err().contains("no certificate in PEM"));
    fs::remove_file(&pem).unwrap();
    assert!(with_ca("127.0.0.1").unwrap_err().contains("cannot be read"));
}

#[test]
fn a_client_certificate_has_a_key_and_asks_for_tls() {
    let (cert, key) = (file("client.pem", ""), file("client.key", ""));
    let with =
        |server: &str| settle(Builder::new().server(server).client_cert_file(&cert).client_key_file(&key));
    assert!(with("http://127.0.0.1").unwrap_err().contains("leave the client certificate out"));
    let unusable = with("127.0.0.1").unwrap_err();
    assert!(
        unusable.contains("TLS cannot be set up") && unusable.contains("certificate in PEM"),
        "{unusable}"
    );
    for half in [Builder::new().client_cert_file(&cert), Builder::new().client_key_file(&key)] {
        assert!(settle(half).unwrap_err().contains("go together"));
    }
    let set: fn(&str) -> Option<OsString> =
        |name| (name == "STRONGROOM_CLIENT_CERT").then(|| "/nowhere".into());
    let half = with_environment(Builder::new(), set).settings().unwrap_err();
    assert!(half.to_string().contains("go together"));
    fs::remove_file(&key).unwrap();
    assert!(with("127.0.0.1").unwrap_err().contains("cannot be read"));
    fs::remove_file(&cert).unwrap();
}

#[test]
fn methods_win_over_variables_and_empty_variables_are_unset() {
    let set = |name: &str| match name {
        "STRONGROOM_SERVER" => Some("https://secrets.example.com".into()),
        "STRONGROOM_NAMESPACE" => Some("team".into()),
        "STRONGROOM_API_KEY" => Some(" srk_variable\n".into()),
        "STRONGROOM_API_KEY_FILE" => Some("/nowhere".into()),
        _ => None,
    };
    let settings = with_environment(Builder::new(), set).settings().unwrap();
    assert_eq!(settings.address().to_string(), "https://secrets.example.com:50051");
    assert_eq!(settings.namespace(), "team");
    assert_eq!(header(settings).unwrap(), "Bearer srk_variable");

    let path = file("api.key", "srk_file\n");
    let own = Builder::new().server("127.0.0.1:1").namespace("").api_key_file(&path);
    let settings = with_environment(own, set).settings().unwrap();
    assert_eq!(settings.address().to_string(), "http://127.0.0.1:1");
    assert_eq!(settings.namespace(), "");
    assert_eq!(header(settings).unwrap(), "Bearer srk_file");
    fs::remove_file(&path).unwrap();

    let settings = with_environment(Builder::new(), |_| Some(OsString::new())).settings().unwrap();
    assert_eq!(settings.address().to_string(), "http://127.0.0.1:50051");
    assert!(header(settings).is_none());
}

#[test]
fn a_key_that_cannot_be_had_is_an_error_that_does_not_show_it() {
    let malformed: fn(&str) -> Option<OsString> =
        |name| (name == "STRONGROOM_API_KEY").then(|| "srk_hidden srk_hidden".into());
    let error = with_environment(Builder::new(), malformed).settings().unwrap_err();
    assert_eq!(
        error.to_string(),
        "STRONGROOM_API_KEY does not hold an API key: srk_… on one line is expected"
    );
    assert!(!format!("{error:?}").contains("hidden"));
    let missing: fn(&str) -> Option<OsString> =
        |name| (name == "STRONGROOM_API_KEY_FILE").then(|| "/nowhere".into());
    let error = with_environment(Builder::new(), missing).settings().unwrap_err();
    assert!(error.to_string().contains("/nowhere cannot be read"), "{error}");
    let empty = file("empty.key", "\n");
    let error = Builder::new().api_key_file(&empty).settings().unwrap_err();
    assert!(error.to_string().contains("is empty"), "{error}");
    fs::remove_file(&empty).unwrap();
}

#[test]
fn debug_does_not_show_the_key() {
    let builder = Builder::new().api_key("srk_hidden".parse().unwrap());
    let shown = format!("{builder:?}");
    let shown = format!("{shown} {:?}", builder.settings().unwrap());
    assert!(!shown.contains("hidden"), "{shown}");
}

#[test]
fn a_user_agent_that_is_no_header_is_refused() {
    assert!(settle(Builder::new().user_agent("a\nb")).unwrap_err().contains("user agent"));
}

#[test]
fn several_addresses_all_use_tls_or_none_does() {
    let addresses = |builder: Builder| {
        settle(builder).map(|settings| settings.addresses().map(Address::to_string).collect::<Vec<_>>())
    };
    let set: fn(&str) -> Option<OsString> =
        |name| (name == "STRONGROOM_SERVER").then(|| "127.0.0.1:1, 127.0.0.1:2".into());
    let of_environment = addresses(with_environment(Builder::new(), set)).unwrap();
    assert_eq!(of_environment, ["http://127.0.0.1:1", "http://127.0.0.1:2"]);
    let given = addresses(Builder::new().servers(["https://a", "b:7"])).unwrap();
    assert_eq!(given, ["https://a:50051", "https://b:7"]);
    let mixed = addresses(Builder::new().servers(["127.0.0.1", "https://b"])).unwrap_err();
    assert!(mixed.contains("some use TLS"), "{mixed}");
    assert!(addresses(Builder::new().server("127.0.0.1,")).unwrap_err().contains("host is missing"));
}

#[test]
fn without_a_runtime_there_is_an_error() {
    let error = Builder::new().build().unwrap_err();
    assert!(error.to_string().contains("tokio runtime"), "{error}");
}

#[test]
fn a_token_source_does_not_show() {
    let source = || async { Ok::<_, std::io::Error>(crate::Token::new("eyJhidden")) };
    let builder = Builder::new().token_source(source);
    assert!(!format!("{builder:?}").contains("hidden"));
    assert_eq!(header(builder.settings().unwrap()).unwrap(), "Bearer eyJhidden");
}
