use super::*;
use proptest::prelude::*;

fn partner(option: PartnerOption) -> Statement {
    Statement::SetPartner { database: "AdventureWorks2012".into(), option }
}

fn witness(option: WitnessOption) -> Statement {
    Statement::SetWitness { database: "AdventureWorks2012".into(), option }
}

/// Every option with its canonical text.
fn examples() -> Vec<(&'static str, Statement)> {
    vec![
        (
            "ALTER DATABASE AdventureWorks2012 SET PARTNER = 'TCP://DBSERVER1:7022'",
            partner(PartnerOption::Address("TCP://DBSERVER1:7022".into())),
        ),
        ("ALTER DATABASE AdventureWorks2012 SET PARTNER FAILOVER", partner(PartnerOption::Failover)),
        (
            "ALTER DATABASE AdventureWorks2012 SET PARTNER FORCE_SERVICE_ALLOW_DATA_LOSS",
            partner(PartnerOption::ForceServiceAllowDataLoss),
        ),
        ("ALTER DATABASE AdventureWorks2012 SET PARTNER OFF", partner(PartnerOption::Off)),
        ("ALTER DATABASE AdventureWorks2012 SET PARTNER RESUME", partner(PartnerOption::Resume)),
        (
            "ALTER DATABASE AdventureWorks2012 SET PARTNER SAFETY FULL",
            partner(PartnerOption::Safety(Safety::Full)),
        ),
        (
            "ALTER DATABASE AdventureWorks2012 SET PARTNER SAFETY OFF",
            partner(PartnerOption::Safety(Safety::Off)),
        ),
        ("ALTER DATABASE AdventureWorks2012 SET PARTNER SUSPEND", partner(PartnerOption::Suspend)),
        (
            "ALTER DATABASE AdventureWorks2012 SET PARTNER TIMEOUT 10",
            partner(PartnerOption::Timeout(TimeoutValue::from(10))),
        ),
        (
            "ALTER DATABASE AdventureWorks2012 SET WITNESS = 'TCP://WITNESSHOST4:7022'",
            witness(WitnessOption::Address("TCP://WITNESSHOST4:7022".into())),
        ),
        ("ALTER DATABASE AdventureWorks2012 SET WITNESS OFF", witness(WitnessOption::Off)),
        (
            "RESTORE DATABASE AdventureWorks2012 WITH RECOVERY",
            Statement::Recover { database: "AdventureWorks2012".into() },
        ),
    ]
}

/// [C-40, C-50 … C-73]
#[test]
fn every_option_is_read_and_printed() {
    for (sql, statement) in examples() {
        assert_eq!(parse_detailed(sql).as_ref(), Ok(&statement), "{sql}");
        assert_eq!(statement.to_string(), sql);
        assert_eq!(statement.database(), "AdventureWorks2012");
    }
}

/// Keywords are case-insensitive, names and strings are kept; one semicolon may end the statement.
#[test]
fn letter_case_and_the_semicolon_do_not_matter() {
    for (sql, statement) in examples() {
        let swapped: String = sql
            .split_inclusive(' ')
            .map(|word| match word.trim_end() {
                "AdventureWorks2012" => word.to_owned(),
                text if text.starts_with('\'') => word.to_owned(),
                _ => word.to_lowercase(),
            })
            .collect();
        assert_eq!(parse(&swapped), Ok(statement.clone()), "{swapped}");
        assert_eq!(parse(&format!("{sql};")), Ok(statement.clone()));
        assert_eq!(parse(&format!("{sql} ; -- done")), Ok(statement));
    }
}

/// As the how-to pages lay them out, over several lines.
#[test]
fn statements_of_the_how_to_pages_are_read() {
    let cases = [
        (
            "-- Specify the partner\nALTER DATABASE AdventureWorks2012\n    SET PARTNER = \n    'TCP://DBSERVER5:7024';\n",
            0,
        ),
        ("ALTER DATABASE AdventureWorks2012 \r\n   SET WITNESS = \r\n   N'TCP://WITNESSHOST4:7022'", 1),
        ("alter/**/database/*x*/[AdventureWorks2012]set\tpartner='TCP://DBSERVER5:7024'", 0),
        ("ALTER DATABASE \"AdventureWorks2012\" SET PARTNER=N'TCP://DBSERVER5:7024'", 0),
    ];
    for (sql, which) in cases {
        let expected = [
            partner(PartnerOption::Address("TCP://DBSERVER5:7024".into())),
            witness(WitnessOption::Address("TCP://WITNESSHOST4:7022".into())),
        ];
        assert_eq!(parse_detailed(sql).as_ref(), Ok(&expected[which]), "{sql}");
    }
}

