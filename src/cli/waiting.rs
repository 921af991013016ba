//! A note on standard error while a command waits for a service that does not answer, or cannot: so that nobody has to guess.
//!
//! After some seconds the service is asked whether it serves. If it does, nothing is said: the command has more to do.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use strongroom_client::Code;
use tokio::time::{MissedTickBehavior, interval};

use super::connect::Connection;
use super::failure::{Failure, note};
use super::output::printable;
use super::status;

/// How long a command waits before it looks for the cause.
const PATIENCE: Duration = Duration::from_millis(2500);
/// The waiting is counted in steps. A question to the user blocks the whole thread, and so counts as one step.
const STEP: Duration = Duration::from_millis(250);
/// How long the service may take to say whether it serves.
const ANSWER: Duration = Duration::from_secs(1);

/// Does this, and says meanwhile, once, what it waits for.
pub(super) async fn told<T>(
    connection: &Connection,
    done: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        biased;
        done = done => done,
        never = tell(connection) => match never {},
    }
}

async fn tell(connection: &Connection) -> Infallible {
    // Standard input can be read once.
    if connection.reads_input() {
        return pending().await;
    }
    loop {
        patience().await;
        if let Some(why) = why(connection).await {
            let server = connection.settings().map(|settings| settings.address().to_string());
            let server = server.unwrap_or_else(|_| "the service".to_owned());
            note(&format!("waiting for {server}: {}", printable(&why)));
            return pending().await;
        }
    }
}

async fn patience() {
    let mut steps = interval(STEP);
    steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    steps.tick().await; // at once
    for _ in 0..PATIENCE.as_millis() / STEP.as_millis() {
        steps.tick().await;
    }
}

/// Why the service does not answer; `None` if it serves.
async fn why(connection: &Connection) -> Option<String> {
    let client = match connection.quick_client(ANSWER).await {
        Ok(client) => client,
        Err(failure) => return Some(failure.brief()),
    };
    match client.is_serving().await {
        Ok(true) => return None,
        Ok(false) => {}
        Err(_) => return Some("it does not answer".to_owned()),
    }
    let reason = match client.operator().status().await {
        Ok(reply) => reply.unready_causes.iter().map(status::cause).collect::<Vec<_>>().join("; "),
        Err(refused) if matches!(refused.code(), Code::Unauthenticated | Code::PermissionDenied) => {
            String::new()
        }
        Err(refused) if refused.is_of_the_connection() => String::new(),
        Err(refused) => refused.message().to_owned(),
    };
    Some(match reason.as_str() {
        "" => "it does not serve requests now".to_owned(),
        reason => format!("it does not serve requests now. {reason}"),
    })
}
