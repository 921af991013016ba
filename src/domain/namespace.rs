//! The name of a namespace.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use super::Invalid;

/// A namespace: 1 to 8 segments of `[a-z0-9][a-z0-9-]{0,62}` joined by `/`. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(Arc<str>);

impl Namespace {
    const MAX_SEGMENTS: usize = 8;
    const MAX_SEGMENT: usize = 63;

    /// Parses a namespace.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.split('/').count() > Self::MAX_SEGMENTS || !text.split('/').all(Self::is_segment) {
            return Err(Invalid::new(
                "must be 1 to 8 segments joined by '/', each 1 to 63 lower-case letters, digits and \
                 hyphens, beginning with a letter or a digit",
            ));
        }
        Ok(Self(text.into()))
    }

    /// The namespace `default`, which the first API key has as its home.
    pub fn default_namespace() -> Self {
        Self("default".into())
    }

    /// Whether it is this namespace or below it.
    pub fn is_within(&self, top: &Self) -> bool {
        let rest = self.0.strip_prefix(&*top.0);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The namespace as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This namespace, and those that it is below: with `a/b`, also `a`.
    pub fn and_above(&self) -> impl Iterator<Item = Self> {
        std::iter::successors(Some(self.clone()), |below| {
            below.as_str().rsplit_once('/').map(|(above, _)| Self(above.into()))
        })
    }

    /// Whether this namespace is the given one, or below it.
    pub fn is_in(&self, top: &Self) -> bool {
        self.as_str().strip_prefix(top.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    fn is_segment(segment: &str) -> bool {
        let letter_or_digit = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        segment.len() <= Self::MAX_SEGMENT
            && segment.bytes().next().is_some_and(letter_or_digit)
            && segment.bytes().all(|byte| letter_or_digit(byte) || byte == b'-')
    }
}

/// Tables by namespace are asked with text too.
impl Borrow<str> for Namespace {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_segments_and_refuses_the_rest() {
        let longest = "a".repeat(63);
        for accepted in ["default", "a", "0", "team/prod", "a/b/c/d/e/f/g/h", "a-b-", &longest] {
            assert!(Namespace::parse(accepted).is_ok(), "{accepted:?}");
        }
        let too_long = "a".repeat(64);
        for refused in ["", "/", "a/", "/a", "a//b", "A", "-a", "a_b", "a/b/c/d/e/f/g/h/i", "é", &too_long] {
            assert!(Namespace::parse(refused).is_err(), "{refused:?}");
        }
    }
}
