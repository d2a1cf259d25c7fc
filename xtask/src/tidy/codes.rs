//! Every code that the program writes stands on the page that explains codes. Who meets one looks there first.
//!
//! Like the order of modules this is found in the text of the sources: in the files below, which define the codes.

use super::Findings;

/// The page.
const PAGE: &str = "docs/reference/errors.md";

/// Finds the code that a line defines.
type Find = fn(&str) -> Option<String>;

/// A file that defines codes, and how they are found in it.
const SOURCES: [(&str, Find); 5] = [
    ("crates/tollhouse-proxy/src/answer.rs", constant),
    ("crates/tollhouse-core/src/wire/envelope.rs", reserved),
    ("crates/tollhouse-core/src/fault.rs", |line| constant(line).or(quoted(line).map(|cause| format!("`{cause}`")))),
    ("crates/tollhouse/src/config/finding.rs", |line| quoted(line).filter(|code| code.starts_with("TH-"))),
    ("crates/tollhouse/src/exit.rs", variant),
];

/// Looks for each code at the beginning of a row.
pub(super) fn check(texts: &[(String, String)]) -> Findings {
    let text = |wanted: &str| texts.iter().find(|(path, _)| path == wanted).map_or("", |(_, text)| text.as_str());
    let page = text(PAGE);
    let mut findings = Findings::new();
    for (path, find) in SOURCES {
        let codes: Vec<String> =
            text(path).lines().take_while(|line| *line != "#[cfg(test)]").filter_map(find).collect();
        if codes.is_empty() {
            findings.push(format!("{path}: no codes are found here; look again at xtask/src/tidy/codes.rs"));
        }
        let missing =
            codes.into_iter().filter(|code| !page.lines().any(|line| line.starts_with(&format!("| {code} |"))));
        findings.extend(missing.map(|code| format!("{path}: {code} has no row in {PAGE}")));
    }
    findings
}

/// `pub(crate) const TOO_LARGE: i64 = 4130;`
fn constant(line: &str) -> Option<String> {
    let (_, number) = line.split_once(": i64 = ")?;
    number.strip_suffix(';').map(str::to_owned)
}

/// `… => -32600,`
fn reserved(line: &str) -> Option<String> {
    let (_, number) = line.split_once("=> -32")?;
    number.strip_suffix(',').map(|number| format!("-32{number}"))
}

/// `Self::Tls => "tls",`
fn quoted(line: &str) -> Option<String> {
    let (_, text) = line.split_once("=> \"")?;
    text.strip_suffix("\",").map(str::to_owned)
}

/// `Config = 78,`
fn variant(line: &str) -> Option<String> {
    let (_, number) = line.split_once(" = ")?;
    let number = number.strip_suffix(',')?;
    number.parse::<u8>().ok().map(|number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::{PAGE, SOURCES, check};

    /// Sources with one code each, and a page with these rows.
    fn findings(rows: &[&str]) -> Vec<String> {
        let lines = [
            "    pub(crate) const TOO_LARGE: i64 = 4130;",
            "            Self::Batch => -32600,",
            "            Self::Tls => \"tls\",",
            "            Self::Syntax => \"TH-C003\",",
            "    Config = 78,",
        ];
        let sources = SOURCES.iter().zip(lines).map(|((path, _), line)| ((*path).to_owned(), line.to_owned()));
        let rows: Vec<String> = rows.iter().map(|row| format!("| {row} | what it is |")).collect();
        let page = (PAGE.to_owned(), rows.join("\n"));
        check(&sources.chain([page]).collect::<Vec<_>>())
    }

    #[test]
    fn a_code_without_a_row_is_found() {
        assert_eq!(findings(&["4130", "-32600", "`tls`", "TH-C003", "78"]), Vec::<String>::new());
        assert_eq!(
            findings(&["4130", "-32600", "`tls`", "78"]),
            ["crates/tollhouse/src/config/finding.rs: TH-C003 has no row in docs/reference/errors.md"]
        );
    }

    #[test]
    fn a_source_in_which_nothing_is_found_is_no_proof() {
        assert_eq!(check(&[]).len(), SOURCES.len());
    }
}
