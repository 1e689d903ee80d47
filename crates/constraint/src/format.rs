//! The formats that are honoured, each as a pattern, so that drawing and checking go by the same words.

macro_rules! hex {
    () => {
        "[0-9A-Fa-f]{1,4}"
    };
}
macro_rules! ipv4 {
    () => {
        concat!("(", octet!(), r"(\.", octet!(), "){3})")
    };
}
macro_rules! octet {
    () => {
        "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
    };
}
/// A year, a month and a day of it; 29 February in leap years alone.
macro_rules! date {
    () => {
        concat!(
            "([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))",
            "|([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)",
        )
    };
}
macro_rules! time {
    () => {
        r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
    };
}
macro_rules! days {
    () => {
        "([0-9]+D|[0-9]+M([0-9]+D)?|[0-9]+Y([0-9]+M([0-9]+D)?)?)"
    };
}
macro_rules! hours {
    () => {
        "T([0-9]+H([0-9]+M([0-9]+S)?)?|[0-9]+M([0-9]+S)?|[0-9]+S)"
    };
}
macro_rules! atoms {
    () => {
        "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
    };
}
macro_rules! label {
    () => {
        "[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
    };
}
macro_rules! short_label {
    () => {
        "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    };
}
/// A character of a URI's path.
macro_rules! path {
    () => {
        "([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
    };
}

/// Name and pattern. Each spells what people write; rarer spellings that the standards also allow (leap seconds, `t` and
/// `z` in lower case, quoted names in addresses) are not drawn.
const FORMATS: [(&str, &str); 10] = [
    ("date", concat!("^", date!(), "$")),
    ("time", concat!("^", time!(), "$")),
    ("date-time", concat!("^", date!(), "T", time!(), "$")),
    ("duration", concat!("^P(", days!(), "(", hours!(), ")?|", hours!(), "|[0-9]+W)$")),
    ("email", concat!("^", atoms!(), r"(\.", atoms!(), ")*@", label!(), r"(\.", label!(), ")+$")),
    ("hostname", concat!("^", short_label!(), r"(\.", short_label!(), ")*$")),
    ("ipv4", concat!("^", ipv4!(), "$")),
    ("ipv6", IPV6),
    ("uri", URI),
    ("uuid", r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"),
];

const IPV6: &str = concat!(
    "^((",
    hex!(),
    ":){7}",
    hex!(),
    "|(",
    hex!(),
    ":){1,7}:",
    "|(",
    hex!(),
    ":){1,6}(:",
    hex!(),
    "){1}",
    "|(",
    hex!(),
    ":){1,5}(:",
    hex!(),
    "){1,2}",
    "|(",
    hex!(),
    ":){1,4}(:",
    hex!(),
    "){1,3}",
    "|(",
    hex!(),
    ":){1,3}(:",
    hex!(),
    "){1,4}",
    "|(",
    hex!(),
    ":){1,2}(:",
    hex!(),
    "){1,5}",
    "|",
    hex!(),
    ":(:",
    hex!(),
    "){1,6}",
    "|:((:",
    hex!(),
    "){1,7}|:)",
    "|((",
    hex!(),
    ":){6}|::(",
    hex!(),
    ":){0,5}|(",
    hex!(),
    ":){1,5}:",
    "|(",
    hex!(),
    ":){1,4}:(",
    hex!(),
    ":){0,1}|(",
    hex!(),
    ":){1,3}:(",
    hex!(),
    ":){0,2}",
    "|(",
    hex!(),
    ":){1,2}:(",
    hex!(),
    ":){0,3}|",
    hex!(),
    "::(",
    hex!(),
    ":){0,4})",
    ipv4!(),
    ")$",
);

/// Scheme, then an authority with a path or a path alone, then query and fragment (RFC 3986).
const URI: &str = concat!(
    "^[A-Za-z][A-Za-z0-9+.-]*:",
    "(//(([A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})*@)?",
    r"(\[[0-9A-Fa-f:.]+\]|([A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(:[0-9]*)?(/",
    path!(),
    "*)*",
    "|/?",
    path!(),
    "+(/",
    path!(),
    "*)*|/?)",
    r"(\?(",
    path!(),
    "|[/?])*)?(#(",
    path!(),
    "|[/?])*)?$",
);

/// The pattern of a format, if it is honoured.
pub(crate) fn pattern(name: &str) -> Option<&'static str> {
    FORMATS.iter().find(|(known, _)| *known == name).map(|(_, pattern)| *pattern)
}

/// The names of all formats that are honoured, for a person.
pub(crate) fn names() -> String {
    FORMATS.map(|(name, _)| name).join(", ")
}
