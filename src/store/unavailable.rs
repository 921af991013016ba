use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// The store cannot serve. The text says why, without any key or value.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the store cannot serve: {0}")]
pub struct Unavailable(pub Why);

/// Why a store cannot serve: a text, and the cause, where somebody has to do something about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    text: Arc<str>,
    cause: UnavailableCause,
}

/// What has to be done before a store serves again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnavailableCause {
    /// Nothing but to try again: or nobody knows better.
    #[default]
    Passing,
    /// The server stops.
    Stopping,
    /// This server does not show the newest changes yet.
    Behind,
    /// The store takes no changes until somebody makes room.
    Full,
    /// The store does not take the login of this server, or gives it too few rights.
    Login,
    /// The store is not what this server has served: an older copy, or another history.
    OtherHistory,
    /// The clock of this server differs from those of the others.
    Clock,
    /// The store cannot be used with the settings of this server: it is too old, of two clusters, or another store is in its place.
    Settings,
}

impl UnavailableCause {
    /// The name of the cause, for programs. Readiness has the same names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passing => "store",
            Self::Stopping => "stopping",
            Self::Behind => "behind",
            Self::Full => "store_full",
            Self::Login => "store_login",
            Self::OtherHistory => "other_history",
            Self::Clock => "clock",
            Self::Settings => "settings",
        }
    }
}

impl Unavailable {
    /// With a cause.
    pub fn because(cause: UnavailableCause, text: impl Into<Arc<str>>) -> Self {
        Self(Why { text: text.into(), cause })
    }

    /// The cause.
    pub fn cause(&self) -> UnavailableCause {
        self.0.cause
    }
}

impl Why {
    /// The text.
    pub fn text(&self) -> Arc<str> {
        self.text.clone()
    }
}

impl From<Arc<str>> for Why {
    fn from(text: Arc<str>) -> Self {
        Self { text, cause: UnavailableCause::Passing }
    }
}

impl From<&str> for Why {
    fn from(text: &str) -> Self {
        Self::from(Arc::from(text))
    }
}

impl From<String> for Why {
    fn from(text: String) -> Self {
        Self::from(Arc::from(text))
    }
}

impl Deref for Why {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl AsRef<str> for Why {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
