//! The records of roles, bindings and the access epoch in the clear. Times are microseconds since 1970.

/// A role that a person made.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RoleRecord {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The numbers of its rights, as in the proto files.
    #[prost(uint32, repeated, tag = "2")]
    pub rights: Vec<u32>,
    /// What it is for.
    #[prost(string, tag = "3")]
    pub description: String,
    /// When it was created.
    #[prost(int64, tag = "4")]
    pub created_at: i64,
}

/// A binding.
#[derive(Clone, PartialEq, prost::Message)]
pub struct BindingRecord {
    /// The name of the principal.
    #[prost(string, tag = "1")]
    pub principal: String,
    /// The name of the role.
    #[prost(string, tag = "2")]
    pub role: String,
    /// The namespace pattern.
    #[prost(string, tag = "3")]
    pub namespaces: String,
    /// The name pattern.
    #[prost(string, tag = "4")]
    pub names: String,
    /// Whether it denies the rights of the role.
    #[prost(bool, tag = "5")]
    pub deny: bool,
    /// When it was created.
    #[prost(int64, tag = "6")]
    pub created_at: i64,
    /// When it expires; absent: never.
    #[prost(int64, optional, tag = "7")]
    pub expires_at: Option<i64>,
    /// What it is for.
    #[prost(string, tag = "8")]
    pub description: String,
}

/// The access epoch, which every change of who may do what writes again.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AccessEpochRecord {
    /// How many such changes there have been.
    #[prost(uint64, tag = "1")]
    pub changes: u64,
}
