//! Places in a document, as JSON Pointers.

use std::fmt;
use std::sync::Arc;

/// A place in a document: a JSON Pointer (RFC 6901), for example `/steps/0/expression`. The empty pointer is the whole
/// document. At most 512 bytes long. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pointer(Arc<str>);

impl Pointer {
    /// The whole document.
    pub fn root() -> Self {
        Self("".into())
    }

    /// The pointer as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The path from the document's root to the current place of a walk.
///
/// Its text is bounded: a pointer is repeated for each problem and reference, and a key can be as long as a document. A walk
/// can go on beyond the bound, and come back.
#[derive(Default)]
pub(super) struct Path {
    text: String,
    /// For each step in the text, its length before the step.
    marks: Vec<usize>,
    /// How many further steps are not in the text.
    beyond: usize,
}

impl Path {
    /// The greatest length of a pointer, in bytes.
    pub(super) const MAX: usize = 512;

    /// Steps into a map's field.
    pub(super) fn enter_field(&mut self, key: &str) {
        // Escaping can only make the key longer.
        if key.len() >= Self::MAX {
            self.beyond += 1;
        } else {
            self.enter(&key.replace('~', "~0").replace('/', "~1"));
        }
    }

    /// Steps into a list's item.
    pub(super) fn enter_item(&mut self, index: usize) {
        self.enter(&index.to_string());
    }

    fn enter(&mut self, segment: &str) {
        if self.beyond > 0 || self.text.len() + 1 + segment.len() > Self::MAX {
            self.beyond += 1;
            return;
        }
        self.marks.push(self.text.len());
        self.text.push('/');
        self.text.push_str(segment);
    }

    /// Steps back to the list or map around the current place.
    pub(super) fn leave(&mut self) {
        if self.beyond > 0 {
            self.beyond -= 1;
        } else if let Some(mark) = self.marks.pop() {
            self.text.truncate(mark);
        }
    }

    /// The number of lists and maps around the current place.
    pub(super) fn depth(&self) -> usize {
        self.marks.len() + self.beyond
    }

    /// Whether the pointer to the current place would be too long.
    pub(super) fn is_too_long(&self) -> bool {
        self.beyond > 0
    }

    /// The current place; where its pointer would be too long, the nearest place above it whose pointer is not.
    pub(super) fn pointer(&self) -> Pointer {
        Pointer(self.text.as_str().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_as_rfc_6901_says() {
        let mut path = Path::default();
        assert_eq!(path.pointer(), Pointer::root());
        path.enter_field("a/b");
        path.enter_field("m~n");
        path.enter_item(0);
        path.enter_field("");
        assert_eq!(path.pointer().as_str(), "/a~1b/m~0n/0/");
        path.leave();
        path.leave();
        assert_eq!((path.pointer().as_str(), path.depth()), ("/a~1b/m~0n", 2));
    }

    #[test]
    fn stays_at_the_last_place_whose_pointer_is_not_too_long() {
        let mut path = Path::default();
        path.enter_field("a");
        path.enter_field(&"~".repeat(400));
        path.enter_field("b");
        assert_eq!((path.pointer().as_str(), path.depth(), path.is_too_long()), ("/a", 3, true));
        path.leave();
        path.leave();
        path.enter_field("c");
        assert_eq!((path.pointer().as_str(), path.is_too_long()), ("/a/c", false));
    }
}
