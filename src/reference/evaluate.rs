use super::budget::{Budget, Writer};
use super::format::write_formatted;
use super::function;
use super::grammar::{Arithmetic, Comparison, Conversion, Expr, Piece};
use super::operate::{arithmetic, contains, equal, minus, order, plus, truth};
use super::percent::{Values, write_percent};
use super::slice::slice;
use super::text::{write_repr, write_str};
use super::{Data, ProblemKind};
use crate::domain::SecretName;

/// Where expressions look secrets up.
pub trait Secrets {
    /// The secret's value, a text or bytes; or that there is no such secret, or that its value can not be read now. Asked
    /// only while evaluating, and only for what the evaluation reaches.
    fn value(&self, name: &SecretName) -> Result<Data, ProblemKind>;
}

/// What an expression sees, and what it may cost.
pub(super) struct Evaluator<'a> {
    /// `input` and `_`.
    pub(super) input: Option<&'a Data>,
    /// `inputs`.
    pub(super) inputs: &'a Data,
    pub(super) secrets: &'a dyn Secrets,
    pub(super) budget: &'a mut Budget,
}

/// A value while it is computed: the inputs and the constants are not copied to be looked at.
enum Val<'a> {
    Ref(&'a Data),
    Own(Data),
}

impl Val<'_> {
    fn get(&self) -> &Data {
        match self {
            Self::Ref(data) => data,
            Self::Own(data) => data,
        }
    }
}

type Evaluated<'a> = Result<Val<'a>, ProblemKind>;

impl<'a> Evaluator<'a> {
    /// The value of an expression.
    pub(super) fn evaluate(&mut self, expr: &'a Expr) -> Result<Data, ProblemKind> {
        let value = self.eval(expr)?;
        self.own(value)
    }