#[test]
fn names_are_plain_bracketed_or_quoted() {
    let cases = [
        ("db", "db", "db"),
        ("_a@#$9", "_a@#$9", "_a@#$9"),
        ("Größe", "Größe", "Größe"),
        ("[a b]", "a b", "[a b]"),
        ("[a]]b]", "a]b", "[a]]b]"),
        ("\"a\"\"b\"", "a\"b", "[a\"b]"),
        ("[off]", "off", "[off]"),
        ("[9]", "9", "[9]"),
        ("partner", "partner", "partner"),
        ("[--]", "--", "[--]"),
    ];
    for (written, database, canonical) in cases {
        let statement = parse(&format!("ALTER DATABASE {written} SET PARTNER OFF")).expect(written);
        assert_eq!(statement.database(), database);
        assert_eq!(statement.to_string(), format!("ALTER DATABASE {canonical} SET PARTNER OFF"));
    }
}

/// The address is judged by the session, after the checks that come before it. [NA-5]
#[test]
fn addresses_are_kept_as_written() {
    for (literal, text) in [("''", ""), ("'it''s'", "it's"), ("n'größe'", "größe")] {
        let expected = Ok(witness(WitnessOption::Address(text.into())));
        assert_eq!(parse(&format!("ALTER DATABASE AdventureWorks2012 SET WITNESS = {literal}")), expected);
    }
}

/// Any number is read; the session refuses the unsuitable ones by number. [C-66, OQ-34]
#[test]
fn timeouts_are_judged_after_parsing() {
    let cases = [
        ("0", Ok(0)),
        ("007", Ok(7)),
        ("+ 10", Ok(10)),
        ("-0", Ok(0)),
        ("32767", Ok(32_767)),
        ("32768", Err(1476)),
        ("65536", Err(1476)),
        ("2147483647", Err(1476)),
        ("2147483648", Err(1425)),
        ("99999999999999999999999999", Err(1425)),
        ("-1", Err(1425)),
        ("- /* minus */ 1", Err(1425)),
        ("-2147483648", Err(1425)),
        ("2.5", Err(1425)),
        ("10.0", Err(1425)),
        ("-.5", Err(1425)),
        ("1e1", Err(1425)),
    ];
    for (text, seconds) in cases {
        let statement =
            parse(&format!("ALTER DATABASE AdventureWorks2012 SET PARTNER TIMEOUT {text}")).expect(text);
        let Statement::SetPartner { option: PartnerOption::Timeout(value), .. } = &statement else {
            panic!("no time-out: {statement}");
        };
        assert_eq!(value.seconds(), seconds.map_err(sql_error), "{text}");
        assert_eq!(parse(&statement.to_string()).as_ref(), Ok(&statement), "{text}");
    }
}

