//! The HTTP headers that mirror a modern call: how a name or argument is written there, and when it equals the body.
//!
//! `Mcp-Name` and `Mcp-Param-*` let intermediaries route without reading JSON, and whoever reads the JSON must refuse
//! a header that says something else: else one of the two was deceived. A value that HTTP cannot carry as it is
//! stands there as `=?base64?…?=` (MCP 2026-07-28, streamable HTTP, value encoding).
//!
//! Path: `downstream/http` → **`header`** (read and compare) … **`header`** (write) → `upstream/http`.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const PREFIX: &str = "=?base64?";
const SUFFIX: &str = "?=";

/// The largest integer a mirrored argument may have, either sign: what JavaScript counts exactly, 2^53 − 1.
pub const SAFE_INTEGER_MAX: i64 = (1 << 53) - 1;

/// Why a header's value means nothing. All are the client's mistake and answered with -32020.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Something other than visible ASCII, space and tab.
    #[error("a character outside visible ASCII")]
    Character,
    /// The text between the markers is not canonical base64 with its padding.
    #[error("malformed base64")]
    Base64,
    /// What was encoded is no text.
    #[error("the base64 does not hold UTF-8")]
    Utf8,
}

/// Reads the value of `Mcp-Name` or `Mcp-Param-*`: what it stands for, to be compared with the body.
///
/// # Errors
/// The value breaks the encoding; the request must be refused.
pub fn decode_name(value: &[u8]) -> Result<Cow<'_, str>, HeaderError> {
    if !value.iter().all(|&byte| matches!(byte, b'\t' | b' '..=b'~')) {
        return Err(HeaderError::Character);
    }
    let text = str::from_utf8(value).expect("ASCII was checked above").trim_matches([' ', '\t']);
    let Some(encoded) = text.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX)) else {
        return Ok(text.into());
    };
    let bytes = STANDARD.decode(encoded).map_err(|_| HeaderError::Base64)?;
    String::from_utf8(bytes).map(Cow::from).map_err(|_| HeaderError::Utf8)
}

/// Writes `text` as the value of `Mcp-Name` or `Mcp-Param-*`: as it is where HTTP carries it unchanged and nobody
/// takes it for encoded, else encoded.
pub fn encode_name(text: &str) -> Cow<'_, str> {
    let carried =
        text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && !text.starts_with(' ') && !text.ends_with(' ');
    if carried && !(text.starts_with(PREFIX) && text.ends_with(SUFFIX)) {
        text.into()
    } else {
        format!("{PREFIX}{}{SUFFIX}", STANDARD.encode(text)).into()
    }
}

/// Is this an RFC 9110 token, as the `Name` of an `Mcp-Param-Name` must be?
pub fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// An argument that is mirrored in `Mcp-Param-*`, as it stands in the body. `null` is mirrored by no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Param<'a> {
    /// A string, unescaped.
    Text(&'a str),
    /// A number, as it is written.
    Number(&'a str),
    /// `true` or `false`.
    Boolean(bool),
}

impl Param<'_> {
    /// Does a decoded header value say the same? Numbers are equal by value (`42.0` is `42`), but only integers
    /// within ±[`SAFE_INTEGER_MAX`] are equal to anything.
    pub fn matches(&self, header: &str) -> bool {
        match *self {
            Self::Text(text) => text == header,
            Self::Number(number) => safe_integer(number).is_some_and(|value| safe_integer(header) == Some(value)),
            Self::Boolean(value) => header == if value { "true" } else { "false" },
        }
    }

    /// The header value that mirrors it; `None` for a number that may not be mirrored.
    pub fn encode(&self) -> Option<Cow<'_, str>> {
        match *self {
            Self::Text(text) => Some(encode_name(text)),
            Self::Number(number) => safe_integer(number).map(|value| value.to_string().into()),
            Self::Boolean(value) => Some(if value { "true" } else { "false" }.into()),
        }
    }
}

