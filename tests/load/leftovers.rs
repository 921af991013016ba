//! A load works in a namespace that was empty, and removes from it what it made and nothing else.

use strongroom_client::{ApiKey, Client};

use crate::messages::Messages;
use crate::namespace::Namespace;
use crate::tools::{Server, Start};

async fn names(client: &Client, namespace: &str) -> Vec<String> {
    let mut secrets = client.in_namespace(namespace).list().stream();
    let mut names = Vec::new();
    while let Some(secret) = secrets.next().await {
        names.push(secret.expect("a list").name);
    }
    names
}

#[tokio::test]
async fn a_load_leaves_nothing_behind_and_takes_nothing_of_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let start = Start { folder: folder.path(), store: "memory", config: "", tls: None, processor: None };
    let server = Server::start(&start);
    let address = format!("http://{}", server.process.address);
    let key = ApiKey::parse(&server.key).expect("a key");
    let client = Client::builder().server(address).api_key(key).build().expect("a client");
    let namespace = Namespace::new(&client, "load");
    let messages =
        Messages { key: server.key.clone(), namespace: "load".into(), secrets: 150, value_size: 16 };
    namespace.expect_empty().await.expect("nothing is there");
    namespace.fill(&messages).await.expect("the secrets are made");
    assert_eq!(names(&client, "load").await.len(), 150);

    let refused = namespace.expect_empty().await.expect_err("a second load");
    assert!(refused.to_string().contains("the namespace load holds secrets already"), "{refused}");

    client.in_namespace("load").create("of_another", "value").await.expect("the secret is created");
    assert_eq!(namespace.remove().await.expect("the secrets are removed"), 150);
    assert_eq!(names(&client, "load").await, ["of_another"]);
    namespace.expect_empty().await.expect_err("a secret of another");
}