/// The offending token is the one that `^` stands before; the rest of the message follows `|`.
#[test]
fn errors_tell_the_token_and_what_would_have_fitted() {
    let cases = [
        "^ | line 1, column 1: expected ALTER or RESTORE, found the end of the statement",
        "  -- nothing here | line 1, column 1: expected ALTER or RESTORE, found the end of the statement",
        "RESTORE DATABASE db^ | line 1, column 20: expected WITH, found the end of the statement",
        "ALTER ^TABLE t | line 1, column 7: expected DATABASE, found `TABLE`",
        "ALTER DATABASE ^SET PARTNER OFF | line 1, column 16: expected a database name, found `SET`",
        "ALTER DATABASE ^[] SET PARTNER OFF | line 1, column 16: expected a database name, found `[]`",
        "ALTER DATABASE ^1db SET PARTNER OFF | line 1, column 16: expected a database name, found `1`",
        "ALTER DATABASE ^'db' SET PARTNER OFF | line 1, column 16: expected a database name, found `'db'`",
        "ALTER DATABASE db ^MODIFY NAME = x | line 1, column 19: expected SET, found `MODIFY`",
        "ALTER DATABASE a^-b SET PARTNER OFF | line 1, column 17: expected SET, found `-`",
        "ALTER DATABASE db\r\n  SET ^RECOVERY FULL | line 2, column 7: expected PARTNER or WITNESS, found `RECOVERY`",
        "ALTER DATABASE Größe SET ^[PARTNER] OFF | line 1, column 26: expected PARTNER or WITNESS, found `[PARTNER]`",
        "ALTER DATABASE db SET PARTNER^ /**/ | line 1, column 30: expected '=', FAILOVER, \
         FORCE_SERVICE_ALLOW_DATA_LOSS, OFF, RESUME, SAFETY, SUSPEND or TIMEOUT, found the end of the statement",
        "ALTER DATABASE db SET WITNESS ^FAILOVER | line 1, column 31: expected '=' or OFF, found `FAILOVER`",
        "ALTER DATABASE db SET PARTNER = ^\"TCP://a:1\" | line 1, column 33: \
         expected an address in single quotes, found `\"TCP://a:1\"`",
        "ALTER DATABASE db SET PARTNER = ^'TCP://a:1 | line 1, column 33: \
         expected an address in single quotes, found a string without closing quote",
        "ALTER DATABASE db SET PARTNER = ^N'x | line 1, column 33: \
         expected an address in single quotes, found a string without closing quote",
        "ALTER DATABASE ^[db SET PARTNER OFF | line 1, column 16: \
         expected a database name, found a name without closing bracket",
        "ALTER DATABASE db SET PARTNER OFF ^/* /* */ | line 1, column 35: \
         expected ';' or the end of the statement, found a comment without end",
        "ALTER DATABASE db SET PARTNER SAFETY ^10 | line 1, column 38: expected FULL or OFF, found `10`",
        "ALTER DATABASE db SET PARTNER TIMEOUT^; | line 1, column 38: expected a number of seconds, found `;`",
        "ALTER DATABASE db SET PARTNER TIMEOUT ^'10' | line 1, column 39: expected a number of seconds, found `'10'`",
        "ALTER DATABASE db SET PARTNER TIMEOUT -^x | line 1, column 40: expected a number of seconds, found `x`",
        "ALTER DATABASE db SET PARTNER TIMEOUT 10^s | line 1, column 41: \
         expected ';' or the end of the statement, found `s`",
        "ALTER DATABASE db SET PARTNER OFF ^SUSPEND | line 1, column 35: \
         expected ';' or the end of the statement, found `SUSPEND`",
        "ALTER DATABASE db SET PARTNER OFF;^; | line 1, column 35: expected the end of the statement, found `;`",
        "ALTER DATABASE db SET PARTNER = ^aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa | line 1, column 33: \
         expected an address in single quotes, found `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…`",
    ];
    for case in cases {
        let (marked, expected) = case.rsplit_once(" | ").unwrap();
        let (sql, position) = (marked.replace('^', ""), marked.find('^').unwrap_or(0) as u32);
        let error = parse_detailed(&sql).unwrap_err();
        assert_eq!(error.to_string(), expected, "{sql}");
        assert_eq!(error.position, position, "{sql}");
        assert_eq!(parse(&sql), Err(SqlError { number: 102, severity: 15, position: Some(position) }));
    }
}

/// The whole table of sections 5.2 and 5.3, column "Where". [C-60 … C-73]
#[test]
fn each_option_runs_on_its_partner() {
    for (sql, statement) in examples() {
        let (principal, mirror) = match sql.trim_start_matches("ALTER DATABASE AdventureWorks2012 SET ") {
            "PARTNER OFF" | "PARTNER SUSPEND" | "PARTNER = 'TCP://DBSERVER1:7022'" => (Ok(()), Ok(())),
            "PARTNER FORCE_SERVICE_ALLOW_DATA_LOSS" => (Err(sql_error(1455)), Ok(())),
            restore if restore.starts_with("RESTORE") => (Err(sql_error(3104)), Err(sql_error(3104))),
            _ => (Ok(()), Err(sql_error(1470))),
        };
        assert_eq!(statement.allowed_on(Role::Principal), principal, "{sql}");
        assert_eq!(statement.allowed_on(Role::Mirror), mirror, "{sql}");
    }
}

/// A comment that is deep, and one that is deep and open, end without exhausting the stack.
#[test]
fn deep_comments_are_read() {
    let deep = 100_000;
    let closed = format!("ALTER DATABASE db SET PARTNER OFF {}{}", "/*".repeat(deep), "*/".repeat(deep));
    assert!(parse(&closed).is_ok());
    assert_eq!(parse(&"/*".repeat(deep)).unwrap_err().position, Some(0));
}

fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z_@#][a-zA-Z0-9_@#$]{0,12}",
        "(?s).{1,12}",
        Just("set".to_owned()),
        Just("]]".to_owned())
    ]
}

fn any_timeout() -> impl Strategy<Value = TimeoutValue> {
    let other = "-?[0-9]{0,12}\\.[0-9]{1,3}([eE][+-]?[0-9]{1,3})?|-?[1-9][0-9]{10,30}|[0-9]{1,3}e[0-9]";
    prop_oneof![
        any::<i32>().prop_map(TimeoutValue::Integer),
        other.prop_map(|text| TimeoutValue::Other(NumberText(text)))
    ]
}

fn any_statement() -> impl Strategy<Value = Statement> {
    let partner = prop_oneof![
        "(?s).{0,20}".prop_map(PartnerOption::Address),
        Just(PartnerOption::Failover),
        Just(PartnerOption::ForceServiceAllowDataLoss),
        Just(PartnerOption::Off),
        Just(PartnerOption::Resume),
        Just(PartnerOption::Safety(Safety::Full)),
        Just(PartnerOption::Safety(Safety::Off)),
        Just(PartnerOption::Suspend),
        any_timeout().prop_map(PartnerOption::Timeout),
    ];
    let witness = prop_oneof!["(?s).{0,20}".prop_map(WitnessOption::Address), Just(WitnessOption::Off)];
    prop_oneof![
        (any_name(), partner).prop_map(|(database, option)| Statement::SetPartner { database, option }),
        (any_name(), witness).prop_map(|(database, option)| Statement::SetWitness { database, option }),
    ]
}

/// The text of a statement with other gaps between its tokens and its keywords in random case.
fn disguise(statement: &Statement, gaps: &[String], case: u64) -> String {
    let sql = statement.to_string();
    let mut out = String::new();
    for (i, token) in lexer::tokens(&sql).into_iter().enumerate() {
        let gap = &gaps[i % gaps.len()];
        // A minus and a comment would make three dashes, a comment all of them.
        if out.ends_with('-') && gap.starts_with('-') {
            out.push(' ');
        }
        out += gap;
        let text = &sql[token.span];
        match token.kind {
            // The third token is the database.
            lexer::TokenKind::Word(_) if i != 2 => out.extend(text.chars().enumerate().map(|(k, c)| {
                if case >> ((i * 7 + k) % 64) & 1 == 0 {
                    c.to_ascii_lowercase()
                } else {
                    c.to_ascii_uppercase()
                }
            })),
            lexer::TokenKind::Word(_)
            | lexer::TokenKind::Delimited(_)
            | lexer::TokenKind::Text(_)
            | lexer::TokenKind::Number(_)
            | lexer::TokenKind::Unknown(_)
            | lexer::TokenKind::Unterminated(_) => out += text,
        }
    }
    out + &gaps[0]
}

proptest! {
    #[test]
    fn printed_statements_parse_back(
        statement in any_statement(),
        gaps in prop::collection::vec(
            "([ \t\r\n\u{a0}]|--[^\n\r]{0,5}\n|/\\*[^*/]{0,5}(/\\*[^*/]{0,5}\\*/)?\\*/){1,3}", 1..6),
        case in any::<u64>(),
    ) {
        prop_assert_eq!(parse_detailed(&statement.to_string()), Ok(statement.clone()));
        let sql = disguise(&statement, &gaps, case);
        prop_assert_eq!(parse_detailed(&sql), Ok(statement), "{}", sql);
    }

    #[test]
    fn any_text_is_parsed_without_panic(text in "(?s).{0,60}") {
        let _ = parse_detailed(&text);
    }

    /// A damaged statement is read or refused at a character of the text.
    #[test]
    fn damaged_statements_do_not_panic(statement in any_statement(), at in any::<prop::sample::Index>(), c in any::<char>()) {
        let mut chars: Vec<char> = statement.to_string().chars().collect();
        let index = at.index(chars.len());
        chars[index] = c;
        let sql: String = chars.into_iter().collect();
        if let Err(error) = parse_detailed(&sql) {
            prop_assert!(sql.is_char_boundary(error.position as usize));
            prop_assert!(!error.expected.is_empty());
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
