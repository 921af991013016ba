//! `strongroom status` shows the state of the service.

mod quotas;

use std::io::IsTerminal;
use std::time::Duration;

use data_encoding::BASE64;
use serde_json::{Value as Json, json};
use strongroom_client::{Code, Error, v1};

use super::connect::Connection;
use super::failure::Failure;
use super::output::{self, Output};
use crate::config::parse_duration;

/// The arguments of `strongroom status`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  strongroom status
  strongroom status --watch
  strongroom status -o json | jq .rotations

Without an API key that has the right 'operate', only whether the service serves requests is shown. \
The exit code is 69 if it does not.")]
pub(super) struct StatusArguments {
    /// Show the state again and again until Ctrl-C, each time after so long; without TIME, after 2s
    ///
    /// In JSON, each state is one line.
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "2s", value_parser = interval)]
    watch: Option<Duration>,
}

/// How long the service may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Between two looks at the state, at least.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);
/// Moves to the corner of the terminal and clears it.
const CLEAR: &str = "\x1b[H\x1b[2J";

fn interval(text: &str) -> Result<Duration, &'static str> {
    let given = parse_duration(text).map_err(|_| "expected a number and a unit, such as 2s or 1m")?;
    if given < LEAST_INTERVAL { Err("must be at least 1s") } else { Ok(given) }
}

/// The state, as far as the caller may know it.
struct State {
    server: String,
    /// Why requests are not served; `None`: they are.
    refused: Option<String>,
    reply: Option<v1::GetStatusResponse>,
}

impl StatusArguments {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let server = connection.settings()?.address().to_string();
        let Some(interval) = self.watch else {
            let state = State::ask(connection, server).await?;
            output.print(&state.fields(), &state.json())?;
            return match state.refused {
                None => Ok(()),
                Some(_) => {
                    Err(Failure::unreachable("the service does not serve requests now: its log says why"))
                }
            };
        };
        let redraws = output == Output::Table && std::io::stdout().is_terminal();
        loop {
            let text = match State::ask(connection, server.clone()).await {
                Ok(state) => state.text(output),
                // A service that is away can come back.
                Err(failure) => unreachable_text(&failure, output),
            };
            let text = if redraws { format!("{CLEAR}{text}") } else { text };
            if !output::written(text.as_bytes())? {
                return Ok(());
            }
            tokio::time::sleep(interval).await;
        }
    }
}

fn unreachable_text(failure: &Failure, output: Output) -> String {
    match output {
        Output::Json => format!("{}\n", json!({ "serving": false, "error": failure.brief() })),
        Output::Table => format!("serving  no: {}\n", output::printable(&failure.brief())),
    }
}

impl State {
    async fn ask(connection: &Connection, server: String) -> Result<Self, Failure> {
        // The state is asked for once: that a service is away is the answer.
        let client = connection.quick_client(ANSWER).await?;
        let late = |error: Error| match error.code() {
            Code::DeadlineExceeded => {
                Failure::unreachable(format!("{server} does not answer within {} seconds", ANSWER.as_secs()))
            }
            _ => error.into(),
        };
        let serving = client.is_serving().await.map_err(late)?;
        let (reply, why) = match client.operator().status().await {
            Ok(reply) => (Some(reply), None),
            // Everybody may know whether the service serves; the rest needs a right.
            Err(refused) if matches!(refused.code(), Code::Unauthenticated | Code::PermissionDenied) => {
                (None, None)
            }
            // A service that does not serve does not tell its state either.
            Err(refused) if !serving => (None, Some(refused.message().to_owned())),
            Err(refused) => return Err(late(refused)),
        };
        let causes = reply.iter().flat_map(|reply| &reply.unready_causes).map(cause);
        let why: Vec<_> = causes.chain(why).collect();
        let refused = (!serving).then(|| why.join("; "));
        Ok(Self { server, refused, reply })
    }

