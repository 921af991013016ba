//! Creates, reads, rotates and lists a secret. The address and the API key come from STRONGROOM_SERVER and STRONGROOM_API_KEY:
//!
//! ```text
//! cargo run --example quickstart
//! ```

#![allow(clippy::print_stdout)] // a program for a terminal

use strongroom_client::{Client, ErrorKind, Generator};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::from_environment().await?.in_namespace("quickstart-rust");

    let password = Generator::password(32);
    let created = client
        .create("db_password", password.clone())
        .description("the password of the orders database")
        .metadata("team", "orders")
        .await;
    let secret = match created {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            client.rotate("db_password", password).await?
        }
        created => created?,
    };
    // No print of a secret shows its value.
    println!("{secret:?} was made");

    let secret = client.get("db_password").await?;
    let length = secret.value.as_ref().map_or(0, |value| value.as_bytes().len());
    println!("version {} of {} has {length} bytes", secret.version, secret.name);

    let rotated = client.rotate("db_password", "correct horse").await?;
    println!("version {} is the current one now", rotated.version);

    let mut secrets = client.list().name_prefix("db_").stream();
    while let Some(secret) = secrets.next().await {
        println!("{} is in the list", secret?.name);
    }

    match client.get("missing").await {
        Err(error) if error.kind() == ErrorKind::NotFound => println!("there is no such secret: {error}"),
        other => println!("{other:?}"),
    }
    Ok(())
}
