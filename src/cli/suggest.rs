//! Hints where there is no such secret: it was deleted and can come back, or "did you mean" another one. Only secrets that the caller
//! may list are named.

use strongroom_client::v1;

use super::connect::Connection;
use super::failure::Failure;
use super::{on_runtime, output};

/// The same failure, with a hint if there is one.
pub(super) fn another_name(connection: &Connection, failure: Failure) -> Failure {
    let Some((namespace, name)) = failure.missing_secret().and_then(|missing| missing.rsplit_once('/'))
    else {
        return failure;
    };
    match on_runtime(hint(connection, namespace, name)) {
        Ok(Some(hint)) => failure.with_more(&hint),
        // The failure itself is what counts.
        Ok(None) | Err(_) => failure,
    }
}

/// How the missing secret may be found: it was deleted, or it has a similar name.
async fn hint(connection: &Connection, namespace: &str, name: &str) -> Result<Option<String>, Failure> {
    if let Some(secret) = deleted(connection, namespace, name).await? {
        return Ok(Some(format!(
            "It was deleted at {} and can come back until {}: strongroom -n {namespace} undelete {}",
            output::time_in_brief(secret.deleted_at.as_ref()),
            output::time_in_brief(secret.purge_at.as_ref()),
            secret.id
        )));
    }
    let other = similar(connection, namespace, name).await?;
    Ok(other.map(|other| format!("Did you mean '{other}'?")))
}

/// The secret that had this name and was deleted: of several, the one that was deleted last.
async fn deleted(
    connection: &Connection,
    namespace: &str,
    name: &str,
) -> Result<Option<v1::Secret>, Failure> {
    let request = v1::ListSecretsRequest {
        namespace: namespace.to_owned(),
        name_prefix: name.to_owned(),
        include_deleted: true,
        limit: Some(1000),
        ..v1::ListSecretsRequest::default()
    };
    let page = connection.client().await?.secrets().list(request).await?;
    let found = page.items.into_iter().filter(|secret| secret.name == name && secret.deleted_at.is_some());
    Ok(found.max_by_key(|secret| secret.deleted_at.map(|at| (at.seconds, at.nanos))))
}

/// The name in the namespace that is most similar, among the first thousand.
async fn similar(connection: &Connection, namespace: &str, name: &str) -> Result<Option<String>, Failure> {
    let request = v1::ListSecretsRequest {
        namespace: namespace.to_owned(),
        limit: Some(1000),
        ..v1::ListSecretsRequest::default()
    };
    let page = connection.client().await?.secrets().list(request).await?;
    Ok(closest(name, page.items.into_iter().map(|secret| secret.name)))
}

/// The most similar of the names, if one is similar.
fn closest(name: &str, names: impl Iterator<Item = String>) -> Option<String> {
    const SIMILAR: f64 = 0.8;
    let likeness =
        |other: &str| strsim::jaro_winkler(&name.to_ascii_lowercase(), &other.to_ascii_lowercase());
    let rated = names.map(|other| (likeness(&other), other)).filter(|(likeness, _)| *likeness >= SIMILAR);
    rated.max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_fingers_is_similar_and_another_word_is_not() {
        let names = || ["db_password", "stripe_api_key", "SMTP_HOST"].map(str::to_owned).into_iter();
        for (given, meant) in [
            ("db_pasword", Some("db_password")),
            ("smtp_host", Some("SMTP_HOST")),
            ("stripe_key", Some("stripe_api_key")),
            ("github_token", None),
        ] {
            assert_eq!(closest(given, names()).as_deref(), meant, "{given}");
        }
    }
}
