//! `strongroom binding add` gives a principal the rights of a role, or denies them.

use std::time::Duration;

use prost_types::Timestamp;
use strongroom_client::v1::{self, Effect};

use super::{binding_fields, binding_json, flag};
use crate::cli::confirm::Caution;
use crate::cli::connect::Connection;
use crate::cli::dry_run::{self, Bindings};
use crate::cli::failure::Failure;
use crate::cli::moment;
use crate::cli::output::Output;
use crate::domain::now;

/// The arguments of `strongroom binding add`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom binding add --principal key:abcdefghijklmnop --role reader --on team/ci
  strongroom binding add --principal group:corp:ops --role editor --on 'team/**' --expires-in 90d
  strongroom binding add --principal group:corp:ops --role reader --on team/ci --name 'db_*' --deny")]
pub(in crate::cli) struct Add {
    /// Who gets the rights: key:ID, cert:SAN, jwt:ISSUER:SUBJECT or group:ISSUER:NAME
    #[arg(long)]
    principal: String,

    /// The role, such as viewer, reader, writer, rotator, editor, auditor, access_admin, operator or admin
    #[arg(long)]
    role: String,

    /// The namespaces: one (team/ci), one and everything below it ('team/**'), or all ('**')
    #[arg(long, value_name = "NAMESPACES")]
    on: String,

    /// The names of secrets; each * stands for any characters [default: all names]
    #[arg(long, value_name = "PATTERN")]
    name: Option<String>,

    /// Deny the rights, whatever other bindings give
    #[arg(long)]
    deny: bool,

    /// The time after which the binding does not count any more, such as 90d or 12h [default: never]
    #[arg(long, value_name = "TIME", value_parser = crate::config::parse_duration, allow_hyphen_values = true, conflicts_with = "expires_at")]
    expires_in: Option<Duration>,

    /// The moment from which on the binding does not count any more: 2027-01-31T12:00:00Z, or 2027-01-31 for midnight in UTC
    /// [default: never]
    #[arg(long, value_name = "MOMENT", value_parser = moment::date_or_time, allow_hyphen_values = true)]
    expires_at: Option<Timestamp>,

    /// What the binding is for
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    description: String,

    #[command(flatten)]
    caution: Caution,
}

impl Add {
    pub(in crate::cli) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let effect = if self.deny { Effect::Deny } else { Effect::Allow };
        let expires_at = self.expires_in.map(in_future).or(self.expires_at);
        let message = v1::CreateBindingRequest {
            principal: self.principal,
            role: self.role,
            namespace_pattern: self.on,
            name_pattern: self.name.unwrap_or_default(),
            effect: effect.into(),
            expires_at,
            description: self.description,
            request_id: String::new(),
        };
        let verb = if self.deny { "deny" } else { "give" };
        let change = format!(
            "{verb} {} the role '{}' on the names '{}' of the namespaces '{}'",
            message.principal,
            message.role,
            if message.name_pattern.is_empty() { "*" } else { &message.name_pattern },
            message.namespace_pattern,
        );
        if self.caution.dry_run {
            let bindings = Bindings::read(&connection.client().await?.access()).await?;
            bindings.role(&message.role)?;
            let lost = if self.deny { bindings.denied_by(&planned(&message)) } else { Vec::new() };
            return dry_run::print(output, &change, &lost);
        }
        if self.deny {
            self.caution.agreed(connection, &change)?;
        }
        let access = connection.client().await?.access();
        let refused = |error| Failure::from(error).with_fields(flag);
        let binding = access.create_binding(message).await.map_err(refused)?.binding.unwrap_or_default();
        output.print(&binding_fields(&binding), &binding_json(&binding))
    }
}

/// The binding that a request would make.
fn planned(message: &v1::CreateBindingRequest) -> v1::Binding {
    v1::Binding {
        principal: message.principal.clone(),
        role: message.role.clone(),
        namespace_pattern: message.namespace_pattern.clone(),
        name_pattern: message.name_pattern.clone(),
        effect: message.effect,
        ..v1::Binding::default()
    }
}

/// The moment after this time.
fn in_future(time: Duration) -> Timestamp {
    let micros = now().plus(time).as_micros();
    Timestamp {
        seconds: micros.div_euclid(1_000_000),
        nanos: i32::try_from(micros.rem_euclid(1_000_000)).unwrap_or_default().saturating_mul(1000),
    }
}
