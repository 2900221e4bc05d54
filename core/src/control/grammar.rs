//! From tokens to a [`Statement`]. The first token decides at every choice, so the furthest mismatch is the error,
//! and the union of what was tried there is what was expected.

use super::lexer::{self, Token, TokenKind};
use super::{NumberText, PartnerOption, SYNTAX_ERROR, Statement, TimeoutValue, WitnessOption, sql_error};
use crate::io::SqlError;
use crate::types::Safety;
use std::fmt;
use winnow::combinator::{alt, eof, opt, preceded};
use winnow::error::{AddContext, ParserError};
use winnow::prelude::*;
use winnow::stream::{Stream, TokenSlice};
use winnow::token::any;

/// A text that is no control statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Byte offset of the token that does not fit; the end of the last token when one is missing.
    pub position: u32,
    /// Its line, from 1.
    pub line: u32,
    /// Its column in characters, from 1.
    pub column: u32,
    /// What would have fitted there.
    pub expected: Vec<&'static str>,
    /// What stands there.
    pub found: String,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: expected ", self.line, self.column)?;
        for (i, expected) in self.expected.iter().enumerate() {
            let separator = match i {
                0 => "",
                _ if i + 1 == self.expected.len() => " or ",
                _ => ", ",
            };
            write!(f, "{separator}{expected}")?;
        }
        write!(f, ", found {}", self.found)
    }
}

impl std::error::Error for SyntaxError {}

impl From<SyntaxError> for SqlError {
    fn from(error: SyntaxError) -> Self {
        SqlError { position: Some(error.position), ..sql_error(SYNTAX_ERROR) }
    }
}

/// See [`super::parse_detailed`].
pub(super) fn parse(sql: &str) -> Result<Statement, SyntaxError> {
    let tokens = lexer::tokens(sql);
    statement.parse_next(&mut TokenSlice::new(&tokens)).map_err(|error| error.locate(sql, &tokens))
}

type Tokens<'t> = TokenSlice<'t, Token>;
type Parsed<T> = Result<T, Mismatch>;

fn statement(input: &mut Tokens<'_>) -> Parsed<Statement> {
    /// Whose options follow.
    #[derive(Clone)]
    enum Subject {
        Partner,
        Witness,
    }
    /// Which statement it is.
    #[derive(Clone)]
    enum Verb {
        Alter,
        Restore,
    }
    let verb = alt((keyword("ALTER").value(Verb::Alter), keyword("RESTORE").value(Verb::Restore)))
        .parse_next(input)?;
    let database = preceded(keyword("DATABASE"), name).parse_next(input)?;
    if let Verb::Restore = verb {
        (keyword("WITH"), keyword("RECOVERY")).parse_next(input)?;
        ended(input)?;
        return Ok(Statement::Recover { database });
    }
    keyword("SET").parse_next(input)?;
    let subject =
        alt((keyword("PARTNER").value(Subject::Partner), keyword("WITNESS").value(Subject::Witness)))
            .parse_next(input)?;
    let statement = match subject {
        Subject::Partner => Statement::SetPartner { database, option: partner_option(input)? },
        Subject::Witness => Statement::SetWitness { database, option: witness_option(input)? },
    };
    ended(input)?;
    Ok(statement)
}

/// One semicolon if wanted, and nothing more.
fn ended(input: &mut Tokens<'_>) -> Parsed<()> {
    alt((symbol(';', "';'"), end)).parse_next(input)?;
    end.parse_next(input)
}

fn partner_option(input: &mut Tokens<'_>) -> Parsed<PartnerOption> {
    alt((
        address.map(PartnerOption::Address),
        keyword("FAILOVER").value(PartnerOption::Failover),
        keyword("FORCE_SERVICE_ALLOW_DATA_LOSS").value(PartnerOption::ForceServiceAllowDataLoss),
        keyword("OFF").value(PartnerOption::Off),
        keyword("RESUME").value(PartnerOption::Resume),
        preceded(keyword("SAFETY"), safety).map(PartnerOption::Safety),
        keyword("SUSPEND").value(PartnerOption::Suspend),
        preceded(keyword("TIMEOUT"), timeout).map(PartnerOption::Timeout),
    ))
    .parse_next(input)
}

fn witness_option(input: &mut Tokens<'_>) -> Parsed<WitnessOption> {
    alt((address.map(WitnessOption::Address), keyword("OFF").value(WitnessOption::Off))).parse_next(input)
}

fn address(input: &mut Tokens<'_>) -> Parsed<String> {
    let text = token("an address in single quotes", |kind| {
        if let TokenKind::Text(text) = kind { Some(text.clone()) } else { None }
    });
    preceded(symbol('=', "'='"), text).parse_next(input)
}

fn safety(input: &mut Tokens<'_>) -> Parsed<Safety> {
    alt((keyword("FULL").value(Safety::Full), keyword("OFF").value(Safety::Off))).parse_next(input)
}

