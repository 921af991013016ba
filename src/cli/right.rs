//! The names of rights on the command line: `read` for `RIGHT_READ`.

use strongroom_client::v1::Right;

/// Reads a right from an argument.
pub(super) fn parse(text: &str) -> Result<Right, String> {
    let known = Right::from_str_name(&format!("RIGHT_{}", text.to_ascii_uppercase()));
    known.filter(|right| *right != Right::Unspecified && text == name(*right)).ok_or_else(|| {
        "expected list, read, write, rotate, delete, manage_access, audit or operate".to_owned()
    })
}

/// The name of a right.
pub(super) fn name(right: Right) -> String {
    let name = right.as_str_name();
    name.strip_prefix("RIGHT_").unwrap_or(name).to_ascii_lowercase()
}

/// The names of rights.
pub(super) fn names(rights: impl IntoIterator<Item = Right>) -> Vec<String> {
    rights.into_iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_names_of_rights_are_read() {
        assert_eq!(parse("manage_access"), Ok(Right::ManageAccess));
        assert_eq!(name(Right::ManageAccess), "manage_access");
        for other in ["", "unspecified", "READ", "Read", "everything"] {
            assert!(parse(other).is_err(), "{other}");
        }
    }
}