/// The value of a JSON number if it is an integer within ±[`SAFE_INTEGER_MAX`], however it is written. Exact: no
/// binary fraction in between could round two different numbers to the same.
fn safe_integer(number: &str) -> Option<i64> {
    let (negative, number) = number.strip_prefix('-').map_or((false, number), |rest| (true, rest));
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (mantissa, ""),
    };
    let well_formed = !whole.is_empty() && (whole == "0" || !whole.starts_with('0'));
    if !well_formed || !whole.bytes().chain(fraction.bytes()).all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).skip_while(|&digit| digit == b'0').collect();
    let significant = digits.iter().rposition(|&digit| digit != b'0').map_or(0, |last| last + 1);
    let bare_exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if bare_exponent.is_empty() || !bare_exponent.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    if significant == 0 {
        return Some(0);
    }
    // Zeros to put behind the significant digits; fewer than none would leave a fraction.
    let exponent: i64 = exponent.parse().ok()?;
    let written = i64::try_from(digits.len() - significant).ok()? - i64::try_from(fraction.len()).ok()?;
    let zeros = usize::try_from(written.checked_add(exponent)?).ok()?;
    if significant.checked_add(zeros)? > 16 {
        return None;
    }
    let digits = digits[..significant].iter().copied().chain(std::iter::repeat_n(b'0', zeros));
    let value = digits.fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
    (value <= SAFE_INTEGER_MAX).then_some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::{HeaderError, Param, SAFE_INTEGER_MAX, decode_name, encode_name, is_token};

    #[test]
    fn the_examples_of_the_specification_are_written_and_read_as_it_says() {
        for (text, value) in [
            ("us-west1", "us-west1"),
            ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
            (" padded ", "=?base64?IHBhZGRlZCA=?="),
            ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
            ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
            ("two words", "two words"),
            ("tab\tinside", "=?base64?dGFiCWluc2lkZQ==?="),
            ("=?base64?open", "=?base64?open"),
            ("=?BASE64?eA==?=", "=?BASE64?eA==?="),
            ("", ""),
        ] {
            assert_eq!(encode_name(text), value);
            assert_eq!(decode_name(value.as_bytes()).unwrap(), text);
        }
    }

    #[test]
    fn blanks_around_a_value_are_not_part_of_it() {
        assert_eq!(decode_name(b" \tread_file \t").unwrap(), "read_file");
        assert_eq!(decode_name(b" =?base64?eA==?= ").unwrap(), "x");
    }

    #[test]
    fn markers_that_overlap_are_plain_text() {
        assert_eq!(decode_name(b"=?base64?=").unwrap(), "=?base64?=");
        assert_eq!(decode_name(encode_name("=?base64?=").as_bytes()).unwrap(), "=?base64?=");
        assert_eq!(decode_name(b"=?base64??=").unwrap(), "");
    }

    #[test]
    fn a_value_that_breaks_the_encoding_is_refused() {
        for (value, error) in [
            (&b"=?base64?%%%?="[..], HeaderError::Base64),
            (b"=?base64?SGVsbG8?=", HeaderError::Base64),
            (b"=?base64?SGVs bG8=?=", HeaderError::Base64),
            (b"=?base64?eB==?=", HeaderError::Base64),
            (b"=?base64?//4=?=", HeaderError::Utf8),
            (b"h\xc3\xa9llo", HeaderError::Character),
            (b"a\nb", HeaderError::Character),
            (b"a\r\n", HeaderError::Character),
            (b"a\0", HeaderError::Character),
            (b"a\x7f", HeaderError::Character),
        ] {
            assert_eq!(decode_name(value), Err(error), "{value:?}");
        }
    }

    #[test]
    fn a_param_name_is_a_token() {
        for name in ["Region", "x", "!#$%&'*+-.^_`|~09azAZ"] {
            assert!(is_token(name), "{name}");
        }
        for name in ["", "a b", "a:b", "a\r\nb", "a(b)", "é", "a/b", "\"a\"", "a\t"] {
            assert!(!is_token(name), "{name}");
        }
    }

    #[test]
    fn integers_are_compared_by_value() {
        for (body, header) in [
            ("42", "42"),
            ("42.0", "42"),
            ("42", "42.000"),
            ("4.2e1", "42"),
            ("4200E-2", "42"),
            ("-7", "-7"),
            ("-0", "0"),
            ("0e99999999999999999999", "0"),
            ("9007199254740991", "9007199254740991.0"),
            ("-9007199254740991", "-9007199254740991"),
        ] {
            assert!(Param::Number(body).matches(header), "{body} is {header}");
            assert!(Param::Number(header).matches(body), "{header} is {body}");
        }
    }

    #[test]
    fn what_is_no_safe_integer_equals_nothing_not_even_itself() {
        for number in [
            "9007199254740992",
            "-9007199254740992",
            "9007199254740991.4",
            "42.5",
            "1e400",
            "1e-400",
            "1e99999999999999999999",
            "10000000000000000",
            "",
            "-",
            "+1",
            "007",
            "1.",
            ".5",
            "1e",
            "1e+-1",
            "0x10",
            "inf",
            "NaN",
            "1 ",
            "٤",
            "true",
        ] {
            assert!(!Param::Number(number).matches(number), "{number}");
            assert_eq!(Param::Number(number).encode(), None, "{number}");
        }
        assert!(!Param::Number("1").matches("-1"));
    }

    #[test]
    fn texts_and_booleans_are_compared_letter_by_letter() {
        assert!(Param::Text("42").matches("42"));
        assert!(!Param::Text("42").matches("42.0"));
        assert!(!Param::Text("EU").matches("eu"));
        assert!(Param::Boolean(true).matches("true"));
        assert!(Param::Boolean(false).matches("false"));
        assert!(!Param::Boolean(true).matches("True"));
        assert!(!Param::Boolean(true).matches("1"));
    }

    proptest! {
        #[test]
        fn every_text_survives_the_header(text in any::<String>()) {
            let value = encode_name(&text);
            prop_assert!(value.bytes().all(|byte| matches!(byte, b' '..=b'~')));
            prop_assert_eq!(value.trim(), &value);
            prop_assert_eq!(&decode_name(value.as_bytes()).unwrap(), &text);
        }

        #[test]
        fn any_bytes_are_read_or_refused(value: Vec<u8>) {
            if let Ok(text) = decode_name(&value) {
                let again = encode_name(&text);
                prop_assert_eq!(&decode_name(again.as_bytes()).unwrap(), &text);
            }
        }

        #[test]
        fn safe_integers_match_themselves_and_no_neighbour(n in -SAFE_INTEGER_MAX..SAFE_INTEGER_MAX, zeros in 0_usize..4) {
            let written = format!("{n}.0{}", "0".repeat(zeros));
            prop_assert!(Param::Number(&written).matches(&n.to_string()));
            prop_assert!(!Param::Number(&written).matches(&(n + 1).to_string()));
            let exponent = Param::Number(&written).encode().map(|text| format!("{text}e0"));
            prop_assert!(Param::Number(&exponent.unwrap()).matches(&written));
        }
    }
}
