use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use serde_json::json;

use super::connect::Connection;
use super::failure::Failure;
use super::input::{self, ValueArgs};
use super::output::{self, Output, secret_fields, secret_json};
use crate::api::v1;
use crate::api::v1::secret_value::Kind;

/// `strongroom create`
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom create stripe_api_key --description 'Stripe, payments' --metadata env=production
  strongroom create db_password --generate password:40
  printf %s \"$TOKEN\" | strongroom create github_token --value-file -")]
pub(super) struct Create {
    /// The name: letters, digits and underscores, not beginning with a digit
    name: String,

    #[command(flatten)]
    value: ValueArgs,

    /// What the secret is for
    #[arg(long, default_value = "", hide_default_value = true)]
    description: String,

    /// A pair to attach; may be given many times
    #[arg(long, value_name = "KEY=VALUE", value_parser = input::pair)]
    metadata: Vec<(String, String)>,
}

impl Create {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let message = v1::CreateSecretRequest {
            namespace: connection.namespace(),
            name: self.name,
            value: self.value.value()?,
            generate: self.value.generate,
            return_value: self.value.show,
            description: self.description,
            metadata: self.metadata.into_iter().collect(),
            ..v1::CreateSecretRequest::default()
        };
        let reply = connection.secrets().await?.create_secret(message).await?.into_inner();
        print_secret(output, reply.secret)
    }
}

/// `strongroom get`
#[derive(clap::Args)]
pub(super) struct Get {
    /// The secret's name
    name: String,

    /// The number of the version to show [default: the current one]
    #[arg(long, value_name = "N")]
    version: Option<u32>,

    /// Print the value alone, byte for byte
    #[arg(long)]
    value_only: bool,
}

impl Get {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let message = v1::GetSecretRequest {
            namespace: connection.namespace(),
            name: self.name,
            version: self.version,
            ..v1::GetSecretRequest::default()
        };
        let reply = connection.secrets().await?.get_secret(message).await?.into_inner();
        if !self.value_only {
            let secret = reply.secret.ok_or_else(no_secret)?;
            let (mut fields, mut json) = (secret_fields(&secret), secret_json(&secret));
            // Beside the current version's number stands that of the value shown.
            if reply.version != secret.version {
                fields.insert(2, ("value of", format!("version {}", reply.version)));
            }
            if let Some(object) = json.as_object_mut() {
                object.insert("value_version".to_owned(), json!(reply.version));
            }
            return output.print(&fields, &json);
        }
        let mut value = match reply.secret.and_then(|secret| secret.value).and_then(|value| value.kind) {
            Some(Kind::Text(text)) => text.into_bytes(),
            Some(Kind::Binary(bytes)) => bytes,
            Some(Kind::Redacted(_)) | None => return Err(Failure::local("the service sent no value")),
        };
        // On a terminal the prompt should not stick to it; elsewhere not a byte is added.
        if std::io::stdout().is_terminal() {
            value.push(b'\n');
        }
        output::write(&value)
    }
}

/// `strongroom list`
#[derive(clap::Args)]
pub(super) struct List {
    /// Show at most so many, up to 1,000 [default: all]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    limit: Option<i32>,

    /// Skip so many from the start
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    offset: Option<i32>,

    /// Begin where the page before ended: its next_page_token
    #[arg(long, value_name = "TOKEN", conflicts_with = "offset")]
    page_token: Option<String>,

    /// Show only secrets with this pair of metadata; given many times, with all of them
    #[arg(long, value_name = "KEY=VALUE", value_parser = input::pair)]
    metadata: Vec<(String, String)>,

    /// Show only secrets whose names begin so
    #[arg(long, default_value = "", value_name = "PREFIX", hide_default_value = true)]
    prefix: String,

    /// The order: name, created_at or updated_at, with ' desc' behind it for the reverse
    #[arg(long, default_value = "name", value_name = "ORDER")]
    order_by: String,
}

impl List {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let one_page = self.limit.is_some() || self.page_token.is_some();
        let mut message = v1::ListSecretsRequest {
            namespace: connection.namespace(),
            limit: self.limit.or((!one_page).then_some(1000)),
            offset: self.offset,
            page_token: self.page_token.unwrap_or_default(),
            metadata: self.metadata.into_iter().collect(),
            name_prefix: self.prefix,
            order_by: self.order_by,
            ..v1::ListSecretsRequest::default()
        };
        let mut secrets = connection.secrets().await?;
        let mut items = Vec::new();
        let last = loop {
            let mut page = secrets.list_secrets(message.clone()).await?.into_inner();
            items.append(&mut page.items);
            if one_page || page.next_page_token.is_empty() {
                break page;
            }
            message.offset = None;
            message.page_token = page.next_page_token;
        };
        print_secrets(output, &items, &last)
    }
}

/// `strongroom update`
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom update stripe_api_key --description 'Stripe, all payments'
  strongroom update stripe_api_key --metadata env=production --metadata owner=payments
  strongroom update stripe_api_key --value-file new_key.txt")]
pub(super) struct Update {
    /// The secret's name
    name: String,

    /// Another name for it
    #[arg(long, value_name = "NAME")]
    new_name: Option<String>,

    /// Read a new value from FILE, byte for byte; - is standard input
    #[arg(long, value_name = "FILE")]
    value_file: Option<PathBuf>,

    /// Another description; empty clears it
    #[arg(long)]
    description: Option<String>,

    /// A pair of the new metadata, which replaces all that is there; may be given many times
    #[arg(long, value_name = "KEY=VALUE", value_parser = input::pair)]
    metadata: Vec<(String, String)>,

    /// Remove all metadata
    #[arg(long, conflicts_with = "metadata")]
    clear_metadata: bool,