    // Each arm is a call: what this function had on the stack would be there for every level of an expression.
    fn eval(&mut self, expr: &'a Expr) -> Evaluated<'a> {
        self.budget.read(0)?;
        match expr {
            Expr::Constant(data) => Ok(Val::Ref(data)),
            Expr::Input => self.input.map(Val::Ref).ok_or(ProblemKind::NoInput),
            Expr::Inputs => Ok(Val::Ref(self.inputs)),
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

    /// The value itself, copied where it stands elsewhere.
    fn own(&mut self, value: Val<'a>) -> Result<Data, ProblemKind> {
        match value {
            Val::Own(data) => Ok(data),
            Val::Ref(data) => {
                self.budget.build(data.size())?;
                Ok(data.copy())
            }
        }
    }

    fn secret(&mut self, name: &SecretName) -> Evaluated<'a> {
        let data = self.secrets.value(name)?;
        self.budget.build(data.size())?;
        Ok(Val::Own(data))
    }

    fn secret_or(&mut self, name: &SecretName, default: &'a Expr) -> Evaluated<'a> {
        match self.secret(name) {
            Err(ProblemKind::MissingSecret(_)) => self.eval(default),
            found => found,
        }
    }

    fn field(&mut self, map: &'a Expr, name: &str) -> Evaluated<'a> {
        let value = self.eval(map)?;
        match value.get() {
            Data::Map(_) => self.look_up(value, name),
            Data::Bytes(_) => Err(ProblemKind::Binary),
            _ => Err(ProblemKind::refused_identifier(
                "a field of a value that is not a map:",
                name,
                "Only maps have fields; a method has to be called.",
            )),
        }
    }

    fn look_up(&mut self, map: Val<'a>, name: &str) -> Evaluated<'a> {
        const NONE: ProblemKind = ProblemKind::Value(
            "The map has no such field: correct its name, or ask with `in` whether it is there.",
        );
        match map {
            Val::Ref(map) => {
                if let Data::Map(fields) = map {
                    self.budget.scan(fields.len())?;
                }
                map.field(name).map(Val::Ref).ok_or(NONE)
            }
            Val::Own(Data::Map(fields)) => {
                let found = fields.into_iter().find(|(key, _)| key == name);
                found.map(|(_, value)| Val::Own(value)).ok_or(NONE)
            }
            Val::Own(_) => Err(NONE),
        }
    }

    fn item(&mut self, container: &'a Expr, index: &'a Expr) -> Evaluated<'a> {
        let container = self.eval(container)?;
        let index = self.eval(index)?;
        let at = match (container.get(), index.get()) {
            (Data::Bytes(_), _) | (_, Data::Bytes(_)) => return Err(ProblemKind::Binary),
            (Data::Map(_), Data::Text(name)) => return self.look_up(container, name),
            (Data::Map(_), _) => return Err(ProblemKind::Type("The fields of a map are named by texts.")),
            (Data::List(_) | Data::Text(_), Data::Int(at)) => *at,
            (Data::List(_) | Data::Text(_), Data::Bool(at)) => i64::from(*at),
            (Data::List(_) | Data::Text(_), _) => {
                return Err(ProblemKind::Type("The index of a list or a text is a whole number."));
            }
            _ => return Err(ProblemKind::Type("Only maps, lists and texts can be indexed.")),
        };
        self.nth(container, at)
    }

    fn nth(&mut self, container: Val<'a>, at: i64) -> Evaluated<'a> {
        const NONE: ProblemKind = ProblemKind::Value("The index is outside of the list or text.");
        if let Data::Text(text) = container.get() {
            self.budget.read(text.len())?;
            let from_start = usize::try_from(at).ok();
            let from_end = usize::try_from(at.unsigned_abs()).unwrap_or(usize::MAX);
            let found = match from_start {
                Some(at) => text.chars().nth(at),
                None => text.chars().nth_back(from_end - 1),
            };
            let found = found.ok_or(NONE)?;
            self.budget.build(found.len_utf8())?;
            return Ok(Val::Own(Data::text(found)));
        }
        let position = |length: usize| {
            let length = i64::try_from(length).unwrap_or(i64::MAX);
            usize::try_from(if at < 0 { at + length } else { at }).map_err(|_| NONE)
        };
        match container {
            Val::Ref(Data::List(items)) => items.get(position(items.len())?).map(Val::Ref).ok_or(NONE),
            Val::Own(Data::List(items)) => {
                let at = position(items.len())?;
                items.into_iter().nth(at).map(Val::Own).ok_or(NONE)
            }
            _ => Err(NONE),
        }
    }

    fn slice(&mut self, value: &'a Expr, bounds: &'a [Option<Expr>; 3]) -> Evaluated<'a> {
        let value = self.eval(value)?;
        let mut numbers = [None; 3];
        for (number, bound) in numbers.iter_mut().zip(bounds) {
            let Some(bound) = bound else { continue };
            *number = match self.eval(bound)?.get() {
                Data::Null => None,
                Data::Int(int) => Some(*int),
                Data::Bool(bool) => Some(i64::from(*bool)),
                _ => return Err(ProblemKind::Type("The bounds of a slice are whole numbers.")),
            };
        }
        slice(value.get(), numbers, self.budget).map(Val::Own)
    }

    fn not(&mut self, value: &'a Expr) -> Evaluated<'a> {
        let value = self.eval(value)?;
        Ok(Val::Own(Data::Bool(!truth(value.get())?)))
    }

    fn sign(&mut self, value: &'a Expr, sign: fn(&Data) -> Result<Data, ProblemKind>) -> Evaluated<'a> {
        let value = self.eval(value)?;
        sign(value.get()).map(Val::Own)
    }

    fn arithmetic(&mut self, operator: Arithmetic, left: &'a Expr, right: &'a Expr) -> Evaluated<'a> {
        let left = self.eval(left)?;
        let right = self.eval(right)?;
        match left.get() {
            Data::Text(text) if operator == Arithmetic::Modulo => {
                let mut to = Writer::default();
                write_percent(text, &Values::One(right.get()), &mut to, self.budget)?;
                Ok(Val::Own(Data::Text(to.finish())))
            }
            left => arithmetic(operator, left, right.get(), self.budget).map(Val::Own),
        }
    }

    fn percent(&mut self, text: &'a Expr, values: &'a [Expr]) -> Evaluated<'a> {
        let text = self.eval(text)?;
        let values = self.all(values)?;
        let Data::Text(text) = text.get() else {
            return Err(ProblemKind::Type("The operator `%` needs a text before values in parentheses."));
        };
        let values: Vec<_> = values.iter().map(Val::get).collect();
        let mut to = Writer::default();
        write_percent(text, &Values::Tuple(&values), &mut to, self.budget)?;
        Ok(Val::Own(Data::Text(to.finish())))
    }

    fn all(&mut self, exprs: &'a [Expr]) -> Result<Vec<Val<'a>>, ProblemKind> {
        exprs.iter().map(|expr| self.eval(expr)).collect()
    }

    /// `and` and `or`: the first value that is so true, or the last.
    fn first(&mut self, values: &'a [Expr], wanted: bool) -> Evaluated<'a> {
        let mut last = Val::Own(Data::Null);
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
                return Ok(Val::Own(Data::Bool(false)));
            }
            left = right;
        }
        Ok(Val::Own(Data::Bool(true)))
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
        self.budget.build(exprs.len() * size_of::<Data>())?;
        let mut items = Vec::with_capacity(exprs.len());
        for expr in exprs {
            items.push(self.member(expr)?);
        }
        Ok(Val::Own(Data::List(items)))
    }

    fn map(&mut self, exprs: &'a [(Expr, Expr)]) -> Evaluated<'a> {
        let mut fields: Vec<(String, Data)> = Vec::new();
        for (key, value) in exprs {
            let key = match self.member(key)? {
                Data::Text(key) => key.as_str().to_owned(),
                _ => return Err(ProblemKind::Type("The keys of a map are texts.")),
            };
            let value = self.member(value)?;
            self.budget.build(size_of::<(String, Data)>() + key.len())?;
            self.budget.scan(fields.len())?;
            // As in Python, a key that comes again changes the value and not the order.
            match fields.iter_mut().find(|(there, _)| *there == key) {
                Some((_, there)) => *there = value,
                None => fields.push((key, value)),
            }
        }
        Ok(Val::Own(Data::Map(fields)))
    }

    /// A value that becomes part of another, which bytes can not: no document can hold them.
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
        Ok(Val::Own(Data::Text(to.finish())))
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
                Val::Own(Data::Text(converted.finish()))
            }
        };
        let mut built = Writer::default();
        for piece in spec {
            self.piece(piece, &mut built)?;
        }
        write_formatted(value.get(), &built.finish(), to, self.budget)
    }

    fn call(&mut self, function: super::grammar::Function, arguments: &'a [Expr]) -> Evaluated<'a> {
        let arguments = self.all(arguments)?;
        let arguments: Vec<_> = arguments.iter().map(Val::get).collect();
        function::call(function, &arguments, self.budget).map(Val::Own)
    }
}