/// A number of any kind and sign; [`TimeoutValue::seconds`] judges it. [OQ-34]
fn timeout(input: &mut Tokens<'_>) -> Parsed<TimeoutValue> {
    let sign = opt(alt((symbol('-', "'-'").value("-"), symbol('+', "'+'").value(""))))
        .map(Option::unwrap_or_default);
    let number = token("a number of seconds", |kind| {
        if let TokenKind::Number(number) = kind { Some(number.clone()) } else { None }
    });
    let text = (sign, number).map(|(sign, number)| format!("{sign}{number}"));
    text.map(|text| match text.parse() {
        Ok(n) => TimeoutValue::Integer(n),
        Err(_) => TimeoutValue::Other(NumberText(text)),
    })
    .parse_next(input)
}

/// A database name: any in brackets or quotes that is not empty, or a plain one that is no reserved word.
fn name(input: &mut Tokens<'_>) -> Parsed<String> {
    token("a database name", |kind| match kind {
        TokenKind::Word(name) => (!lexer::is_reserved(name)).then(|| name.clone()),
        TokenKind::Delimited(name) => (!name.is_empty()).then(|| name.clone()),
        TokenKind::Text(_) | TokenKind::Number(_) | TokenKind::Unknown(_) | TokenKind::Unterminated(_) => {
            None
        }
    })
    .parse_next(input)
}

fn keyword<'t>(keyword: &'static str) -> impl Parser<Tokens<'t>, (), Mismatch> {
    token(keyword, move |kind| {
        matches!(kind, TokenKind::Word(word) if word.eq_ignore_ascii_case(keyword)).then_some(())
    })
}

fn symbol<'t>(symbol: char, expected: &'static str) -> impl Parser<Tokens<'t>, (), Mismatch> {
    token(expected, move |kind| (*kind == TokenKind::Unknown(symbol)).then_some(()))
}

fn end(input: &mut Tokens<'_>) -> Parsed<()> {
    eof.void().context("the end of the statement").parse_next(input)
}

/// One token that `read` can use; otherwise `expected` says what was wanted.
fn token<'t, T>(
    expected: &'static str,
    mut read: impl FnMut(&TokenKind) -> Option<T>,
) -> impl Parser<Tokens<'t>, T, Mismatch> {
    any.verify_map(move |token: &Token| read(&token.kind)).context(expected)
}

/// Where the tokens stopped to fit.
#[derive(Debug)]
struct Mismatch {
    /// Tokens from there to the end.
    tokens_left: usize,
    /// What was tried there.
    expected: Vec<&'static str>,
}

impl<'t> ParserError<Tokens<'t>> for Mismatch {
    type Inner = Self;

    fn from_input(input: &Tokens<'t>) -> Self {
        Mismatch { tokens_left: input.eof_offset(), expected: Vec::new() }
    }

    /// Of two branches the one that came further tells what was wrong.
    fn or(mut self, other: Self) -> Self {
        match self.tokens_left.cmp(&other.tokens_left) {
            std::cmp::Ordering::Less => self,
            std::cmp::Ordering::Greater => other,
            std::cmp::Ordering::Equal => {
                self.expected.extend(other.expected);
                self
            }
        }
    }

    fn into_inner(self) -> Result<Self, Self> {
        Ok(self)
    }
}

impl<'t> AddContext<Tokens<'t>, &'static str> for Mismatch {
    fn add_context(
        mut self,
        _: &Tokens<'t>,
        _: &<Tokens<'t> as Stream>::Checkpoint,
        expected: &'static str,
    ) -> Self {
        self.expected.push(expected);
        self
    }
}

impl Mismatch {
    fn locate(self, sql: &str, tokens: &[Token]) -> SyntaxError {
        let (position, found) = match tokens.get(tokens.len() - self.tokens_left) {
            Some(token) => (token.span.start, describe(sql, token)),
            None => (tokens.last().map_or(0, |token| token.span.end), "the end of the statement".to_owned()),
        };
        let before = &sql[..position];
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count());
        SyntaxError {
            position: saturate(position),
            line: saturate(before.matches('\n').count() + 1),
            column: saturate(column + 1),
            expected: self.expected,
            found,
        }
    }
}

/// A token as an error message shows it.
fn describe(sql: &str, token: &Token) -> String {
    /// Longest excerpt in characters.
    const SHOWN: usize = 40;
    match &token.kind {
        TokenKind::Unterminated(what) => (*what).to_owned(),
        TokenKind::Word(_)
        | TokenKind::Delimited(_)
        | TokenKind::Text(_)
        | TokenKind::Number(_)
        | TokenKind::Unknown(_) => {
            let text = &sql[token.span.clone()];
            match text.char_indices().nth(SHOWN) {
                Some((cut, _)) => format!("`{}…`", &text[..cut]),
                None => format!("`{text}`"),
            }
        }
    }
}

/// Offsets beyond four gigabytes all look alike.
fn saturate(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
