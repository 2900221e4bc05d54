//! Server network addresses, `TCP://system-address:port`: what an address text names, and which texts are none.
//! Whether an instance answers there is the network's business. [NA-1 … NA-6]

use super::sql_error;
use crate::io::SqlError;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use winnow::ascii::{Caseless, digit1};
use winnow::combinator::{alt, delimited, preceded, separated_pair};
use winnow::error::EmptyError;
use winnow::prelude::*;
use winnow::token::take_while;

/// Names the endpoint of one instance. The port alone tells apart two instances on one computer. Equality ignores
/// the letter case of scheme and host name. [NA-1]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerAddress {
    /// The computer.
    pub host: Host,
    /// The port of the endpoint, never 0 in a parsed address.
    pub port: u16,
}

/// A computer, by name or number. A name and a number are never equal, whatever they resolve to. [NA-2]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A host name or a fully qualified domain name.
    Name(HostName),
    /// An IPv4 address.
    Ipv4(Ipv4Addr),
    /// An IPv6 address; in square brackets when written.
    Ipv6(Ipv6Addr),
}

/// A host name of one label, or a fully qualified one. Compared without regard to letter case, printed as written.
///
/// Assumed: labels of ASCII letters, digits, `-` and `_`, at most 63 long, not beginning or ending with `-`; at most
/// 255 in all; the last label not all digits, so that a mistyped IPv4 address is no name. The sources only say
/// "system name" and "fully qualified domain name".
#[derive(Clone, Debug)]
pub struct HostName(String);

impl HostName {
    /// `name`, if it is one.
    pub fn new(name: &str) -> Option<Self> {
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let numeric_end =
            name.rsplit('.').next().is_some_and(|last| last.chars().all(|c| c.is_ascii_digit()));
        (name.len() <= 255 && name.split('.').all(label) && !numeric_end).then(|| HostName(name.to_owned()))
    }

    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn folded(&self) -> impl Iterator<Item = u8> + '_ {
        self.0.bytes().map(|b| b.to_ascii_lowercase())
    }
}

impl PartialEq for HostName {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for HostName {}

impl PartialOrd for HostName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for HostName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.folded().cmp(other.folded())
    }
}

impl Hash for HostName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_ascii_lowercase().hash(state);
    }
}

impl FromStr for ServerAddress {
    type Err = SqlError;

    /// Refuses what is no address with E1449. [NA-5]
    fn from_str(text: &str) -> Result<Self, SqlError> {
        address.parse(text).map_err(|_| sql_error(1449))
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TCP://{}:{}", self.host, self.port)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name.as_str()),
            Host::Ipv4(ip) => ip.fmt(f),
            Host::Ipv6(ip) => write!(f, "[{ip}]"),
        }
    }
}

type Parsed<T> = Result<T, EmptyError>;

fn address(input: &mut &str) -> Parsed<ServerAddress> {
    preceded((Caseless("tcp"), "://"), separated_pair(host, ':', port))
        .map(|(host, port)| ServerAddress { host, port })
        .parse_next(input)
}

fn host(input: &mut &str) -> Parsed<Host> {
    let ipv6 = delimited('[', take_while(1.., |c| c != ']'), ']').verify_map(|ip: &str| ip.parse().ok());
    // What is no name may still be an IPv4 address, never both: see the last label of a name.
    let name_or_ipv4 = take_while(1.., |c| c != ':').verify_map(|text: &str| {
        let ipv4 = text.parse().ok().map(Host::Ipv4);
        ipv4.or_else(|| HostName::new(text).map(Host::Name))
    });
    alt((ipv6.map(Host::Ipv6), name_or_ipv4)).parse_next(input)
}

