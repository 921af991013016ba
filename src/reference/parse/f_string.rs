//! Texts and f-strings.

use std::ops::Range;

use ruff_python_ast as ast;

use super::super::grammar::{Conversion, Expr, Piece};
use super::super::{Data, ProblemKind};
use super::tree::{Parsed, Tree};

impl Tree<'_> {
    pub(super) fn text(&self, text: &ast::ExprStringLiteral) -> Parsed {
        for part in text.value.as_slice() {
            self.refuse_surrogates(&part.value, part.range.start().to_usize()..part.range.end().to_usize())?;
        }
        Ok(Expr::Constant(Data::text(text.value.to_str())))
    }

    pub(super) fn f_string(&mut self, text: &ast::ExprFString) -> Parsed {
        let mut pieces = Vec::new();
        for part in text.value.as_slice() {
            match part {
                ast::FStringPart::Literal(literal) => {
                    let range = literal.range.start().to_usize()..literal.range.end().to_usize();
                    self.refuse_surrogates(&literal.value, range)?;
                    pieces.push(Piece::Text(literal.value.clone()));
                }
                ast::FStringPart::FString(part) => self.pieces(&part.elements, &mut pieces, true)?,
            }
        }
        Ok(Expr::Format(pieces))
    }

    /// Adds the pieces of an f-string or of a format. `may_nest`: whether a field can have a format of its own.
    fn pieces(
        &mut self,
        elements: &[ast::InterpolatedStringElement],
        pieces: &mut Vec<Piece>,
        may_nest: bool,
    ) -> Result<(), ProblemKind> {
        for element in elements {
            match element {
                ast::InterpolatedStringElement::Literal(literal) => {
                    let range = literal.range.start().to_usize()..literal.range.end().to_usize();
                    self.refuse_surrogates(&literal.value, range)?;
                    pieces.push(Piece::Text(literal.value.clone()));
                }
                ast::InterpolatedStringElement::Interpolation(field) => {
                    pieces.push(self.replacement_field(field, may_nest)?);
                }
            }
        }
        Ok(())
    }

    fn replacement_field(
        &mut self,
        field: &ast::InterpolatedElement,
        may_nest: bool,
    ) -> Result<Piece, ProblemKind> {
        if field.debug_text.is_some() {
            return Err(ProblemKind::unsupported("`=` in an f-string's field", "Write the name as text."));
        }
        let mut spec = Vec::new();
        if let Some(given) = &field.format_spec {
            if !may_nest {
                return Err(ProblemKind::unsupported("a format within a format within a format", ""));
            }
            self.pieces(&given.elements, &mut spec, false)?;
        }
        let conversion = match field.conversion {
            ast::ConversionFlag::None => None,
            ast::ConversionFlag::Str => Some(Conversion::Str),
            ast::ConversionFlag::Repr => Some(Conversion::Repr),
            ast::ConversionFlag::Ascii => Some(Conversion::Ascii),
        };
        Ok(Piece::Value { value: self.expr(&field.expression)?, conversion, spec })
    }

    /// Refuses an escape of a surrogate, which Python can hold in a text and JSON cannot. The Python parser replaces it by
    /// U+FFFD, so that the text would silently differ from the one that was written.
    fn refuse_surrogates(&self, text: &str, range: Range<usize>) -> Result<(), ProblemKind> {
        let replacements = |text: &str| text.matches(char::REPLACEMENT_CHARACTER).count();
        if replacements(text) > self.source.get(range).map_or(0, replacements) {
            return Err(ProblemKind::unsupported(
                "an escape of a surrogate or of U+FFFD",
                "Write the character itself, or one \\U escape for it.",
            ));
        }
        Ok(())
    }
}
