//! The key that an argument of `strongroom key` names: by its id, or by its name if one key in force has it.

use strongroom_client::{Access, v1};

use super::is_in_force;
use crate::auth::ApiKeyId;
use crate::cli::failure::Failure;
use crate::cli::output;

/// The key that an argument names.
pub(super) enum Chosen {
    /// The key of this id, if there is one.
    ById(String),
    /// The one key in force of the name.
    ByName(v1::ApiKey),
}

/// The key that this id or name means. Only a name asks the service.
pub(super) async fn chosen(access: &Access, text: &str) -> Result<Chosen, Failure> {
    if ApiKeyId::parse(text).is_ok() {
        return Ok(Chosen::ById(text.to_owned()));
    }
    let shown = output::printable(text);
    let keys = access.list_api_keys().await?.items;
    let mut found = keys.into_iter().filter(|key| key.name == text && is_in_force(key));
    match (found.next(), found.next()) {
        (Some(key), None) => Ok(Chosen::ByName(key)),
        (None, _) => Err(Failure::local(format!(
            "There is no API key '{shown}' in force that you manage: 'strongroom key list' shows the keys and their ids."
        ))),
        (Some(one), Some(other)) => {
            let ids = [one, other].into_iter().chain(found).map(|key| key.id).collect::<Vec<_>>().join(", ");
            Err(Failure::local(format!(
                "several API keys in force have the name '{shown}': give the id of one of them: {ids}"
            )))
        }
    }
}
