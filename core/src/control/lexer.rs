//! From text to tokens. Total: every text is a sequence of tokens, and what is no token of T-SQL becomes a
//! [`TokenKind::Unknown`] or an unterminated one, which the grammar then refuses at its place.

use std::ops::Range;
use winnow::LocatingSlice;
use winnow::ascii::{digit0, digit1};
use winnow::combinator::{alt, opt, preceded, repeat, terminated};
use winnow::error::EmptyError;
use winnow::prelude::*;
use winnow::token::{any, none_of, one_of, rest, take_while};

/// A token and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub kind: TokenKind,
    /// Byte offsets in the text.
    pub span: Range<usize>,
}

/// What a token is; texts are without their quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A keyword or a plain name, as written.
    Word(String),
    /// A name in brackets or double quotes.
    Delimited(String),
    /// A string.
    Text(String),
    /// A number without sign, as written.
    Number(String),
    /// Any single character that begins nothing else, such as `=`.
    Unknown(char),
    /// Opened but never closed; reaches to the end of the text.
    Unterminated(&'static str),
}

type Source<'s> = LocatingSlice<&'s str>;
type Lexed<T> = Result<T, EmptyError>;

/// Reserved words of the accepted statements: names only in brackets or quotes.
const RESERVED: [&str; 4] = ["ALTER", "DATABASE", "SET", "OFF"];

/// The tokens of `sql`, without white space and comments.
pub(super) fn tokens(sql: &str) -> Vec<Token> {
    terminated(repeat(0.., preceded(gap, token)), gap)
        .parse(LocatingSlice::new(sql))
        .expect("every character is at least an unknown token")
}

/// Can the name stand without brackets?
pub(super) fn is_plain_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(begins_word) && chars.all(continues_word) && !is_reserved(name)
}

/// Is it one of the words that are no plain names?
pub(super) fn is_reserved(word: &str) -> bool {
    RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(word))
}

fn begins_word(c: char) -> bool {
    c.is_alphabetic() || matches!(c, '_' | '@' | '#')
}

fn continues_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '@' | '#' | '$')
}

fn token(input: &mut Source<'_>) -> Lexed<Token> {
    // Quotes before words, because N'…' is one token.
    alt((
        quoted,
        unterminated,
        word.map(TokenKind::Word),
        number.map(TokenKind::Number),
        any.map(TokenKind::Unknown),
    ))
    .with_span()
    .map(|(kind, span)| Token { kind, span })
    .parse_next(input)
}

fn quoted(input: &mut Source<'_>) -> Lexed<TokenKind> {
    alt((
        preceded(national, enclosed('\'', '\'')).map(TokenKind::Text),
        enclosed('[', ']').map(TokenKind::Delimited),
        enclosed('"', '"').map(TokenKind::Delimited),
    ))
    .parse_next(input)
}

/// What is opened here was not closed, or `quoted` and `gap` would have taken it.
fn unterminated(input: &mut Source<'_>) -> Lexed<TokenKind> {
    let what = alt((
        (national, '\'').value("a string without closing quote"),
        '['.value("a name without closing bracket"),
        '"'.value("a name without closing quote"),
        "/*".value("a comment without end"),
    ));
    terminated(what, rest).map(TokenKind::Unterminated).parse_next(input)
}

/// The prefix of a Unicode string, if any.
fn national(input: &mut Source<'_>) -> Lexed<()> {
    opt(one_of(['N', 'n'])).void().parse_next(input)
}

/// White space and comments, possibly none.
fn gap(input: &mut Source<'_>) -> Lexed<()> {
    repeat(0.., alt((take_while(1.., char::is_whitespace).void(), line_comment, block_comment)))
        .parse_next(input)
}

fn line_comment(input: &mut Source<'_>) -> Lexed<()> {
    ("--", take_while(0.., |c| c != '\n')).void().parse_next(input)
}

/// Comments nest. Counted rather than recursive, so that no text can exhaust the stack.
fn block_comment(input: &mut Source<'_>) -> Lexed<()> {
    "/*".parse_next(input)?;
    let mut depth = 1_i64;
    while depth > 0 {
        depth += alt(("/*".value(1), "*/".value(-1), any.value(0))).parse_next(input)?;
    }
    Ok(())
}

/// A text between two characters, in which the closing one is doubled.
fn enclosed<'s>(open: char, close: char) -> impl Parser<Source<'s>, String, EmptyError> {
    let inner = repeat(0.., alt((none_of(close), (close, close).value(close))));
    preceded(open, terminated(inner, close))
}

fn word(input: &mut Source<'_>) -> Lexed<String> {
    (one_of(begins_word), take_while(0.., continues_word)).take().map(str::to_owned).parse_next(input)
}

fn number(input: &mut Source<'_>) -> Lexed<String> {
    let mantissa = alt(((digit1, opt(('.', digit0))).void(), ('.', digit1).void()));
    let exponent = opt((one_of(['e', 'E']), opt(one_of(['+', '-'])), digit1));
    (mantissa, exponent).take().map(str::to_owned).parse_next(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(sql: &str) -> Vec<TokenKind> {
        tokens(sql).into_iter().map(|token| token.kind).collect()
    }

    #[test]
    fn comments_nest_and_separate() {
        let word = |w: &str| TokenKind::Word(w.into());
        assert_eq!(kinds("a/* /* ' */ -- */b--c */ /*\nd"), [word("a"), word("b"), word("d")]);
        assert_eq!(kinds("a /* /* */ b"), [word("a"), TokenKind::Unterminated("a comment without end")]);
        assert_eq!(kinds("-- nothing"), []);
    }

    #[test]
    fn closing_characters_are_doubled_inside() {
        assert_eq!(kinds("[a]]b]"), [TokenKind::Delimited("a]b".into())]);
        assert_eq!(kinds("\"a\"\"b\""), [TokenKind::Delimited("a\"b".into())]);
        assert_eq!(kinds("N'it''s'"), [TokenKind::Text("it's".into())]);
        assert_eq!(kinds("'--/*'"), [TokenKind::Text("--/*".into())]);
        assert_eq!(kinds("'it''"), [TokenKind::Unterminated("a string without closing quote")]);
    }

    #[test]
    fn numbers_end_where_words_begin() {
        let number = |n: &str| TokenKind::Number(n.into());
        for text in ["0", "007", "2.5", "2.", ".5", "1e3", "1E-3", "123456789012345678901234567890"] {
            assert_eq!(kinds(text), [number(text)]);
        }
        assert_eq!(kinds("10s"), [number("10"), TokenKind::Word("s".into())]);
        assert_eq!(kinds("-5"), [TokenKind::Unknown('-'), number("5")]);
    }

    #[test]
    fn spans_are_byte_offsets() {
        let spans: Vec<_> = tokens(" ä /**/ [é]=").into_iter().map(|token| token.span).collect();
        assert_eq!(spans, [1..3, 9..13, 13..14]);
    }

    #[test]
    fn plain_names_need_no_brackets() {
        for name in ["AdventureWorks2012", "_a", "#t$1", "@x", "Größe", "partner"] {
            assert!(is_plain_name(name), "{name}");
        }
        for name in ["", "1db", "$x", "a b", "a]b", "set", "Off", "a-b"] {
            assert!(!is_plain_name(name), "{name}");
        }
    }
}
