//! "Did you mean": a name of a secret that exists, where the one given does not. Only names that the caller may list are named.

use strongroom_client::v1;

use super::connect::Connection;
use super::failure::Failure;
use super::on_runtime;

/// The same failure, with a similar name if there is one.
pub(super) fn another_name(connection: &Connection, failure: Failure) -> Failure {
    let Some((namespace, name)) = failure.missing_secret().and_then(|missing| missing.rsplit_once('/'))
    else {
        return failure;
    };
    match on_runtime(similar(connection, namespace, name)) {
        Ok(Some(other)) => failure.with_more(&format!("Did you mean '{other}'?")),
        // The failure itself is what counts.
        Ok(None) | Err(_) => failure,
    }
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
