//! Names, fields, secrets and calls.
//!
//! `secrets` is no value: it can only be followed by the name of one secret. So the secrets that an expression can read are
//! known before it is evaluated.

use ruff_python_ast as ast;

use super::super::grammar::{Expr, Function};
use super::super::unsupported::{FUNCTIONS, unknown_method};
use super::super::{Data, ProblemKind};
use super::tree::{Parsed, Tree};
use crate::domain::SecretName;

impl Tree<'_> {
    pub(super) fn name(&mut self, name: &str) -> Parsed {
        match name {
            "input" | "_" => Ok(Expr::Input),
            "inputs" => {
                self.parser.uses_inputs = true;
                Ok(Expr::Inputs)
            }
            "secrets" => {
                Err(ProblemKind::unsupported("`secrets` by itself", "Name one secret, as in secrets.NAME."))
            }
            _ => Err(ProblemKind::UnknownName),
        }
    }

    pub(super) fn attribute(&mut self, attribute: &ast::ExprAttribute) -> Parsed {
        let name = attribute.attr.as_str();
        if is_secrets(&attribute.value) {
            return Ok(Expr::Secret(self.secret(name)?));
        }
        Ok(Expr::Field(self.boxed(&attribute.value)?, name.into()))
    }

    pub(super) fn subscript(&mut self, subscript: &ast::ExprSubscript) -> Parsed {
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

    pub(super) fn call(&mut self, call: &ast::ExprCall) -> Parsed {
        let arguments = &call.arguments;
        if !arguments.keywords.is_empty() {
            return Err(ProblemKind::unsupported("a named argument", "Pass the argument by its position."));
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
                    .ok_or_else(|| ProblemKind::unsupported_named("the function", name, FUNCTIONS))?;
                (function, None)
            }
            _ => return Err(ProblemKind::unsupported("a call of a value", FUNCTIONS)),
        };
        let given = text.into_iter().chain(&arguments.args);
        if !function.arity().contains(&given.clone().count()) {
            return Err(ProblemKind::Type(
                "The function does not take this number of arguments: see docs/references.md.",
            ));
        }
        let last_of_join = if function == Function::Join { 1 } else { usize::MAX };
        let arguments = given.enumerate().map(|(at, argument)| {
            if at == last_of_join { self.list_or_tuple(argument) } else { self.expr(argument) }
        });
        Ok(Expr::Call(function, arguments.collect::<Result<_, _>>()?))
    }

    /// `secrets.get("NAME", default)`. Any other method of `secrets` is the name of a secret, which cannot be called.
    fn call_secrets(&mut self, method: &ast::ExprAttribute, call: &ast::ExprCall) -> Parsed {
        if method.attr.as_str() != "get" {
            return Err(ProblemKind::unsupported(
                "a call of a secret",
                "Write the secret's name without parentheses after it.",
            ));
        }
        match &*call.arguments.args {
            [name] => Ok(Expr::SecretOr(self.constant_secret(name)?, Box::new(Expr::Constant(Data::Null)))),
            [name, default] => Ok(Expr::SecretOr(self.constant_secret(name)?, self.boxed(default)?)),
            _ => Err(ProblemKind::Type("secrets.get takes a name and, optionally, a default.")),
        }
    }

    /// Notes that the expression names this secret.
    fn secret(&mut self, name: &str) -> Result<SecretName, ProblemKind> {
        let name = SecretName::parse(name).map_err(|_| ProblemKind::NotASecretName)?;
        self.parser.names.insert(name.clone());
        Ok(name)
    }

    /// The same, for a name that must be written as a text.
    fn constant_secret(&mut self, name: &ast::Expr) -> Result<SecretName, ProblemKind> {
        match name {
            ast::Expr::StringLiteral(text) => self.secret(text.value.to_str()),
            _ => Err(ProblemKind::unsupported(
                "a secret's name that is computed",
                "Write the name as a text, as in secrets[\"NAME\"].",
            )),
        }
    }
}

fn is_secrets(expr: &ast::Expr) -> bool {
    matches!(expr, ast::Expr::Name(name) if name.id.as_str() == "secrets")
}