fn port(input: &mut &str) -> Parsed<u16> {
    digit1.verify_map(|digits: &str| digits.parse().ok().filter(|port| *port > 0)).parse_next(input)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The examples of the documents. [NA-2]
    #[test]
    fn documented_addresses_are_accepted() {
        let name = |name: &str| Host::Name(HostName::new(name).unwrap());
        let cases = [
            ("TCP://DBSERVER1:7022", name("DBSERVER1"), 7022),
            ("tcp://SYSTEM46:7022", name("SYSTEM46"), 7022),
            ("tcp://10.193.9.134:7023", Host::Ipv4(Ipv4Addr::new(10, 193, 9, 134)), 7023),
            (
                "tcp://[2001:4898:23:1002:20f:1fff:feff:b3a3]:7022",
                Host::Ipv6(Ipv6Addr::new(0x2001, 0x4898, 0x23, 0x1002, 0x20f, 0x1fff, 0xfeff, 0xb3a3)),
                7022,
            ),
            (
                "TCP://MYSERVER.mydomain.Adventure-Works.com:7777",
                name("MYSERVER.mydomain.Adventure-Works.com"),
                7777,
            ),
            ("Tcp://a_b:1", name("a_b"), 1),
            ("TCP://[::1]:65535", Host::Ipv6(Ipv6Addr::LOCALHOST), 65535),
            ("TCP://3com:05022", name("3com"), 5022),
        ];
        for (text, host, port) in cases {
            assert_eq!(text.parse(), Ok(ServerAddress { host, port }), "{text}");
        }
    }

    /// [NA-5]
    #[test]
    fn other_texts_are_refused() {
        let long_label = format!("TCP://{}:7022", "a".repeat(64));
        let long_name = format!("TCP://{}a:7022", "a.".repeat(128));
        let cases = [
            "",
            "DBSERVER1",
            "DBSERVER1:7022",
            "TCP:/DBSERVER1:7022",
            "TCP//DBSERVER1:7022",
            "UDP://DBSERVER1:7022",
            "http://DBSERVER1:7022",
            "TCP://:7022",
            "TCP://DBSERVER1",
            "TCP://DBSERVER1:",
            "TCP://DBSERVER1:0",
            "TCP://DBSERVER1:65536",
            "TCP://DBSERVER1:99999999999999999999",
            "TCP://DBSERVER1:-1",
            "TCP://DBSERVER1:+7022",
            "TCP://DBSERVER1:70a",
            "TCP://DBSERVER1:7022/",
            "TCP://DBSERVER1:7022 ",
            " TCP://DBSERVER1:7022",
            "TCP://DB SERVER:7022",
            "TCP://DBSERVER1\\INSTANCE:7022",
            "TCP://-a:7022",
            "TCP://a-:7022",
            "TCP://a..b:7022",
            "TCP://a.:7022",
            "TCP://größe:7022",
            "TCP://10.193.9:7022",
            "TCP://10.193.9.256:7022",
            "TCP://10.193.9.134.1:7022",
            "TCP://2001:4898:23:1002:20f:1fff:feff:b3a3:7022",
            "TCP://[2001:4898]:7022",
            "TCP://[fe80::1%eth0]:7022",
            "TCP://[10.193.9.134]:7022",
            "TCP://[DBSERVER1]:7022",
            "TCP://[::1:7022",
            "TCP://[]:7022",
            long_label.as_str(),
            long_name.as_str(),
        ];
        for text in cases {
            assert_eq!(text.parse::<ServerAddress>(), Err(sql_error(1449)), "{text}");
        }
    }

    #[test]
    fn letter_case_of_scheme_and_name_does_not_matter() {
        let parse = |text: &str| text.parse::<ServerAddress>().unwrap();
        assert_eq!(
            parse("tcp://system46.Adventure-Works.com:7022"),
            parse("TCP://SYSTEM46.adventure-works.COM:7022")
        );
        assert_eq!(parse("tcp://[FE80::1]:1"), parse("TCP://[fe80:0::1]:1"));
        assert_ne!(parse("tcp://system46:7022"), parse("tcp://system46:7023"));
        assert_ne!(parse("tcp://system46:7022"), parse("tcp://system47:7022"));
        let set =
            std::collections::BTreeSet::from([parse("tcp://a:1"), parse("TCP://A:1"), parse("TCP://B:1")]);
        assert_eq!(set.len(), 2);
        assert_eq!(parse("tcp://System46:7022").to_string(), "TCP://System46:7022");
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_without_panic(text in "\\PC*", tail in "(?s)[tT]CP://.{0,20}:[0-9]{0,6}") {
            let _ = text.parse::<ServerAddress>();
            let _ = tail.parse::<ServerAddress>();
        }

        #[test]
        fn printed_addresses_parse_back(
            host in prop_oneof![
                "[a-zA-Z_][a-zA-Z0-9_]{0,14}(\\.[a-z]([a-z0-9-]{0,8}[a-z])?){0,3}"
                    .prop_map(|name| Host::Name(HostName::new(&name).unwrap())),
                any::<[u8; 4]>().prop_map(|ip| Host::Ipv4(ip.into())),
                any::<[u8; 16]>().prop_map(|ip| Host::Ipv6(ip.into())),
            ],
            port in 1..=u16::MAX,
        ) {
            let address = ServerAddress { host, port };
            prop_assert_eq!(address.to_string().parse(), Ok(address.clone()));
            prop_assert_eq!(address.to_string().to_lowercase().parse(), Ok(address));
        }
    }
}
