//! Values of fields with variables in them: `${client_ip}`.

use std::fmt;

use http::HeaderValue;
use schemars::JsonSchema;

use crate::nearest::nearest;
use crate::shape;
use crate::wrong::Wrong;

/// The value of a field, in which variables stand for what is known of the request.
#[derive(Clone, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String", transform = shape::text("field value", r"^[^\r\n]*$"))]
pub struct Template {
    pieces: Vec<Piece<Variable>>,
    /// The value, where it has no variable.
    plain: Option<HeaderValue>,
}

/// A part of a text with variables in it, of which there are these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece<V> {
    /// Text as it stands.
    Text(String),
    /// What is known of the request.
    Variable(V),
}

/// What of a request a value may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// The client's address.
    ClientIp,
    /// The Host, as the client wrote it.
    Host,
    /// `http` or `https`.
    Scheme,
    /// The path and query, as the client wrote them.
    Target,
    /// The site's id.
    Site,
    /// The edge's id.
    Edge,
}

impl Variable {
    const ALL: [(&'static str, Self); 6] = [
        ("client_ip", Self::ClientIp),
        ("host", Self::Host),
        ("scheme", Self::Scheme),
        ("target", Self::Target),
        ("site", Self::Site),
        ("edge", Self::Edge),
    ];

    fn parse(name: &str) -> Result<Self, Wrong> {
        named(name, &Self::ALL)
            .ok_or_else(|| Wrong::new(format!("there is no variable `{name}`")).help(instead_of(name, &Self::ALL)))
    }
}

impl Template {
    /// Reads a value; `${name}` is a variable, and there is no other use of `${`.
    ///
    /// # Errors
    /// It is no value of a field, or names no variable.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let wrong = |_| Wrong::new("this is not a header value").help("visible characters in one line");
        let value = HeaderValue::from_str(text).map_err(wrong)?;
        let pieces = pieces(text, Variable::parse)?;
        let plain = Some(value).filter(|_| matches!(&*pieces, [Piece::Text(_)]));
        Ok(Self { pieces, plain })
    }

    /// The value, where it has no variable.
    #[must_use]
    pub fn plain(&self) -> Option<&HeaderValue> {
        self.plain.as_ref()
    }

    /// Its parts, in order; at least one.
    #[must_use]
    pub fn pieces(&self) -> &[Piece<Variable>] {
        &self.pieces
    }

    /// Whether this variable is in it.
    #[must_use]
    pub fn names(&self, variable: Variable) -> bool {
        self.pieces.contains(&Piece::Variable(variable))
    }
}

/// What a table has by this name.
pub(crate) fn named<V: Copy>(name: &str, all: &[(&str, V)]) -> Option<V> {
    all.iter().find(|(known, _)| *known == name).map(|(_, variable)| *variable)
}

/// What may be written in place of a name that a table does not have.
pub(crate) fn instead_of<V>(name: &str, all: &[(&str, V)]) -> String {
    let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    let near = nearest(name, names.iter().copied()).map(|near| format!("did you mean `${{{near}}}`? "));
    format!("{}known: {}", near.unwrap_or_default(), names.join(", "))
}

/// Takes a text with variables apart, at least into one piece; `parse` knows their names.
///
/// # Errors
/// A variable has no end, or no such name is known.
pub(crate) fn pieces<V>(text: &str, parse: impl Fn(&str) -> Result<V, Wrong>) -> Result<Vec<Piece<V>>, Wrong> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let open = || Wrong::new("a variable has no end").help("as in \"${client_ip}\"");
        let (name, after) = after.split_once('}').ok_or_else(open)?;
        pieces.extend((!before.is_empty()).then(|| Piece::Text(before.to_owned())));
        pieces.push(Piece::Variable(parse(name)?));
        rest = after;
    }
    if !rest.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => f.write_str(text)?,
                Piece::Variable(variable) => write!(f, "${{{variable:?}}}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_text_and_variables() {
        let text = |text: &str| Piece::<Variable>::Text(text.to_owned());
        let client = Piece::Variable(Variable::ClientIp);
        for (value, pieces) in [
            ("shop", vec![text("shop")]),
            ("", vec![text("")]),
            ("for=${client_ip};by=${edge}", vec![text("for="), client, text(";by="), Piece::Variable(Variable::Edge)]),
        ] {
            assert_eq!(Template::parse(value).unwrap().pieces(), pieces, "{value}");
        }
        for (value, help) in
            [("${clientip}", "did you mean `${client_ip}`?"), ("${host", "as in"), ("a\nb", "one line")]
        {
            let wrong = Template::parse(value).unwrap_err();
            assert!(wrong.help.as_deref().unwrap_or_default().contains(help), "{wrong:?}");
        }
    }
}
