//! The record of an API key in the clear: everything but the key.

/// An API key in the clear. Times are microseconds since 1970.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ApiKeyRecord {
    /// The name that a person gave it.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its home namespace.
    #[prost(string, tag = "2")]
    pub home: String,
    /// Whether it has every right everywhere.
    #[prost(bool, tag = "3")]
    pub root: bool,
    /// The HMAC of the credential, 32 bytes.
    #[prost(bytes = "vec", tag = "4")]
    pub mac: Vec<u8>,
    /// When it was created.
    #[prost(int64, tag = "5")]
    pub created_at: i64,
    /// When it expires; absent: never.
    #[prost(int64, optional, tag = "6")]
    pub expires_at: Option<i64>,
    /// When it was revoked; absent: it was not.
    #[prost(int64, optional, tag = "7")]
    pub revoked_at: Option<i64>,
    /// The HMAC of the credential before the last rotation, 32 bytes; empty where there is none that still works.
    #[prost(bytes = "vec", tag = "8")]
    pub former_mac: Vec<u8>,
    /// Until when that credential works.
    #[prost(int64, optional, tag = "9")]
    pub former_until: Option<i64>,
    /// When the key was last rotated; absent: never.
    #[prost(int64, optional, tag = "10")]
    pub rotated_at: Option<i64>,
}
