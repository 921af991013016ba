//! Keeps a secret in memory, and notices when it is rotated. The address and the API key come from STRONGROOM_SERVER and
//! STRONGROOM_API_KEY:
//!
//! ```text
//! cargo run --example cache
//! ```

#![allow(clippy::print_stdout)] // a program for a terminal

use strongroom_client::{CachePolicy, Client, ErrorKind, SecretEventType, WatchEvent};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::from_environment().await?.in_namespace("cache-rust");
    match client.create("api_token", "first").await {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        created => drop(created?),
    }

    // The first read asks the service. The cache follows the changes from then on.
    let cache = client.cached(CachePolicy::default());
    let version = cache.get("api_token").await?.version;
    println!("version {version} is in memory");

    // Another part of the program waits for the rotation. A snapshot comes first, so that nothing is missed.
    let mut events = client.watch().name_prefix("api_token").snapshot().events();
    while let Some(event) = events.next().await {
        match event? {
            WatchEvent::Synced { .. } => drop(client.rotate("api_token", "next").await?),
            WatchEvent::Change(event) if event.kind == SecretEventType::Rotated => break,
            _ => {}
        }
    }

    // The cache asks for the new version by itself.
    let secret = loop {
        let secret = cache.get("api_token").await?;
        if secret.version > version {
            break secret;
        }
        tokio::task::yield_now().await;
    };
    match secret.stale_for() {
        None => println!("version {} is in memory", secret.version),
        Some(lost) => println!("version {} was the last one, {lost:?} ago", secret.version),
    }
    Ok(())
}
