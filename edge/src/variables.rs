//! What values of fields may say of a request.

use std::net::IpAddr;

use config::{Piece, Template, Variable};
use http::HeaderValue;

/// What values of fields may say of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Variables<'a> {
    pub(crate) client: IpAddr,
    pub(crate) host: &'a str,
    pub(crate) scheme: &'a str,
    /// Path and query, as the client wrote them.
    pub(crate) target: &'a str,
    pub(crate) site: &'a str,
    pub(crate) edge: &'a str,
}

/// The value with its variables filled in; none where that is no field's value.
pub(crate) fn expand(template: &Template, variables: &Variables<'_>) -> Option<HeaderValue> {
    if let Some(value) = template.plain() {
        return Some(value.clone());
    }
    let mut value = String::new();
    for piece in template.pieces() {
        match piece {
            Piece::Text(text) => value.push_str(text),
            Piece::Variable(Variable::ClientIp) => value.push_str(&variables.client.to_canonical().to_string()),
            Piece::Variable(Variable::Host) => value.push_str(variables.host),
            Piece::Variable(Variable::Scheme) => value.push_str(variables.scheme),
            Piece::Variable(Variable::Target) => value.push_str(variables.target),
            Piece::Variable(Variable::Site) => value.push_str(variables.site),
            Piece::Variable(Variable::Edge) => value.push_str(variables.edge),
        }
    }
    HeaderValue::try_from(value).ok()
}
