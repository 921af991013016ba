use std::io::{BufRead, IsTerminal, Write};

use serde_json::{Value as Json, json};

use super::connect::Connection;
use super::failure::Failure;
use super::output::{self, Output, secret_json};
use super::receipt::{receipt_fields, receipt_json};
use crate::api::v1;

/// `strongroom versions`
#[derive(clap::Args)]
pub(super) struct Versions {
    /// The secret's name
    name: String,
}

impl Versions {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let message = v1::ListSecretVersionsRequest {
            namespace: connection.namespace(),
            name: self.name,
            ..v1::ListSecretVersionsRequest::default()
        };
        let reply = connection.secrets().await?.list_secret_versions(message).await?.into_inner();
        let json = json!({
            "versions": reply.versions.iter().map(version_json).collect::<Vec<_>>(),
            "revision": reply.revision,
        });
        let row = |version: &v1::SecretVersion| {
            let current = if version.current { "current" } else { "" };
            vec![
                version.number.to_string(),
                state_name(version.state()),
                output::time_in_brief(version.created_at.as_ref()),
                output::time_in_brief(version.state_changed_at.as_ref()),
                current.to_owned(),
            ]
        };
        let rows = reply.versions.iter().map(row).collect();
        output.print_all(&["version", "state", "created", "state changed", ""], rows, &json)
    }
}

/// Which version of which secret.
#[derive(clap::Args)]
pub(super) struct Which {
    /// The secret's name
    name: String,

    /// The number of the version
    #[arg(value_name = "N")]
    version: u32,

    /// Change it only if this is still the secret's etag
    #[arg(long, default_value = "", hide_default_value = true)]
    etag: String,
}

/// `strongroom disable`
#[derive(clap::Args)]
pub(super) struct Disable {
    #[command(flatten)]
    which: Which,
}

impl Disable {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let Which { name, version, etag } = self.which;
        let namespace = connection.namespace();
        let message = v1::DisableVersionRequest { namespace, name, version, etag, request_id: String::new() };
        let reply = connection.secrets().await?.disable_version(message).await?.into_inner();
        print_changed(output, reply.version, reply.secret, reply.revision)
    }
}

/// `strongroom enable`
#[derive(clap::Args)]
pub(super) struct Enable {
    #[command(flatten)]
    which: Which,
}

impl Enable {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let Which { name, version, etag } = self.which;
        let namespace = connection.namespace();
        let message = v1::EnableVersionRequest { namespace, name, version, etag, request_id: String::new() };
        let reply = connection.secrets().await?.enable_version(message).await?.into_inner();
        print_changed(output, reply.version, reply.secret, reply.revision)
    }
}

/// What the long help of `destroy` begins with.
pub(super) const ABOUT_DESTROY: &str = "\
Destroy a version of a secret, for good\n\n\
The version's value and the key that it was sealed with are removed; the secret, its other versions and what is known of \
this one stay. What is printed is the service's signed receipt of it: keep it (-o json) where someone has to be shown that \
the version is gone, and see 'strongroom receipt verify'. Backups, and copies of the data from before, still have the \
version.";

/// `strongroom destroy`
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom destroy db_password 3
  strongroom -o json destroy db_password 3 --yes > db_password-3.receipt.json")]
pub(super) struct Destroy {
    #[command(flatten)]
    which: Which,

    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

impl Destroy {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let Which { name, version, etag } = self.which;
        if !self.yes && !agreed(&name, version, connection)? {
            return Err(Failure::local("nothing was destroyed"));
        }
        let namespace = connection.namespace();
        let message = v1::DestroyVersionRequest { namespace, name, version, etag, request_id: String::new() };
        let reply = connection.secrets().await?.destroy_version(message).await?.into_inner();
        let no_receipt = || Failure::local("the service sent no receipt");
        let receipt = reply.receipt.ok_or_else(no_receipt)?;
        let json = json!({
            "version": reply.version.as_ref().map(version_json),
            "secret": reply.secret.as_ref().map(secret_json),
            "receipt": receipt_json(&receipt),
            "revision": reply.revision,
        });
        output.print(&receipt_fields(&receipt), &json)
    }
}

/// Asks whether the version may be destroyed.
fn agreed(name: &str, version: u32, connection: &Connection) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage("this destroys a version for good: say --yes where nobody can be asked"));
    }
    let failed = |error| Failure::local(format!("you can not be asked: {error}"));
    let (name, server) = (output::printable(name), connection.server());
    let mut stderr = std::io::stderr().lock();
    write!(stderr, "Destroy version {version} of '{name}' in {server}, for good? [y/N] ")
        .and_then(|()| stderr.flush())
        .map_err(failed)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(failed)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn print_changed(
    output: Output,
    version: Option<v1::SecretVersion>,
    secret: Option<v1::Secret>,
    revision: u64,
) -> Result<(), Failure> {
    let (version, secret) =
        version.zip(secret).ok_or_else(|| Failure::local("the service sent no version"))?;
    let json = json!({
        "version": version_json(&version),
        "secret": secret_json(&secret),
        "revision": revision,
    });
    let fields = [
        ("name", secret.name),
        ("namespace", secret.namespace),
        ("version", version.number.to_string()),
        ("state", state_name(version.state())),
        ("created", output::time(version.created_at.as_ref())),
        ("state changed", output::time(version.state_changed_at.as_ref())),
        ("current", if version.current { "yes" } else { "no" }.to_owned()),
        ("etag", secret.etag),
    ];
    output.print(&fields, &json)
}

fn version_json(version: &v1::SecretVersion) -> Json {
    let time = |at: &Option<prost_types::Timestamp>| at.as_ref().map(ToString::to_string);
    json!({
        "number": version.number,
        "state": state_name(version.state()),
        "created_at": time(&version.created_at),
        "state_changed_at": time(&version.state_changed_at),
        "current": version.current,
    })
}

fn state_name(state: v1::VersionState) -> String {
    let name = state.as_str_name();
    name.strip_prefix("VERSION_STATE_").unwrap_or(name).to_ascii_lowercase()
}
