use std::collections::BTreeSet;

use ruff_python_ast as ast;
use ruff_python_ast::token::{Token, TokenKind};
use ruff_python_parser::{Mode, ParseOptions, parse_unchecked};

use super::budget::Bound;
use super::grammar::{Arithmetic, Comparison, Conversion, Expr, Function, Piece};
use super::refusal::{FUNCTIONS, refused, unknown_method};
use super::scan::scan;
use super::{Data, ProblemKind};
use crate::domain::SecretName;

/// What a string begins with that is an expression.
pub(super) const MARK: &str = "$ ";

/// What the expressions of a document have in common while they are parsed.
pub(super) struct Parser {
    /// How many parts they may still have.
    parts: usize,
    /// Whether any uses `inputs`.
    pub(super) uses_inputs: bool,
    /// The secrets that the expression at hand names.
    pub(super) names: BTreeSet<SecretName>,
}

impl Parser {
    pub(super) fn new() -> Self {
        Self { parts: Bound::Parts.limit(), uses_inputs: false, names: BTreeSet::new() }
    }

    /// The expression in a string; the string begins with [`MARK`].
    pub(super) fn parse(&mut self, text: &str) -> Result<Expr, ProblemKind> {
        self.names.clear();
        if text.len() > Bound::ExpressionLength.limit() {
            return Err(ProblemKind::TooCostly(Bound::ExpressionLength));
        }
        let source = text.strip_prefix(MARK).unwrap_or(text);
        scan(source)?;
        // As if in parentheses, so that a long expression can have several lines.
        let parsed = parse_unchecked(source, ParseOptions::from(Mode::ParenthesizedExpression));
        let fields = keywords_as_fields(parsed.tokens(), !parsed.errors().is_empty());
        let is_field = |start| fields.binary_search(&start).is_ok();
        let error = parsed.errors().iter().find(|error| !is_field(error.location.start().to_usize()));
        if let Some(error) = error {
            let before = source.get(..error.location.start().to_usize()).unwrap_or(source);
            let at = MARK.len() + before.chars().count() + 1;
            return Err(ProblemKind::Syntax { at: Some(at) });
        }
        match parsed.syntax() {
            ast::Mod::Expression(expression) => Tree { source, parser: self }.expr(&expression.body),
            ast::Mod::Module(_) => Err(ProblemKind::Syntax { at: None }),
        }
    }
}

/// Where keywords follow a dot, in order, if there are errors at all. The parser tells these as errors, and goes on with
/// the name as it stands; but secrets and fields may be called `class` or `from`.
fn keywords_as_fields(tokens: &[Token], wanted: bool) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut before = TokenKind::Newline;
    for token in tokens.iter().filter(|_| wanted) {
        let (kind, range) = token.as_tuple();
        if before == TokenKind::Dot && kind.is_non_soft_keyword() {
            starts.push(range.start().to_usize());
        }
        if !matches!(kind, TokenKind::Comment | TokenKind::NonLogicalNewline) {
            before = kind;
        }
    }
    starts
}

/// One expression's tree, as the parser gives it.
struct Tree<'a> {
    source: &'a str,
    parser: &'a mut Parser,
}

type Parsed = Result<Expr, ProblemKind>;

