//! How lists are filtered, ordered and divided into pages.

use super::{Invalid, Metadata, Namespace, Secret, SecretId, SecretName, Timestamp};

/// How many secrets a page holds at most if the caller sets no limit.
pub const DEFAULT_LIMIT: usize = 100;
/// The largest limit that a caller can set.
pub const MAX_LIMIT: usize = 1000;

/// Which secrets a list shows. All conditions must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The namespace of the secrets.
    pub namespace: Namespace,
    /// What the name must begin with; empty for all names.
    pub prefix: Box<str>,
    /// Pairs that the metadata must have; empty for all secrets.
    pub metadata: Metadata,
    /// The time since which no value was read and before which the secret was created; `None` for all secrets.
    pub unused_since: Option<Timestamp>,
    /// Whether deleted secrets are shown too.
    pub include_deleted: bool,
}

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// The property that the list is ordered by.
    pub by: OrderBy,
    /// Whether the greatest name or the latest time comes first.
    pub descending: bool,
}

/// The property that a list is ordered by. Secrets with equal times are ordered by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderBy {
    /// The name's bytes.
    Name,
    /// The time of creation.
    CreatedAt,
    /// The time of the last change.
    UpdatedAt,
}

impl Order {
    /// Parses `name`, `created_at` or `updated_at`, with ` desc` after it for the reverse order (the form of AIP-132). Empty
    /// means `name`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let (by, descending) = match text.strip_suffix(" desc") {
            Some(by) => (by, true),
            None => (text, false),
        };
        let by = match by {
            "name" => OrderBy::Name,
            "" if !descending => OrderBy::Name,
            "created_at" => OrderBy::CreatedAt,
            "updated_at" => OrderBy::UpdatedAt,
            _ => {
                return Err(Invalid::new(
                    "must be name, created_at or updated_at, with ' desc' after it for the reverse order",
                ));
            }
        };
        Ok(Self { by, descending })
    }
}

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// After this many secrets.
    Offset(usize),
    /// After the place of the cursor, whether or not its secret still exists.
    After(Cursor),
}

/// The place of a secret in an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cursor {
    /// The place in the order of names. The id stands behind the name where several secrets can have the same: of those, only one
    /// is not deleted.
    Name(SecretName, Option<SecretId>),
    /// The place in an order by time: the time, then the id.
    Time(Timestamp, SecretId),
}

impl Cursor {
    /// The place of a secret in an order.
    pub fn of(secret: &Secret, by: OrderBy) -> Self {
        match by {
            OrderBy::Name => Self::Name(secret.name.clone(), None),
            OrderBy::CreatedAt => Self::Time(secret.created_at, secret.id),
            OrderBy::UpdatedAt => Self::Time(secret.updated_at, secret.id),
        }
    }
}
