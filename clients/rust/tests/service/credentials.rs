//! The credential is renewed: a file is read again, and a token is asked for again.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use strongroom_client::v1::CreateApiKeyRequest;
use strongroom_client::{Client, Code, ErrorKind, Token};
use tonic_types::ErrorDetails;

use crate::fake::{Answer, Fake};
use crate::reply;

fn refused() -> Answer {
    Answer::refusal(Code::Unauthenticated, "CREDENTIAL_INVALID", ErrorDetails::new())
}

fn presented(fake: &Fake) -> Vec<String> {
    fake.seen().iter().map(|seen| seen.header("authorization").to_owned()).collect()
}

#[tokio::test]
async fn a_refused_key_is_read_again_from_its_file_and_the_call_repeated() {
    let path = std::env::temp_dir().join(format!("key-{}", uuid::Uuid::new_v4()));
    fs::write(&path, "srk_one").unwrap();
    let fake = Fake::start([]);
    fake.always("GetSecret", &reply("a", "one"));
    let client = Client::builder().server(fake.address.to_string()).api_key_file(&path).build().unwrap();
    client.get("a").await.unwrap();
    let next = path.with_extension("next");
    fs::write(&next, "srk_two").unwrap();
    fs::rename(&next, &path).unwrap();
    fake.then("GetSecret", [refused()]);
    client.get("a").await.unwrap();
    assert_eq!(presented(&fake), ["Bearer srk_one", "Bearer srk_one", "Bearer srk_two"]);
    // The file holds the same key: there is nothing to repeat the call with.
    fake.then("GetSecret", [refused()]);
    let error = client.get("a").await.unwrap_err();
    assert_eq!((error.kind(), presented(&fake).len()), (ErrorKind::Unauthenticated, 1));
    fs::remove_file(&path).unwrap();
}

#[tokio::test]
async fn a_refused_token_is_asked_for_again_also_by_a_call_that_is_never_repeated() {
    let fake = Fake::start([refused(), Answer::reply(&()), refused(), refused()]);
    let asked = Arc::new(AtomicU32::new(0));
    let source = move || {
        let number = asked.fetch_add(1, Ordering::Relaxed);
        async move { Ok::<_, std::io::Error>(Token::new(format!("eyJ{number}"))) }
    };
    let client = Client::builder().server(fake.address.to_string()).token_source(source).build().unwrap();
    client.access().create_api_key(CreateApiKeyRequest::default()).await.unwrap();
    assert_eq!(presented(&fake), ["Bearer eyJ0", "Bearer eyJ1"]);
    // A renewed token that is refused too is an error.
    let error = client.get("a").await.unwrap_err();
    assert_eq!((error.kind(), presented(&fake).len()), (ErrorKind::Unauthenticated, 2));
}

#[tokio::test]
async fn a_token_source_that_fails_sends_nothing() {
    let fake = Fake::start([]);
    let source = || async { Err::<Token, _>("the issuer is gone") };
    let client = Client::builder().server(fake.address.to_string()).token_source(source).build().unwrap();
    let error = client.get("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("the issuer is gone"), "{error}");
    assert!(fake.seen().is_empty());
}
