//! From Python's tree of one expression to the language's own tree: constants, operators, lists and maps.

use ruff_python_ast as ast;

use super::super::budget::Bound;
use super::super::grammar::{Arithmetic, Comparison, Expr};
use super::super::unsupported::unsupported_expression;
use super::super::{Data, ProblemKind};
use super::Parser;

/// The tree of one expression, as the Python parser made it.
pub(super) struct Tree<'a> {
    /// The expression's text, without the mark.
    pub(super) source: &'a str,
    pub(super) parser: &'a mut Parser,
}

/// The result of turning a part of Python's tree into one of the language's own.
pub(super) type Parsed = Result<Expr, ProblemKind>;

impl Tree<'_> {
    /// Turns any part of the tree, and counts it.
    pub(super) fn expr(&mut self, expr: &ast::Expr) -> Parsed {
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
            _ => Err(unsupported_expression(expr)),
        }
    }

    pub(super) fn boxed(&mut self, expr: &ast::Expr) -> Result<Box<Expr>, ProblemKind> {
        self.expr(expr).map(Box::new)
    }

    pub(super) fn exprs(&mut self, exprs: &[ast::Expr]) -> Result<Vec<Expr>, ProblemKind> {
        exprs.iter().map(|expr| self.expr(expr)).collect()
    }

    /// The same as [`Tree::expr`], in a place where a tuple is usual and means the same as a list.
    pub(super) fn list_or_tuple(&mut self, expr: &ast::Expr) -> Parsed {
        match expr {
            ast::Expr::Tuple(tuple) => Ok(Expr::List(self.exprs(&tuple.elts)?)),
            _ => self.expr(expr),
        }
    }

    fn unary(&mut self, unary: &ast::ExprUnaryOp) -> Parsed {
        let operand = self.boxed(&unary.operand)?;
        match unary.op {
            ast::UnaryOp::Not => Ok(Expr::Not(operand)),
            ast::UnaryOp::USub => Ok(Expr::Minus(operand)),
            ast::UnaryOp::UAdd => Ok(Expr::Plus(operand)),
            ast::UnaryOp::Invert => Err(ProblemKind::unsupported("the operator `~`", "")),
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
            ast::Operator::MatMult => return Err(ProblemKind::unsupported("the operator `@`", "")),
            ast::Operator::Pow => return Err(ProblemKind::unsupported("the operator `**`", "")),
            ast::Operator::LShift => return Err(ProblemKind::unsupported("the operator `<<`", "")),
            ast::Operator::RShift => return Err(ProblemKind::unsupported("the operator `>>`", "")),
            ast::Operator::BitOr => return Err(ProblemKind::unsupported("the operator `|`", "Use `or`.")),
            ast::Operator::BitXor => return Err(ProblemKind::unsupported("the operator `^`", "")),
            ast::Operator::BitAnd => return Err(ProblemKind::unsupported("the operator `&`", "Use `and`.")),
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
                    return Err(ProblemKind::unsupported(
                        "`is` with anything but None",
                        "Compare with `==`.",
                    ));
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
            let key = item.key.as_ref().ok_or_else(|| ProblemKind::unsupported("`**` in a map", ""))?;
            Ok((self.expr(key)?, self.expr(&item.value)?))
        });
        Ok(Expr::Map(fields.collect::<Result<_, _>>()?))
    }
}

fn number_constant(number: &ast::Number) -> Parsed {
    const TOO_LARGE: ProblemKind = ProblemKind::Value(
        "A number in the expression is too large: use a smaller one, or write it as a text.",
    );
    let data = match number {
        ast::Number::Int(int) => {
            Data::Int(int.as_u64().and_then(|int| i64::try_from(int).ok()).ok_or(TOO_LARGE)?)
        }
        ast::Number::Float(float) if float.is_finite() => Data::Float(*float),
        ast::Number::Float(_) => return Err(TOO_LARGE),
        ast::Number::Complex { .. } => return Err(ProblemKind::unsupported("a complex number", "")),
    };
    Ok(Expr::Constant(data))
}