    fn text(&self, output: Output) -> String {
        match output {
            Output::Json => format!("{}\n", self.json()),
            Output::Table => output::fields(&self.fields()),
        }
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        let serving = match &self.refused {
            None => "yes".to_owned(),
            Some(why) if why.is_empty() => "no".to_owned(),
            Some(why) => format!("no: {why}"),
        };
        let mut fields = vec![("server", self.server.clone()), ("serving", serving)];
        if let Some(reply) = &self.reply {
            fields.extend(service(reply));
            fields.extend(audit_log(reply));
            let limits = reply.limits.iter().filter(|limit| is_in_use(limit)).map(limit_text);
            fields.extend(rows("limits", limits));
            let quotas = reply.quotas.iter().filter(|quota| quotas::is_used(quota)).map(quotas::text);
            fields.extend(rows("quotas", quotas));
        }
        fields
    }

    fn json(&self) -> Json {
        let mut json = json!({ "server": self.server, "serving": self.refused.is_none() });
        if let (Some(why), Some(fields)) = (&self.refused, json.as_object_mut()) {
            fields.insert("refused_because".to_owned(), json!(why));
        }
        if let (Some(reply), Some(fields)) = (&self.reply, json.as_object_mut())
            && let Json::Object(more) = reply_json(reply)
        {
            fields.extend(more);
        }
        json
    }
}

pub(super) fn cause(cause: &v1::UnreadyCause) -> String {
    if cause.detail.is_empty() {
        cause.description.clone()
    } else {
        format!("{} ({})", cause.description, cause.detail)
    }
}

fn service(reply: &v1::GetStatusResponse) -> Vec<(&'static str, String)> {
    let rotations = reply.rotations.unwrap_or_default();
    // A rotation, an expiry, the end of a grace period, or a removal for good.
    let next = output::time_in_brief(reply.next_due_at.as_ref());
    let behind =
        reply.revisions_behind.map_or("; the store does not answer".to_owned(), |behind| match behind {
            0 => String::new(),
            behind => format!(", {behind} behind"),
        });
    vec![
        ("version", reply.server_version.clone()),
        ("up", up(reply)),
        ("store", format!("{}, revision {}{behind}", reply.store, reply.revision)),
        (
            "secrets",
            format!(
                "{} in {}, {} deleted, {} expire within 7 days",
                reply.secrets,
                many(reply.namespaces, "namespace"),
                reply.deleted_secrets,
                reply.expiring_secrets
            ),
        ),
        (
            "rotations",
            format!(
                "{} planned, {} due, {} overdue, {} failing",
                rotations.planned, rotations.due, rotations.overdue, rotations.failing
            ),
        ),
        ("next work", next),
        (
            "access",
            format!(
                "{}, {} not used for 30 days; {}",
                many(reply.api_keys, "API key"),
                reply.unused_api_keys,
                many(reply.bindings, "binding")
            ),
        ),
        ("watches", reply.watches.to_string()),
        ("damaged", reply.damaged_records.to_string()),
        ("signing key", BASE64.encode(&reply.signing_public_key)),
    ]
}

fn audit_log(reply: &v1::GetStatusResponse) -> Vec<(&'static str, String)> {
    let audit = reply.audit_log.clone().unwrap_or_default();
    let writable = if audit.failure.is_empty() { "can be written" } else { "cannot be written" };
    vec![
        ("audit log", format!("{writable}, {}", many(audit.size, "record"))),
        ("log origin", audit.origin),
        ("audit failure", audit.failure),
        ("audit breach", audit.breach),
    ]
}

/// How long the server has run, by its own clock.
fn up(reply: &v1::GetStatusResponse) -> String {
    let started = output::time_in_brief(reply.started_at.as_ref());
    let seconds = match (&reply.server_time, &reply.started_at) {
        (Some(time), Some(start)) => u64::try_from(time.seconds.saturating_sub(start.seconds)).unwrap_or(0),
        _ => return started,
    };
    // Not to the second after a minute, and not to the minute after a day.
    let unit = [24 * 60 * 60, 60, 1].into_iter().find(|unit| seconds >= *unit).unwrap_or(1);
    let unit = if unit == 24 * 60 * 60 { 60 * 60 } else { unit };
    let time = humantime::format_duration(Duration::from_secs(seconds / unit * unit));
    format!("{time}, since {started}")
}

