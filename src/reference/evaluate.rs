//! Computes the value of an expression.
//!
//! An expression is evaluated in the order in which Python evaluates it, and only as far as its value needs: a secret that
//! the evaluation does not reach is not looked up. Every step and every byte built is charged to the [`Budget`] before it
//! is spent. The resolver calls [`Evaluator::evaluate`] for each expression of a document. `subscript.rs` has the fields,
//! items and slices.

use super::budget::{Budget, Writer};
use super::format::write_formatted;
use super::function;
use super::grammar::{Arithmetic, Comparison, Conversion, Expr, Piece};
use super::operate::{arithmetic, contains, equal, minus, order, plus, truth};
use super::percent::{Values, write_percent};
use super::text::{write_repr, write_str};
use super::{Data, ProblemKind};
use crate::domain::SecretName;

/// Where expressions look up secrets.
pub trait SecretLookup {
    /// The secret's value: [`Data::Text`] or [`Data::Bytes`]. Otherwise [`ProblemKind::MissingSecret`], or
    /// [`ProblemKind::SecretExpired`], [`ProblemKind::VersionDisabled`] or [`ProblemKind::VersionDestroyed`] where the current version has no value to read.
    /// Called only for secrets that the evaluation reaches.
    fn value(&self, name: &SecretName) -> Result<Data, ProblemKind>;
}

/// The names that an expression can use, and the budget for its evaluation.
pub(super) struct Evaluator<'a> {
    /// The value of `input` and `_`; `None` where the request has none.
    pub(super) input: Option<&'a Data>,
    /// The value of `inputs`.
    pub(super) inputs: &'a Data,
    pub(super) secrets: &'a dyn SecretLookup,
    pub(super) budget: &'a mut Budget,
}

/// A value during the evaluation. Inputs and constants are borrowed, so that looking at them needs no copy.
pub(super) enum Operand<'a> {
    Borrowed(&'a Data),
    Owned(Data),
}

impl Operand<'_> {
    pub(super) fn get(&self) -> &Data {
        match self {
            Self::Borrowed(data) => data,
            Self::Owned(data) => data,
        }
    }
}

/// The result of evaluating a part of an expression.
pub(super) type Evaluated<'a> = Result<Operand<'a>, ProblemKind>;

impl<'a> Evaluator<'a> {
    /// The value of an expression.
    pub(super) fn evaluate(&mut self, expr: &'a Expr) -> Result<Data, ProblemKind> {
        match self.eval(expr)? {
            Operand::Owned(data) => Ok(data),
            Operand::Borrowed(data) => {
                self.budget.charge_build(data.size())?;
                Ok(data.copy())
            }
        }
    }