impl Tree<'_> {
    fn expr(&mut self, expr: &ast::Expr) -> Parsed {
        self.parser.parts = self.parser.parts.checked_sub(1).ok_or(ProblemKind::TooCostly(Bound::Parts))?;
        match expr {
            ast::Expr::StringLiteral(text) => self.text(text),
            ast::Expr::NumberLiteral(number) => number_constant(&number.value),
            ast::Expr::BooleanLiteral(literal) => Ok(Expr::Constant(Data::Bool(literal.value))),
            ast::Expr::NoneLiteral(_) => Ok(Expr::Constant(Data::Null)),
            ast::Expr::FString(text) => self.f_string(text),
            ast::Expr::Name(name) => self.name(name.id.as_str()),
            ast::Expr::Attribute(attribute) => self.attribute(attribute),
            ast::Expr::Subscript(subscript) => self.subscript(subscript),
            ast::Expr::Call(call) => self.call(call),
            ast::Expr::UnaryOp(unary) => self.unary(unary),
            ast::Expr::BinOp(binary) => self.binary(binary),
            ast::Expr::BoolOp(bool) => {
                let values = self.exprs(&bool.values)?;
                Ok(if bool.op == ast::BoolOp::And { Expr::And(values) } else { Expr::Or(values) })
            }
            ast::Expr::Compare(compare) => self.compare(compare),
            ast::Expr::If(choice) => Ok(Expr::If {
                test: self.boxed(&choice.test)?,
                then: self.boxed(&choice.body)?,
                other: self.boxed(&choice.orelse)?,
            }),
            ast::Expr::List(list) => Ok(Expr::List(self.exprs(&list.elts)?)),
            ast::Expr::Dict(dict) => self.dict(dict),
            _ => Err(refused(expr)),
        }
    }

    fn boxed(&mut self, expr: &ast::Expr) -> Result<Box<Expr>, ProblemKind> {
        self.expr(expr).map(Box::new)
    }

    fn exprs(&mut self, exprs: &[ast::Expr]) -> Result<Vec<Expr>, ProblemKind> {
        exprs.iter().map(|expr| self.expr(expr)).collect()
    }

    /// Where a tuple is as good as a list, and usual.
    fn list_or_tuple(&mut self, expr: &ast::Expr) -> Parsed {
        match expr {
            ast::Expr::Tuple(tuple) => Ok(Expr::List(self.exprs(&tuple.elts)?)),
            _ => self.expr(expr),
        }
    }

    fn text(&self, text: &ast::ExprStringLiteral) -> Parsed {
        for part in text.value.as_slice() {
            self.refuse_surrogates(&part.value, part.range.start().to_usize()..part.range.end().to_usize())?;
        }
        Ok(Expr::Constant(Data::text(text.value.to_str())))
    }

    /// The parser replaces what Python can hold in a text and JSON can not; that would be another value in silence.
    fn refuse_surrogates(&self, text: &str, range: std::ops::Range<usize>) -> Result<(), ProblemKind> {
        let replaced = |text: &str| text.matches(char::REPLACEMENT_CHARACTER).count();
        if replaced(text) > self.source.get(range).map_or(0, replaced) {
            return Err(ProblemKind::refused(
                "an escape of a surrogate or of U+FFFD",
                "Write the character itself, or as one \\U escape.",
            ));
        }
        Ok(())
    }

    fn name(&mut self, name: &str) -> Parsed {
        match name {
            "input" | "_" => Ok(Expr::Input),
            "inputs" => {
                self.parser.uses_inputs = true;
                Ok(Expr::Inputs)
            }
            "secrets" => {
                Err(ProblemKind::refused("`secrets` by itself", "Name one secret, as in secrets.NAME."))
            }
            _ => Err(ProblemKind::UnknownName),
        }
    }

    fn secret(&mut self, name: &str) -> Result<SecretName, ProblemKind> {
        let name = SecretName::parse(name).map_err(|_| ProblemKind::NotASecretName)?;
        self.parser.names.insert(name.clone());
        Ok(name)
    }

    fn constant_secret(&mut self, name: &ast::Expr) -> Result<SecretName, ProblemKind> {
        match name {
            ast::Expr::StringLiteral(text) => self.secret(text.value.to_str()),
            _ => Err(ProblemKind::refused(
                "a secret's name that is computed",
                "Write the name as a text, as in secrets[\"NAME\"].",
            )),
        }
    }

    fn attribute(&mut self, attribute: &ast::ExprAttribute) -> Parsed {
        let name = attribute.attr.as_str();
        if is_secrets(&attribute.value) {
            return Ok(Expr::Secret(self.secret(name)?));
        }
        Ok(Expr::Field(self.boxed(&attribute.value)?, name.into()))
    }

    fn subscript(&mut self, subscript: &ast::ExprSubscript) -> Parsed {
        if is_secrets(&subscript.value) {
            return Ok(Expr::Secret(self.constant_secret(&subscript.slice)?));
        }
        let value = self.boxed(&subscript.value)?;
        let ast::Expr::Slice(slice) = &*subscript.slice else {
            return Ok(Expr::Item(value, self.boxed(&subscript.slice)?));
        };
        let mut bound =
            |bound: &Option<Box<ast::Expr>>| bound.as_ref().map(|bound| self.expr(bound)).transpose();
        let bounds = [bound(&slice.lower)?, bound(&slice.upper)?, bound(&slice.step)?];
        Ok(Expr::Slice(value, Box::new(bounds)))
    }

    fn call(&mut self, call: &ast::ExprCall) -> Parsed {
        let arguments = &call.arguments;
        if !arguments.keywords.is_empty() {
            return Err(ProblemKind::refused("a named argument", "Give it by its position."));
        }
        let (function, text) = match &*call.func {
            ast::Expr::Attribute(method) if is_secrets(&method.value) => {
                return self.call_secrets(method, call);
            }
            ast::Expr::Attribute(method) => {
                let name = method.attr.as_str();
                let function = Function::method(name).ok_or_else(|| unknown_method(name))?;
                (function, Some(&*method.value))
            }
            ast::Expr::Name(name) => {
                let name = name.id.as_str();
                let function = Function::named(name)
                    .ok_or_else(|| ProblemKind::refused_identifier("the function", name, FUNCTIONS))?;
                (function, None)
            }
            _ => return Err(ProblemKind::refused("a call of a value", FUNCTIONS)),
        };
        let given = text.into_iter().chain(&arguments.args);
        if !function.arity().contains(&given.clone().count()) {
            return Err(ProblemKind::Type("The function does not take this number of arguments."));
        }
        let last_of_join = if function == Function::Join { 1 } else { usize::MAX };
        let arguments = given.enumerate().map(|(at, argument)| {
            if at == last_of_join { self.list_or_tuple(argument) } else { self.expr(argument) }
        });
        Ok(Expr::Call(function, arguments.collect::<Result<_, _>>()?))
    }

    /// `secrets.get("NAME", default)`; all else that is called on `secrets` is a secret, which can not be called.
    fn call_secrets(&mut self, method: &ast::ExprAttribute, call: &ast::ExprCall) -> Parsed {
        if method.attr.as_str() != "get" {
            return Err(ProblemKind::refused(
                "a call of a secret",
                "Leave out the parentheses behind its name.",
            ));
        }
        match &*call.arguments.args {
            [name] => Ok(Expr::SecretOr(self.constant_secret(name)?, Box::new(Expr::Constant(Data::Null)))),
            [name, default] => Ok(Expr::SecretOr(self.constant_secret(name)?, self.boxed(default)?)),
            _ => Err(ProblemKind::Type("secrets.get takes a name, and a default if you want one.")),
        }
    }

    fn unary(&mut self, unary: &ast::ExprUnaryOp) -> Parsed {
        let operand = self.boxed(&unary.operand)?;
        match unary.op {
            ast::UnaryOp::Not => Ok(Expr::Not(operand)),
            ast::UnaryOp::USub => Ok(Expr::Minus(operand)),
            ast::UnaryOp::UAdd => Ok(Expr::Plus(operand)),
            ast::UnaryOp::Invert => Err(ProblemKind::refused("the operator `~`", "")),
        }
    }

    fn binary(&mut self, binary: &ast::ExprBinOp) -> Parsed {
        let operator = match binary.op {
            ast::Operator::Add => Arithmetic::Add,
            ast::Operator::Sub => Arithmetic::Subtract,
            ast::Operator::Mult => Arithmetic::Multiply,
            ast::Operator::Div => Arithmetic::Divide,
            ast::Operator::FloorDiv => Arithmetic::FloorDivide,
            ast::Operator::Mod => Arithmetic::Modulo,
            ast::Operator::MatMult => return Err(ProblemKind::refused("the operator `@`", "")),
            ast::Operator::Pow => return Err(ProblemKind::refused("the operator `**`", "")),
            ast::Operator::LShift => return Err(ProblemKind::refused("the operator `<<`", "")),
            ast::Operator::RShift => return Err(ProblemKind::refused("the operator `>>`", "")),
            ast::Operator::BitOr => return Err(ProblemKind::refused("the operator `|`", "Use `or`.")),
            ast::Operator::BitXor => return Err(ProblemKind::refused("the operator `^`", "")),
            ast::Operator::BitAnd => return Err(ProblemKind::refused("the operator `&`", "Use `and`.")),
        };
        let left = self.boxed(&binary.left)?;
        match &*binary.right {
            ast::Expr::Tuple(tuple) if operator == Arithmetic::Modulo => {
                Ok(Expr::Percent(left, self.exprs(&tuple.elts)?))
            }
            right => Ok(Expr::Arithmetic(operator, left, self.boxed(right)?)),
        }
    }

    fn compare(&mut self, compare: &ast::ExprCompare) -> Parsed {
        let left = self.boxed(&compare.left)?;
        let further = compare.ops.iter().zip(&*compare.comparators).map(|(op, right)| {
            let comparison = match op {
                ast::CmpOp::Eq => Comparison::Equal,
                ast::CmpOp::NotEq => Comparison::NotEqual,
                ast::CmpOp::Lt => Comparison::Less,
                ast::CmpOp::LtE => Comparison::LessEqual,
                ast::CmpOp::Gt => Comparison::Greater,
                ast::CmpOp::GtE => Comparison::GreaterEqual,
                ast::CmpOp::In => return Ok((Comparison::In, self.list_or_tuple(right)?)),
                ast::CmpOp::NotIn => return Ok((Comparison::NotIn, self.list_or_tuple(right)?)),
                ast::CmpOp::Is | ast::CmpOp::IsNot if !right.is_none_literal_expr() => {
                    return Err(ProblemKind::refused("`is` with anything but None", "Compare with `==`."));
                }
                ast::CmpOp::Is => Comparison::Is,
                ast::CmpOp::IsNot => Comparison::IsNot,
            };
            Ok((comparison, self.expr(right)?))
        });
        Ok(Expr::Compare(left, further.collect::<Result<_, _>>()?))
    }

    fn dict(&mut self, dict: &ast::ExprDict) -> Parsed {
        let fields = dict.items.iter().map(|item| {
            let key = item.key.as_ref().ok_or_else(|| ProblemKind::refused("`**` in a map", ""))?;
            Ok((self.expr(key)?, self.expr(&item.value)?))
        });
        Ok(Expr::Map(fields.collect::<Result<_, _>>()?))
    }

    fn f_string(&mut self, text: &ast::ExprFString) -> Parsed {
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
                    if field.debug_text.is_some() {
                        return Err(ProblemKind::refused(
                            "`=` in an f-string's field",
                            "Write the name as text.",
                        ));
                    }
                    let mut spec = Vec::new();
                    if let Some(given) = &field.format_spec {
                        if !may_nest {
                            return Err(ProblemKind::refused("a format within a format within a format", ""));
                        }
                        self.pieces(&given.elements, &mut spec, false)?;
                    }
                    let conversion = match field.conversion {
                        ast::ConversionFlag::None => None,
                        ast::ConversionFlag::Str => Some(Conversion::Str),
                        ast::ConversionFlag::Repr => Some(Conversion::Repr),
                        ast::ConversionFlag::Ascii => Some(Conversion::Ascii),
                    };
                    pieces.push(Piece::Value { value: self.expr(&field.expression)?, conversion, spec });
                }
            }
        }
        Ok(())
    }
}

fn is_secrets(expr: &ast::Expr) -> bool {
    matches!(expr, ast::Expr::Name(name) if name.id.as_str() == "secrets")
}

fn number_constant(number: &ast::Number) -> Parsed {
    const TOO_LARGE: ProblemKind = ProblemKind::Value("The number is too large.");
    let data = match number {
        ast::Number::Int(int) => {
            Data::Int(int.as_u64().and_then(|int| i64::try_from(int).ok()).ok_or(TOO_LARGE)?)
        }
        ast::Number::Float(float) if float.is_finite() => Data::Float(*float),
        ast::Number::Float(_) => return Err(TOO_LARGE),
        ast::Number::Complex { .. } => return Err(ProblemKind::refused("a complex number", "")),
    };
    Ok(Expr::Constant(data))
}
