//! The runner of the conformance scenario for this crate: clients/conformance/README.md describes the protocol.

#![allow(missing_docs, clippy::print_stdout, clippy::indexing_slicing)] // a program, whose output is the protocol; an absent member of JSON is null

mod describe;
mod rotation;
mod secrets;
mod sources;

use std::collections::HashMap;
use std::io::{BufRead, Write};

use serde_json::{Value as Json, json};
use strongroom_client::{Cache, Client, ConnectError, Error, Events};

use crate::describe::failure;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let mut runner = Runner::default();
    for line in std::io::stdin().lock().lines() {
        let step: Json = serde_json::from_str(&line?)?;
        let mut reply =
            match runtime.block_on(runner.perform(Arguments(&step["args"]), text(&step["action"]))) {
                Ok(done) => json!({"ok": done.ok, "dump": done.dump}),
                Err(Failed::Call(error)) => {
                    json!({"error": failure(&error), "dump": format!("{error:?} {error:#?} {error}")})
                }
                Err(Failed::Settings(error)) => json!({
                    "error": {"class": "configuration", "message": error.to_string()},
                    "dump": format!("{error:?} {error:#?} {error}"),
                }),
                Err(Failed::Unsupported(what)) => json!({"error": {"class": "unsupported", "message": what}}),
            };
        reply["step"] = step["step"].clone();
        let mut output = std::io::stdout().lock();
        writeln!(output, "{reply}")?;
        output.flush()?;
    }
    Ok(())
}

/// What the steps have made.
#[derive(Default)]
struct Runner {
    clients: HashMap<String, Client>,
    watches: HashMap<String, Events>,
    caches: HashMap<String, Cache>,
}

/// A call that succeeded: its reply for the driver, and how the crate prints its result.
struct Done {
    ok: Json,
    dump: String,
}

impl Done {
    fn new(ok: Json, shown: &impl std::fmt::Debug) -> Self {
        Self { ok, dump: format!("{shown:?} {shown:#?}") }
    }
}

enum Failed {
    Call(Error),
    Settings(ConnectError),
    Unsupported(String),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

impl From<ConnectError> for Failed {
    fn from(error: ConnectError) -> Self {
        Self::Settings(error)
    }
}

fn text(json: &Json) -> &str {
    json.as_str().unwrap_or_default()
}

/// The arguments of an action.
#[derive(Clone, Copy)]
struct Arguments<'a>(&'a Json);

impl<'a> Arguments<'a> {
    /// A text; empty where it is absent.
    fn text(self, name: &str) -> &'a str {
        text(&self.0[name])
    }

    fn optional(self, name: &str) -> Option<&'a str> {
        self.0[name].as_str()
    }

    fn number(self, name: &str) -> Option<u32> {
        self.0[name].as_u64().and_then(|number| number.try_into().ok())
    }

    fn seconds(self, name: &str) -> Option<std::time::Duration> {
        self.0[name].as_f64().map(std::time::Duration::from_secs_f64)
    }

    fn is_set(self, name: &str) -> bool {
        self.0[name].as_bool().unwrap_or_default()
    }

    fn texts(self, name: &str) -> Vec<&'a str> {
        self.0[name].as_array().into_iter().flatten().filter_map(Json::as_str).collect()
    }

    /// The pairs of an object of texts.
    fn pairs(self, name: &str) -> Vec<(&'a str, &'a str)> {
        let object = self.0[name].as_object().into_iter().flatten();
        object.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?))).collect()
    }
}
