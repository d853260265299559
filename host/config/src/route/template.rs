//! Texts with variables in them, such as `https://www.example.com${path}`.

use crate::value::{Parsed, nearest};

/// A text with variables in it.
///
/// `${name}` is a variable, `$1` or `${1}` what a group of the route's `match` has captured, and `$$` a dollar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

/// A piece of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// A text as it stands.
    Text(String),
    /// What a variable stands for.
    Variable(Variable),
    /// What a group has captured, by its number from 1 to 9.
    Capture(usize),
}

/// A variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variable {
    /// The client's address.
    ClientAddress,
    /// The client's port.
    ClientPort,
    /// The host that the client asked for, without its port.
    Host,
    /// The same with the port, where the client wrote one.
    Authority,
    /// `http` or `https`, as the client came.
    Scheme,
    /// The method.
    Method,
    /// The path as the client wrote it.
    Path,
    /// The query, without its question mark; empty without one.
    Query,
    /// `${?query}`: the query with its question mark; nothing without one.
    QuestionQuery,
    /// What the route is called.
    Route,
    /// The balancer's name.
    Balancer,
    /// The member's URL.
    Member,
    /// The member's route; empty without one.
    MemberRoute,
    /// The version of TLS that the client speaks, such as `TLSv1.3`; empty without TLS.
    TlsVersion,
    /// The cipher suite by its IANA name; empty without TLS.
    TlsCipher,
    /// 32 hexadecimal digits that are the request's own.
    RequestId,
}

/// All variables; those at the end are known once a member is chosen.
const VARIABLES: &[(&str, Variable)] = &[
    ("client-address", Variable::ClientAddress),
    ("client-port", Variable::ClientPort),
    ("host", Variable::Host),
    ("authority", Variable::Authority),
    ("scheme", Variable::Scheme),
    ("method", Variable::Method),
    ("path", Variable::Path),
    ("query", Variable::Query),
    ("?query", Variable::QuestionQuery),
    ("route", Variable::Route),
    ("tls-version", Variable::TlsVersion),
    ("tls-cipher", Variable::TlsCipher),
    ("request-id", Variable::RequestId),
    ("balancer", Variable::Balancer),
    ("member", Variable::Member),
    ("member-route", Variable::MemberRoute),
];

/// How many of them are known once a member is chosen.
const OF_MEMBERS: usize = 3;

/// What may stand in a template.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Scope {
    /// Whether variables may, besides those of members.
    pub(super) variables: bool,
    /// Whether the variables of members may, too.
    pub(super) member: bool,
    /// How many groups the route's `match` captures; `None` where captures have no place.
    pub(super) captures: Option<usize>,
}

impl Template {
    /// A text as it is written.
    pub(super) fn parse(text: &str, scope: &Scope) -> Parsed<Self> {
        let (mut pieces, mut literal) = (Vec::new(), String::new());
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('$') {
            literal.push_str(before);
            if let Some(behind) = behind.strip_prefix('$') {
                literal.push('$');
                rest = behind;
                continue;
            }
            let (piece, behind) = piece(behind, scope)?;
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
            }
            pieces.push(piece);
            rest = behind;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Ok(Self(pieces))
    }

    /// Its pieces in their order.
    pub fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// The text with this in place of everything that is no text.
    pub(super) fn filled(&self, with: &str) -> String {
        let pieces = self.0.iter().map(|piece| match piece {
            Piece::Text(text) => text,
            Piece::Variable(_) | Piece::Capture(_) => with,
        });
        pieces.collect()
    }
}

/// The piece that begins behind a dollar, and the text behind it.
fn piece<'text>(text: &'text str, scope: &Scope) -> Parsed<(Piece, &'text str)> {
    if let Some(digit) = text.chars().next().and_then(|it| it.to_digit(10)) {
        return Ok((capture(digit as usize, scope)?, &text[1..]));
    }
    let name = text.strip_prefix('{').and_then(|text| text.split_once('}'));
    let Some((name, behind)) = name else {
        return Err(format!(
            "has a `$` that begins no variable: write `$$` for a dollar{}",
            known(scope)
        ));
    };
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) {
        let number = name.parse().unwrap_or(usize::MAX);
        return Ok((capture(number, scope)?, behind));
    }
    let mut variables = variables(scope).iter();
    let variable = variables.find(|(known, _)| *known == name);
    let (_, variable) = variable.ok_or_else(|| unknown(name, scope))?;
    Ok((Piece::Variable(*variable), behind))
}

