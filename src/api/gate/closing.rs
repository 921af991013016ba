//! Why the server closes a connection.

/// Why the server closes a connection, though its peer might go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    /// Its TLS handshake failed or took too long.
    Handshake,
    /// It did not begin HTTP/2 in time.
    NotBegun,
    /// No credential in force was presented on it in time, and requests were under way on it.
    NotAuthenticated,
    /// It was the oldest one without a credential, and made room for a new one.
    MadeRoom,
    /// It sent too many frames without a request.
    Flood,
    /// It reset too many requests.
    Resets,
    /// It broke the rules of HTTP/2, or reached a limit of the HTTP/2 library.
    Broken,
    /// It was silent for too long, or took nothing for too long.
    Silent,
    /// It was at the end of its age, and requests were under way on it.
    Age,
}

impl Closing {
    /// All causes.
    pub(crate) const ALL: [Self; 9] = [
        Self::Handshake,
        Self::NotBegun,
        Self::NotAuthenticated,
        Self::MadeRoom,
        Self::Flood,
        Self::Resets,
        Self::Broken,
        Self::Silent,
        Self::Age,
    ];

    /// Its name in the metrics and in the log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::NotBegun => "not_begun",
            Self::NotAuthenticated => "not_authenticated",
            Self::MadeRoom => "made_room",
            Self::Flood => "flood",
            Self::Resets => "resets",
            Self::Broken => "broken",
            Self::Silent => "silent",
            Self::Age => "age",
        }
    }
}
