//! `strongroom context` lists, chooses and removes contexts.

use clap::Subcommand;
use serde_json::json;

use super::connect::Connection;
use super::contexts::{self, Context as Entry, Contexts};
use super::failure::Failure;
use super::logout::Logout;
use super::output::Output;

/// The beginning of the long help.
pub(super) const ABOUT: &str = "\
List, choose and remove contexts\n\n\
A context has the address of a service, a credential, and a namespace: 'strongroom login' writes it. Commands use the current \
context, or the one that --context or STRONGROOM_CONTEXT names.";

/// The commands below `strongroom context`.
#[derive(Subcommand)]
pub(super) enum Context {
    /// List the contexts, without their keys
    #[command(after_help = "Example:\n  strongroom context list -o table", visible_alias = "ls")]
    List,
    /// Choose the context that commands use
    Use(Use),
    /// Remove a context with its API key
    #[command(visible_alias = "rm")]
    Remove(Logout),
}

/// The arguments of `strongroom context use`.
#[derive(clap::Args)]
#[command(after_help = "Example:
  strongroom context use staging")]
pub(super) struct Use {
    /// The name of the context
    #[arg(value_name = "CONTEXT")]
    name: String,
}

impl Context {
    pub(super) fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        match self {
            Self::List => list(output),
            Self::Use(command) => command.run(connection, output),
            Self::Remove(command) => command.run(connection, output),
        }
    }
}

fn list(output: Output) -> Result<(), Failure> {
    let all = Contexts::read()?;
    let current = |name: &String| all.current.as_ref() == Some(name);
    let credential = |entry: &Entry| match (&entry.api_key, &entry.api_key_file, &entry.client_cert) {
        (Some(_), _, _) => "an API key".to_owned(),
        (None, Some(file), _) => file.display().to_string(),
        (None, None, Some(file)) => file.display().to_string(),
        (None, None, None) => "none".to_owned(),
    };
    let row = |(name, entry): (&String, &Entry)| {
        let mark = if current(name) { "*" } else { "" };
        let namespace = entry.namespace.clone().unwrap_or_default();
        vec![mark.to_owned(), name.clone(), entry.server.clone(), namespace, credential(entry)]
    };
    let item = |(name, entry): (&String, &Entry)| {
        json!({
            "name": name,
            "current": current(name),
            "server": entry.server,
            "namespace": entry.namespace,
            "credential": credential(entry),
        })
    };
    let json = json!({ "items": all.contexts.iter().map(item).collect::<Vec<_>>() });
    let header = ["", "name", "server", "namespace", "credential"];
    output.print_all(&header, all.contexts.iter().map(row).collect(), &json)
}

impl Use {
    fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        connection.context_or(Some(self.name.clone()))?;
        let mut server = String::new();
        Contexts::change(|all| {
            let entry =
                all.contexts.get(&self.name).ok_or_else(|| contexts::unknown(&self.name, &all.contexts))?;
            server.clone_from(&entry.server);
            all.current = Some(self.name.clone());
            Ok(())
        })?;
        let fields = [("context", self.name.clone()), ("server", server.clone())];
        output.print(&fields, &json!({ "context": self.name, "server": server }))
    }
}