    /// Change it only if this is still its etag
    #[arg(long, default_value = "", hide_default_value = true)]
    etag: String,
}

impl Update {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let cleared = self.clear_metadata.then(|| prost_types::FieldMask { paths: vec!["metadata".into()] });
        let message = v1::UpdateSecretRequest {
            namespace: connection.namespace(),
            name: self.name,
            new_name: self.new_name,
            value: self.value_file.as_ref().map(input::from_file).transpose()?,
            description: self.description,
            metadata: self.metadata.into_iter().collect(),
            update_mask: cleared,
            etag: self.etag,
            ..v1::UpdateSecretRequest::default()
        };
        let reply = connection.secrets().await?.update_secret(message).await?.into_inner();
        print_secret(output, reply.secret)
    }
}

/// `strongroom rename`
#[derive(clap::Args)]
pub(super) struct Rename {
    /// The secret's present name
    name: String,

    /// Its new name
    new_name: String,
}

impl Rename {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let message = v1::UpdateSecretRequest {
            namespace: connection.namespace(),
            name: self.name,
            new_name: Some(self.new_name),
            ..v1::UpdateSecretRequest::default()
        };
        let reply = connection.secrets().await?.update_secret(message).await?.into_inner();
        print_secret(output, reply.secret)
    }
}

/// `strongroom delete`
#[derive(clap::Args)]
pub(super) struct Delete {
    /// The secret's name
    name: String,

    /// Delete it only if this is still its etag
    #[arg(long, default_value = "", hide_default_value = true)]
    etag: String,
}

impl Delete {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let message = v1::DeleteSecretRequest {
            namespace: connection.namespace(),
            name: self.name.clone(),
            etag: self.etag,
            ..v1::DeleteSecretRequest::default()
        };
        let reply = connection.secrets().await?.delete_secret(message).await?.into_inner();
        let deleted_at = output::time(reply.deleted_at.as_ref());
        let json = json!({
            "id": reply.id,
            "deleted_at": deleted_at,
            "purge_at": output::time(reply.purge_at.as_ref()),
            "revision": reply.revision,
        });
        output.print(&[("deleted", self.name), ("at", deleted_at), ("id", reply.id)], &json)
    }
}

/// `strongroom rotate`
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom rotate db_password --generate password:40
  printf %s \"$TOKEN\" | strongroom rotate github_token --value-file -")]
pub(super) struct Rotate {
    /// The secret's name
    name: String,

    #[command(flatten)]
    value: ValueArgs,

    /// Rotate it only if this is still its etag
    #[arg(long, default_value = "", hide_default_value = true)]
    etag: String,
}

impl Rotate {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let message = v1::RotateSecretRequest {
            namespace: connection.namespace(),
            name: self.name,
            value: self.value.value()?,
            generate: self.value.generate,
            return_value: self.value.show,
            etag: self.etag,
            ..v1::RotateSecretRequest::default()
        };
        let reply = connection.secrets().await?.rotate_secret(message).await?.into_inner();
        print_secret(output, reply.secret)
    }
}

/// What is to be said of a list that some secrets are not in.
fn missing(damaged: i32) -> Option<String> {
    let (are, their) = match damaged {
        ..=0 => return None,
        1 => ("1 secret of this namespace is", "its record was"),
        _ => (&*format!("{damaged} secrets of this namespace are"), "their records were"),
    };
    Some(format!("{are} not listed, since {their} altered or damaged: restore a backup"))
}

/// All secrets whose names begin so, without their values, ordered by name; and what is to be said where that is not known
/// to be all of them.
pub(super) async fn all(
    connection: &Connection,
    prefix: &str,
) -> Result<(Vec<v1::Secret>, Option<String>), Failure> {
    let mut message = v1::ListSecretsRequest {
        namespace: connection.namespace(),
        limit: Some(1000),
        name_prefix: prefix.to_owned(),
        ..v1::ListSecretsRequest::default()
    };
    let mut secrets = connection.secrets().await?;
    let mut items = Vec::new();
    loop {
        let mut page = secrets.list_secrets(message.clone()).await?.into_inner();
        items.append(&mut page.items);
        if page.next_page_token.is_empty() {
            return Ok((items, missing(page.damaged_size)));
        }
        message.page_token = page.next_page_token;
    }
}

fn print_secret(output: Output, secret: Option<v1::Secret>) -> Result<(), Failure> {
    let secret = secret.ok_or_else(no_secret)?;
    output.print(&secret_fields(&secret), &secret_json(&secret))
}

fn no_secret() -> Failure {
    Failure::local("the service sent no secret")
}

fn print_secrets(
    output: Output,
    items: &[v1::Secret],
    last: &v1::ListSecretsResponse,
) -> Result<(), Failure> {
    let json = json!({
        "items": items.iter().map(secret_json).collect::<Vec<_>>(),
        "next_page_token": last.next_page_token,
        "total_size": last.total_size,
        "revision": last.revision,
        "damaged_size": last.damaged_size,
    });
    let row = |secret: &v1::Secret| {
        let updated = output::time_in_brief(secret.updated_at.as_ref());
        let version = secret.version.to_string();
        vec![secret.name.clone(), version, updated, secret.description.clone(), output::pairs(secret)]
    };
    let rows = items.iter().map(row).collect();
    output.print_all(&["name", "version", "updated", "description", "metadata"], rows, &json)?;
    if output == Output::Table && !items.is_empty() {
        let more = if last.next_page_token.is_empty() { "" } else { "; more with --page-token or --offset" };
        output::write(format!("\n{} of {}{more}\n", items.len(), last.total_size).as_bytes())?;
    }
    if let Some(missing) = missing(last.damaged_size) {
        let _ = writeln!(std::io::stderr(), "warning: {missing}");
    }
    Ok(())
}