fn capture(number: usize, scope: &Scope) -> Parsed<Piece> {
    match scope.captures {
        None => Err(format!(
            "has `${number}`, which stands for a part of the path by `match`, and only in `member-path` and `redirect`; write `$$` for a dollar"
        )),
        Some(0) => Err(format!(
            "has `${number}`, but there is no group in parentheses in `match`"
        )),
        Some(groups) if !(1..=groups.min(9)).contains(&number) => {
            let most = groups.min(9);
            Err(format!(
                "has `${number}`: must be from $1 to ${most}, the groups of `match`"
            ))
        }
        Some(_) => Ok(Piece::Capture(number)),
    }
}

/// The variables that there are.
fn variables(scope: &Scope) -> &'static [(&'static str, Variable)] {
    match (scope.variables, scope.member) {
        (false, _) => &[],
        (true, false) => &VARIABLES[..VARIABLES.len() - OF_MEMBERS],
        (true, true) => VARIABLES,
    }
}

fn unknown(name: &str, scope: &Scope) -> String {
    let names: Vec<_> = variables(scope).iter().map(|(name, _)| *name).collect();
    let shown = crate::collector::shorten(name);
    if let Some(near) = nearest(name, &names) {
        return format!("has the unknown variable `${{{shown}}}`; did you mean `${{{near}}}`?");
    }
    let is_of_members = VARIABLES.iter().any(|(known, _)| *known == name) && scope.variables;
    let why = match is_of_members {
        true => ", which is known only where a member is asked",
        false => "",
    };
    format!(
        "has the unknown variable `${{{shown}}}`{why}{}",
        known(scope)
    )
}

/// What there is instead.
fn known(scope: &Scope) -> String {
    let names = variables(scope).iter();
    let names: Vec<_> = names.map(|(name, _)| format!("${{{name}}}")).collect();
    match names.is_empty() {
        true => String::new(),
        false => format!("; the variables here are {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Scope = Scope {
        variables: true,
        member: true,
        captures: Some(2),
    };

    fn text(text: &str) -> Piece {
        Piece::Text(text.to_owned())
    }

    #[test]
    fn a_text_is_taken_into_its_pieces() {
        let table = [
            ("", vec![]),
            ("plain", vec![text("plain")]),
            ("$$5 $$$$", vec![text("$5 $$")]),
            ("$1$2", vec![Piece::Capture(1), Piece::Capture(2)]),
            ("a${1}0", vec![text("a"), Piece::Capture(1), text("0")]),
            (
                "x${host}${?query}",
                vec![
                    text("x"),
                    Piece::Variable(Variable::Host),
                    Piece::Variable(Variable::QuestionQuery),
                ],
            ),
            (
                "$$${member}",
                vec![text("$"), Piece::Variable(Variable::Member)],
            ),
        ];
        for (written, pieces) in table {
            assert_eq!(
                Template::parse(written, &ALL),
                Ok(Template(pieces)),
                "{written}"
            );
        }
    }

    #[test]
    fn what_is_no_variable_is_told_with_those_that_there_are() {
        let no_member = Scope {
            member: false,
            ..ALL
        };
        let nothing = Scope::default();
        let table = [
            (
                "$",
                ALL,
                "write `$$` for a dollar; the variables here are ${client-address}, ",
            ),
            ("${host", ALL, "begins no variable"),
            ("a $ b", ALL, "begins no variable"),
            ("${hots}", ALL, "did you mean `${host}`?"),
            (
                "${remote_user}",
                ALL,
                "unknown variable `${remote_user}`; the variables here are",
            ),
            (
                "${member}",
                no_member,
                "which is known only where a member is asked",
            ),
            ("${host}", nothing, "unknown variable `${host}`"),
            ("$3", ALL, "must be from $1 to $2"),
            ("$0", ALL, "must be from $1 to $2"),
            ("${12}", ALL, "must be from $1 to $2"),
            ("$1", nothing, "only in `member-path` and `redirect`"),
            (
                "$1",
                Scope {
                    captures: Some(0),
                    ..ALL
                },
                "no group in parentheses",
            ),
        ];
        for (written, scope, remedy) in table {
            let told = Template::parse(written, &scope).unwrap_err();
            assert!(told.contains(remedy), "{written}: {told}");
        }
    }
}
