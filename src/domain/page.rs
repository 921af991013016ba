use super::{Invalid, Metadata, Namespace, Secret, SecretId, SecretName, Timestamp};

/// How many secrets a page holds where the caller does not say.
pub const DEFAULT_LIMIT: usize = 100;
/// How many secrets a page can hold.
pub const MAX_LIMIT: usize = 1000;

/// Which secrets of a namespace a list is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Whose secrets.
    pub namespace: Namespace,
    /// What the name must begin with; may be empty.
    pub prefix: Box<str>,
    /// Pairs that the metadata must all have.
    pub metadata: Metadata,
}

/// What a list is ordered by, and which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// What the list is ordered by.
    pub by: OrderBy,
    /// Whether the largest comes first.
    pub descending: bool,
}

/// What a list is ordered by. Secrets of equal time are ordered by id.
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
    /// The order that `name`, `created_at` or `updated_at` names, with ` desc` behind it reversed; empty is `name`.
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
                    "must be name, created_at or updated_at, with ' desc' behind it for the reverse",
                ));
            }
        };
        Ok(Self { by, descending })
    }
}

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// Behind that many secrets.
    Offset(usize),
    /// Behind the secret at the cursor, whether or not it is still there.
    After(Cursor),
}

/// The place of a secret in an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cursor {
    /// Its place by name.
    Name(SecretName),
    /// Its place by a time.
    Time(Timestamp, SecretId),
}

impl Cursor {
    /// The place of this secret in that order.
    pub fn of(secret: &Secret, by: OrderBy) -> Self {
        match by {
            OrderBy::Name => Self::Name(secret.name.clone()),
            OrderBy::CreatedAt => Self::Time(secret.created_at, secret.id),
            OrderBy::UpdatedAt => Self::Time(secret.updated_at, secret.id),
        }
    }
}
