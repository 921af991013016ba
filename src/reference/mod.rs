//! References to secrets inside documents: the expressions, and the walk over a document that evaluates them.
//!
//! docs/references.md defines the language. Pure: the secrets come from a look-up that the caller gives. `read` finds a
//! document's expressions; `scan` and `parse` turn each into the small tree of `grammar`, and `refusal` names all else of
//! Python; `evaluate` computes it and `resolve` puts the values into the document; `budget` bounds what that costs.

mod budget;
mod data;
mod evaluate;
mod format;
mod function;
mod grammar;
mod operate;
mod parse;
mod percent;
mod pointer;
mod problem;
mod read;
mod refusal;
mod resolve;
mod scan;
mod slice;
mod template;
mod text;

#[cfg(test)]
mod tests;

pub use budget::Bound;
pub use data::Data;
pub use evaluate::Secrets;
pub use pointer::Pointer;
pub use problem::{Construct, Problem, ProblemKind};
pub use template::{Credential, Reference, Resolved, Template};