    /// Each arm only calls another function: this function is on the stack once for every level of nesting, so that it must
    /// have few local variables.
    pub(super) fn eval(&mut self, expr: &'a Expr) -> Evaluated<'a> {
        self.budget.charge_read(0)?;
        match expr {
            Expr::Constant(data) => Ok(Operand::Borrowed(data)),
            Expr::Input => self.input.map(Operand::Borrowed).ok_or(ProblemKind::NoInput),
            Expr::Inputs => Ok(Operand::Borrowed(self.inputs)),
            Expr::Secret(name) => self.secret(name),
            Expr::SecretOr(name, default) => self.secret_or(name, default),
            Expr::Field(map, name) => self.field(map, name),
            Expr::Item(container, index) => self.item(container, index),
            Expr::Slice(value, bounds) => self.slice(value, bounds),
            Expr::Not(value) => self.not(value),
            Expr::Minus(value) => self.sign(value, minus),
            Expr::Plus(value) => self.sign(value, plus),
            Expr::Arithmetic(operator, left, right) => self.arithmetic(*operator, left, right),
            Expr::Percent(text, values) => self.percent(text, values),
            Expr::And(values) => self.first(values, false),
            Expr::Or(values) => self.first(values, true),
            Expr::Compare(left, further) => self.compare(left, further),
            Expr::If { test, then, other } => self.choice(test, then, other),
            Expr::List(items) => self.list(items),
            Expr::Map(fields) => self.map(fields),
            Expr::Format(pieces) => self.format(pieces),
            Expr::Call(function, arguments) => self.call(*function, arguments),
        }
    }

    fn all(&mut self, exprs: &'a [Expr]) -> Result<Vec<Operand<'a>>, ProblemKind> {
        exprs.iter().map(|expr| self.eval(expr)).collect()
    }

    fn secret(&mut self, name: &SecretName) -> Evaluated<'a> {
        let data = self.secrets.value(name)?;
        self.budget.charge_build(data.size())?;
        Ok(Operand::Owned(data))
    }

    fn secret_or(&mut self, name: &SecretName, default: &'a Expr) -> Evaluated<'a> {
        match self.secret(name) {
            Err(ProblemKind::MissingSecret(_)) => self.eval(default),
            found => found,
        }
    }

    fn not(&mut self, value: &'a Expr) -> Evaluated<'a> {
        let value = self.eval(value)?;
        Ok(Operand::Owned(Data::Bool(!truth(value.get())?)))
    }

    fn sign(&mut self, value: &'a Expr, sign: fn(&Data) -> Result<Data, ProblemKind>) -> Evaluated<'a> {
        let value = self.eval(value)?;
        sign(value.get()).map(Operand::Owned)
    }

    fn arithmetic(&mut self, operator: Arithmetic, left: &'a Expr, right: &'a Expr) -> Evaluated<'a> {
        let left = self.eval(left)?;
        let right = self.eval(right)?;
        match left.get() {
            Data::Text(text) if operator == Arithmetic::Modulo => {
                let mut to = Writer::default();
                write_percent(text, &Values::One(right.get()), &mut to, self.budget)?;
                Ok(Operand::Owned(Data::Text(to.finish())))
            }
            left => arithmetic(operator, left, right.get(), self.budget).map(Operand::Owned),
        }
    }

    fn percent(&mut self, text: &'a Expr, values: &'a [Expr]) -> Evaluated<'a> {
        let text = self.eval(text)?;
        let values = self.all(values)?;
        let Data::Text(text) = text.get() else {
            return Err(ProblemKind::Type(
                "The operator `%` needs a text on its left where values in parentheses are on its right.",
            ));
        };
        let values: Vec<_> = values.iter().map(Operand::get).collect();
        let mut to = Writer::default();
        write_percent(text, &Values::Tuple(&values), &mut to, self.budget)?;
        Ok(Operand::Owned(Data::Text(to.finish())))
    }

    /// `and` and `or`: the first value whose truth is `wanted`, or else the last value.
    fn first(&mut self, values: &'a [Expr], wanted: bool) -> Evaluated<'a> {
        let mut last = Operand::Owned(Data::Null);
        for (at, expr) in values.iter().enumerate() {
            last = self.eval(expr)?;
            if at + 1 < values.len() && truth(last.get())? == wanted {
                break;
            }
        }
        Ok(last)
    }

    fn compare(&mut self, left: &'a Expr, further: &'a [(Comparison, Expr)]) -> Evaluated<'a> {
        let mut left = self.eval(left)?;
        for (comparison, right) in further {
            let right = self.eval(right)?;
            if !self.holds(*comparison, left.get(), right.get())? {
                return Ok(Operand::Owned(Data::Bool(false)));
            }
            left = right;
        }
        Ok(Operand::Owned(Data::Bool(true)))
    }

    fn holds(&mut self, comparison: Comparison, left: &Data, right: &Data) -> Result<bool, ProblemKind> {
        let budget = &mut *self.budget;
        Ok(match comparison {
            Comparison::Equal => equal(left, right, budget)?,
            Comparison::NotEqual => !equal(left, right, budget)?,
            Comparison::Less => order(left, right, budget)?.is_some_and(|order| order.is_lt()),
            Comparison::LessEqual => order(left, right, budget)?.is_some_and(|order| order.is_le()),
            Comparison::Greater => order(left, right, budget)?.is_some_and(|order| order.is_gt()),
            Comparison::GreaterEqual => order(left, right, budget)?.is_some_and(|order| order.is_ge()),
            Comparison::In => contains(right, left, budget)?,
            Comparison::NotIn => !contains(right, left, budget)?,
            Comparison::Is => matches!(left, Data::Null),
            Comparison::IsNot => !matches!(left, Data::Null),
        })
    }

    fn choice(&mut self, test: &'a Expr, then: &'a Expr, other: &'a Expr) -> Evaluated<'a> {
        let test = truth(self.eval(test)?.get())?;
        self.eval(if test { then } else { other })
    }

    fn list(&mut self, exprs: &'a [Expr]) -> Evaluated<'a> {
        self.budget.charge_build(exprs.len() * size_of::<Data>())?;
        let mut items = Vec::with_capacity(exprs.len());
        for expr in exprs {
            items.push(self.member(expr)?);
        }
        Ok(Operand::Owned(Data::List(items)))
    }

    fn map(&mut self, exprs: &'a [(Expr, Expr)]) -> Evaluated<'a> {
        let mut fields: Vec<(String, Data)> = Vec::new();
        for (key, value) in exprs {
            let key = match self.member(key)? {
                Data::Text(key) => key.as_str().to_owned(),
                _ => {
                    return Err(ProblemKind::Type(
                        "The keys of a map must be texts: convert other values with str(...).",
                    ));
                }
            };
            let value = self.member(value)?;
            self.budget.charge_build(size_of::<(String, Data)>() + key.len())?;
            self.budget.charge_items(fields.len())?;
            // As in Python, a repeated key replaces the value and keeps its place in the order.
            match fields.iter_mut().find(|(present, _)| *present == key) {
                Some((_, present)) => *present = value,
                None => fields.push((key, value)),
            }
        }
        Ok(Operand::Owned(Data::Map(fields)))
    }

    /// The value of an item or a field. Bytes are refused: no document can hold them.
    fn member(&mut self, expr: &'a Expr) -> Result<Data, ProblemKind> {
        match self.evaluate(expr)? {
            Data::Bytes(_) => Err(ProblemKind::Binary),
            data => Ok(data),
        }
    }

    fn format(&mut self, pieces: &'a [Piece]) -> Evaluated<'a> {
        let mut to = Writer::default();
        for piece in pieces {
            self.piece(piece, &mut to)?;
        }
        Ok(Operand::Owned(Data::Text(to.finish())))
    }

    fn piece(&mut self, piece: &'a Piece, to: &mut Writer) -> Result<(), ProblemKind> {
        let (value, conversion, spec) = match piece {
            Piece::Text(text) => return to.push(text, self.budget),
            Piece::Value { value, conversion, spec } => (value, *conversion, spec),
        };
        let value = self.eval(value)?;
        let value = match conversion {
            None => value,
            Some(conversion) => {
                let mut converted = Writer::default();
                match conversion {
                    Conversion::Str => write_str(value.get(), &mut converted, self.budget)?,
                    Conversion::Repr => write_repr(value.get(), false, &mut converted, self.budget)?,
                    Conversion::Ascii => write_repr(value.get(), true, &mut converted, self.budget)?,
                }
                Operand::Owned(Data::Text(converted.finish()))
            }
        };
        let mut spec_text = Writer::default();
        for piece in spec {
            self.piece(piece, &mut spec_text)?;
        }
        write_formatted(value.get(), &spec_text.finish(), to, self.budget)
    }

    fn call(&mut self, function: super::grammar::Function, arguments: &'a [Expr]) -> Evaluated<'a> {
        let arguments = self.all(arguments)?;
        let arguments: Vec<_> = arguments.iter().map(Operand::get).collect();
        function::call(function, &arguments, self.budget).map(Operand::Owned)
    }
}
