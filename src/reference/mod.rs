//! References to secrets inside documents: the expressions, and the walk over a document that evaluates them.
//!
//! docs/references.md defines the language. This module is pure: no I/O, no clock, and the secrets come from a
//! [`SecretLookup`] that the app gives. Nothing that an expression computes is parsed again.
//!
//! In the order of work: `template` is the entrance. `document` finds a document's expressions; for each one `nesting`
//! checks its depth, and `parse` turns it into the small tree of `grammar`, or says with `unsupported` which construct of
//! Python it has that the language lacks. `resolve` walks over the document again, and `evaluate` computes each value
//! (`subscript`, `operate`, `function`, `format`, `percent`, `text`). `budget` bounds what a document may cost, and
//! `problem` says what is wrong with it.

mod budget;
mod data;
mod document;
mod evaluate;
mod format;
mod function;
mod grammar;
mod nesting;
mod operate;
mod parse;
mod percent;
mod pointer;
mod problem;
mod resolve;
mod subscript;
mod template;
mod text;
mod unsupported;

#[cfg(test)]
mod tests;

pub use budget::Bound;
pub use data::Data;
pub use evaluate::SecretLookup;
pub use pointer::Pointer;
pub use problem::{Construct, Problem, ProblemKind};
pub use template::{Credential, Reference, Resolved, Template};
