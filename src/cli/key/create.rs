//! `strongroom key create` creates an API key.

use std::time::Duration;

use strongroom_client::{Access, v1};
use zeroize::Zeroizing;

use super::destination::{Destination, Given, Undelivered};
use crate::cli::binding;
use crate::cli::connect::Connection;
use crate::cli::failure::{Failure, note};
use crate::cli::object::Object;
use crate::cli::output::Output;

/// The role that stands for no binding.
const NO_ROLE: &str = "none";
/// The pattern of a binding on all names.
const EVERY_NAME: &str = "*";
/// The role of a key without --role.
const DEFAULT_ROLE: &str = "editor";

/// The arguments of `strongroom key create`.
#[derive(clap::Args)]
#[command(
    after_help = "NAMESPACE/NAME: the last segment is read as a name, or a pattern of names, if it has an \
underscore, an upper-case letter or a *. 'strongroom binding add' gives further rights.

Examples:
  strongroom key create billing --home billing --ttl 90d --out billing.key
  strongroom key create ci --role reader --on team/ci --out ci.key
  strongroom key create ci --role reader --on 'team/ci/db_*' --out ci.key"
)]
pub(in crate::cli) struct Create {
    /// A name for the key, for people
    name: String,

    /// The role that the key gets: viewer, reader, writer, rotator, editor, access_admin, a role that you made, or none
    /// [default: editor]
    #[arg(long)]
    role: Option<String>,

    /// The secrets that the key gets the role on [default: all secrets of the home namespace]
    #[arg(long, value_name = "NAMESPACE[/NAME]", value_parser = Object::parse_scope)]
    on: Option<Object>,

    /// The home namespace: the one that the key means when it names none [default: that of --on or --namespace, or else
    /// your own]
    #[arg(long, value_name = "NAMESPACE")]
    home: Option<String>,

    /// The time after which the key stops working, such as 90d or 12h [default: never]
    #[arg(long, value_name = "TIME", value_parser = crate::config::parse_duration, allow_hyphen_values = true)]
    ttl: Option<Duration>,

    #[command(flatten)]
    destination: Destination,
}

impl Create {
    pub(in crate::cli) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let ttl = self.ttl.map(prost_types::Duration::try_from).transpose();
        let ttl = ttl.map_err(|_| Failure::usage("--ttl is too long"))?;
        let role = self.role.unwrap_or_else(|| DEFAULT_ROLE.to_owned());
        if role == NO_ROLE && self.on.is_some() {
            return Err(Failure::usage("--role none gives no rights: leave --on out"));
        }
        let destination = self.destination.prepare()?;
        let client = connection.client().await?;
        let home = self.home.or_else(|| self.on.as_ref().and_then(home_of));
        let home_namespace = home.unwrap_or_else(|| client.namespace().to_owned());
        // The service binds the role to the whole home. Anything else is a binding of its own.
        let apart = self.on.filter(|on| on.namespace != home_namespace || !on.name.is_empty());
        let message = v1::CreateApiKeyRequest {
            name: self.name,
            home_namespace,
            ttl,
            expires_at: None,
            role: if apart.is_some() { NO_ROLE.to_owned() } else { role.clone() },
        };
        let access = client.access();
        let reply = access.create_api_key(message).await?;
        let credential = Zeroizing::new(reply.credential);
        let key = reply.api_key.unwrap_or_default();
        let given = match apart {
            Some(on) => Some(bind(&access, &key, role, on).await?),
            None if role == NO_ROLE => None,
            None => {
                Some(Given { role, namespaces: key.home_namespace.clone(), names: EVERY_NAME.to_owned() })
            }
        };
        match destination.deliver(output, &key, given.as_slice(), &credential) {
            Err(Undelivered::Lost(failure, id)) => match access.revoke_api_key(id.clone()).await {
                Ok(_) => Err(failure.with_more(&format!("The key {id} was revoked"))),
                Err(_) => Err(Undelivered::Lost(failure, id).into()),
            },
            delivered => Ok(delivered?),
        }
    }
}

/// The home of a key that has its rights on this object. None: the object is about every namespace.
fn home_of(on: &Object) -> Option<String> {
    let namespace = on.namespace.strip_suffix("/**").unwrap_or(&on.namespace);
    (namespace != "**").then(|| namespace.to_owned())
}

/// Gives a new key its role. If that fails, the key is revoked, so that no key without a use is left.
async fn bind(access: &Access, key: &v1::ApiKey, role: String, on: Object) -> Result<Given, Failure> {
    let message = v1::CreateBindingRequest {
        principal: format!("key:{}", key.id),
        role,
        namespace_pattern: on.namespace,
        name_pattern: on.name,
        ..v1::CreateBindingRequest::default()
    };
    let error = match access.create_binding(message).await {
        Ok(reply) => return Ok(reply.binding.unwrap_or_default().into()),
        Err(error) => error,
    };
    if access.revoke_api_key(key.id.clone()).await.is_err() {
        note(&format!("the key {} was made, has no rights, and could not be revoked: revoke it", key.id));
    }
    let flag =
        |field: &str| if field == "name_pattern" { Some("--on".to_owned()) } else { binding::flag(field) };
    Err(Failure::from(error).with_fields(flag))
}