/// A number and its noun.
fn many(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// Several texts under one name.
fn rows(
    name: &'static str,
    texts: impl Iterator<Item = String>,
) -> impl Iterator<Item = (&'static str, String)> {
    texts.enumerate().map(move |(nth, text)| (if nth == 0 { name } else { " " }, text))
}

/// Whether a tenth of a limit is used, or something was refused at it.
fn is_in_use(limit: &v1::LimitUse) -> bool {
    limit.used >= limit.limit.div_ceil(10).max(1) || limit.refused > 0
}

fn limit_text(limit: &v1::LimitUse) -> String {
    format!("{}: {} of {} used, {} refused", limit.name, limit.used, limit.limit, limit.refused)
}

fn reply_json(reply: &v1::GetStatusResponse) -> Json {
    let audit = reply.audit_log.clone().unwrap_or_default();
    let rotations = reply.rotations.unwrap_or_default();
    let causes = reply
        .unready_causes
        .iter()
        .map(|cause| json!({ "name": cause.name, "description": cause.description, "detail": cause.detail }));
    let limits = reply.limits.iter().map(
        |limit| json!({ "name": limit.name, "limit": limit.limit, "used": limit.used, "refused": limit.refused }),
    );
    json!({
        "unready_causes": causes.collect::<Vec<_>>(),
        "server_version": reply.server_version,
        "store": reply.store,
        "revision": reply.revision,
        "revisions_behind": reply.revisions_behind,
        "started_at": output::time(reply.started_at.as_ref()),
        "server_time": output::time(reply.server_time.as_ref()),
        "namespaces": reply.namespaces,
        "secrets": reply.secrets,
        "deleted_secrets": reply.deleted_secrets,
        "expiring_secrets": reply.expiring_secrets,
        "rotations": {
            "planned": rotations.planned,
            "due": rotations.due,
            "overdue": rotations.overdue,
            "failing": rotations.failing,
        },
        "next_due_at": reply.next_due_at.as_ref().map(|at| output::time(Some(at))),
        "api_keys": reply.api_keys,
        "unused_api_keys": reply.unused_api_keys,
        "bindings": reply.bindings,
        "watches": reply.watches,
        "damaged_records": reply.damaged_records,
        "signing_public_key": BASE64.encode(&reply.signing_public_key),
        "audit_log": {
            "origin": audit.origin,
            "size": audit.size,
            "failure": audit.failure,
            "breach": audit.breach,
        },
        "limits": limits.collect::<Vec<_>>(),
        "quotas": reply.quotas.iter().map(quotas::json).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Option<prost_types::Timestamp> {
        Some(prost_types::Timestamp { seconds, nanos: 5 })
    }

    #[test]
    fn the_time_since_the_start_is_as_exact_as_it_is_of_use() {
        const START: i64 = 1_700_000_000;
        for (seconds, shown) in
            [(0, "0s"), (59, "59s"), (61, "1m"), (3 * 3600 + 62, "3h 1m"), (2 * 86_400 + 3661, "2days 1h")]
        {
            let (started_at, server_time) = (at(START), at(START + seconds));
            let reply = v1::GetStatusResponse { started_at, server_time, ..Default::default() };
            assert_eq!(up(&reply), format!("{shown}, since 2023-11-14T22:13:20Z"));
        }
    }

    #[test]
    fn a_service_that_refuses_requests_says_why() {
        let named = |description: &str, detail: &str| v1::UnreadyCause {
            description: description.into(),
            detail: detail.into(),
            ..Default::default()
        };
        assert_eq!(cause(&named("the store cannot serve", "")), "the store cannot serve");
        assert_eq!(
            cause(&named("the store cannot serve", "no leader")),
            "the store cannot serve (no leader)"
        );
        let state = State { server: "s".into(), refused: Some("x".into()), reply: None };
        assert_eq!(state.fields()[1], ("serving", "no: x".to_owned()));
        assert_eq!(state.json(), json!({ "server": "s", "serving": false, "refused_because": "x" }));
    }
}
