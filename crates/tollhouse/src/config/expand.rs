//! `${NAME}` in a value of the configuration → the value of the variable.
//!
//! `${NAME}` and `${env:NAME}` are one. `${NAME:-text}` gives the text where the variable is unset or empty. `$${`
//! is a literal `${`; every other `$` stands for itself, so that `pa$$word` and `^a$` need no care.

use std::collections::BTreeMap;

use super::env::Environment;
use super::finding::{Code, Findings, Place};
use super::node::At;
use super::secret;
use super::values::Template;

/// Names that VS Code replaces in its own files; nothing else knows what they mean.
const EDITOR: [&str; 6] =
    ["workspaceFolder", "workspaceFolderBasename", "userHome", "pathSeparator", "cwd", "execPath"];

/// One part of a template.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Literal(&'a str),
    Variable {
        name: &'a str,
        default: Option<&'a str>,
    },
    /// `${…}` with something else in it.
    Other(&'a str),
    /// `${` without its `}`.
    Open,
}

/// The text that `template` means; `None` after a finding for each reference that means nothing.
pub(crate) fn expand(template: &At<Template>, env: &dyn Environment, findings: &mut Findings) -> Option<String> {
    let mut text = Some(String::new());
    for piece in pieces(&template.value.0) {
        let part = match piece {
            Piece::Literal(literal) => Some(literal.to_owned()),
            Piece::Variable { name, default } => variable(name, default, &template.place, env, findings),
            Piece::Other(reference) => {
                refuse(reference, &template.place, findings);
                None
            }
            Piece::Open => {
                findings
                    .error(
                        Code::Reference,
                        &template.place,
                        format!("`{}` has a `${{` without `}}`", template.place.path),
                    )
                    .hint("a literal `${` is written `$${`");
                None
            }
        };
        text = text.zip(part).map(|(text, part)| text + &part);
    }
    text
}

/// Whether a credential in `template` is written out, be it as the default of a variable.
pub(crate) fn writes_out(template: &Template) -> bool {
    let pieces = pieces(&template.0);
    let variable = pieces.iter().any(|piece| matches!(piece, Piece::Variable { .. }));
    pieces.iter().any(|piece| match piece {
        // Beside a variable, literal text is a scheme or a separator, unless it has the form of a key.
        Piece::Literal(literal) => secret::formed(literal) || (!variable && secret::beyond_scheme(literal)),
        Piece::Variable { default, .. } => default.is_some_and(|default| !default.is_empty()),
        Piece::Other(_) | Piece::Open => false,
    })
}

/// The variables that must be set for `template` to mean something.
pub(crate) fn variables(template: &str) -> impl Iterator<Item = &str> {
    pieces(template).into_iter().filter_map(|piece| match piece {
        Piece::Variable { name, default: None } => Some(name),
        Piece::Variable { default: Some(_), .. } | Piece::Literal(_) | Piece::Other(_) | Piece::Open => None,
    })
}

/// Whether `text` is what `template` says, for some values of its variables; these are added to `values`. A variable
/// has one value everywhere.
pub(crate) fn fits(template: &str, text: &str, values: &mut BTreeMap<String, String>) -> bool {
    let mut pieces = pieces(template).into_iter().filter(|piece| *piece != Piece::Literal("")).peekable();
    let mut rest = text;
    while let Some(piece) = pieces.next() {
        match piece {
            Piece::Literal(literal) => match rest.strip_prefix(literal) {
                Some(after) => rest = after,
                None => return false,
            },
            Piece::Variable { name, .. } => {
                let end = match pieces.peek() {
                    Some(Piece::Literal(literal)) => rest.find(literal),
                    Some(_) => return template == text,
                    None => Some(rest.len()),
                };
                let Some((value, after)) = end.and_then(|end| rest.split_at_checked(end)) else { return false };
                if values.insert(name.to_owned(), value.to_owned()).is_some_and(|known| known != value) {
                    return false;
                }
                rest = after;
            }
            Piece::Other(_) | Piece::Open => return template == text,
        }
    }
    rest.is_empty()
}

/// Whether `template` has a key of a known kind written out in it.
pub(crate) fn holds_key(template: &Template) -> bool {
    pieces(&template.0).iter().any(|piece| match piece {
        Piece::Literal(text) | Piece::Variable { default: Some(text), .. } => secret::formed(text),
        Piece::Variable { default: None, .. } | Piece::Other(_) | Piece::Open => false,
    })
}

fn variable(
    name: &str,
    default: Option<&str>,
    place: &Place,
    env: &dyn Environment,
    findings: &mut Findings,
) -> Option<String> {
    match (env.var(name), default) {
        (Some(value), default) if !value.is_empty() || default.is_none() => {
            let text = value.into_string().ok();
            if text.is_none() {
                findings.error(Code::Variable, place, format!("the variable `{name}` is not UTF-8"));
            }
            text
        }
        (_, Some(default)) => Some(default.to_owned()),
        (_, None) => {
            findings
                .error(Code::Variable, place, format!("the variable `{name}` is not set"))
                .hint(format!("set it where Tollhouse is started, or give a default: `${{{name}:-…}}`"));
            None
        }
    }
}

fn refuse(reference: &str, place: &Place, findings: &mut Findings) {
    let kind = reference.split_once(':').map_or(reference, |(kind, _)| kind);
    let finding =
        findings.error(Code::Reference, place, format!("`${{{}}}` is not understood here", printable(reference)));
    match kind {
        "input" => finding
            .detail("VS Code asks for it when it starts a server; nobody is asked here")
            .hint("name a variable instead: `${env:NAME}`"),
        "config" | "command" => finding
            .detail("VS Code fills it in from its own state")
            .hint("write the value, or name a variable: `${env:NAME}`"),
        _ if EDITOR.contains(&kind) => finding
            .detail("VS Code fills it in from the folder it has open")
            .hint("write the path, or name a variable: `${env:NAME}`"),
        "file" | "keyring" | "cmd" => finding
            .detail("this version does not read files or key rings for a value")
            .hint("name a variable instead: `${NAME}`"),
        _ => finding
            .detail("expected the name of a variable: letters, digits and `_`")
            .hint("a literal `${` is written `$${`"),
    };
}

/// The beginning, on one line, without a default that may be a secret.
fn printable(reference: &str) -> String {
    let reference = reference.split_once(":-").map_or(reference, |(name, _)| name);
    reference.chars().filter(|c| !c.is_control()).take(40).collect()
}

fn pieces(template: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            // `$${`: one `$` less, and no reference.
            pieces.extend([Piece::Literal(before), Piece::Literal("${")]);
            rest = after;
            continue;
        }
        pieces.push(Piece::Literal(before));
        let Some((reference, after)) = after.split_once('}') else {
            pieces.push(Piece::Open);
            return pieces;
        };
        pieces.push(reference_in(reference));
        rest = after;
    }
    pieces.push(Piece::Literal(rest));
    pieces
}

fn reference_in(reference: &str) -> Piece<'_> {
    let plain = reference.strip_prefix("env:").unwrap_or(reference);
    let (name, default) = match plain.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (plain, None),
    };
    let named = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if named && !(plain.len() == reference.len() && EDITOR.contains(&name)) {
        Piece::Variable { name, default }
    } else {
        Piece::Other(reference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_fits_a_template_tells_the_values_of_its_variables() {
        for (template, text, values) in [
            ("Bearer ${T}", "Bearer abc", Some(&[("T", "abc")][..])),
            ("${env:T}", "${env:T}", Some(&[("T", "${env:T}")])),
            ("a${T:-}b${U}", "a1b2", Some(&[("T", "1"), ("U", "2")])),
            ("plain", "plain", Some(&[])),
            ("$${x}", "${x}", Some(&[])),
            ("Bearer ${T}", "Basic abc", None),
            ("${T} ${T}", "a b", None),
            ("a", "ab", None),
        ] {
            let mut found = BTreeMap::new();
            let fits = fits(template, text, &mut found);
            let expected =
                values.map(|values| values.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
            assert_eq!(fits.then_some(found), expected, "{template} {text}");
        }
        assert_eq!(variables("${A} ${B:-x} $${C} ${env:D}").collect::<Vec<_>>(), ["A", "D"]);
    }

    fn expanded(text: &str) -> Option<String> {
        let env = BTreeMap::from([("A", "one"), ("EMPTY", "")]);
        let template = At { value: Template(text.to_owned()), place: Place::default() };
        expand(&template, &env, &mut Findings::about("x"))
    }

    #[test]
    fn references_are_replaced_and_other_dollars_stay() {
        for (text, meant) in [
            ("${A}", "one"),
            ("${env:A}", "one"),
            ("<${A}${A}>", "<oneone>"),
            ("${B:-two}", "two"),
            ("${env:B:-two}", "two"),
            ("${A:-two}", "one"),
            ("${EMPTY:-two}", "two"),
            ("${EMPTY}", ""),
            ("${B:-}", ""),
            ("${B:-http://x:1}", "http://x:1"),
            ("pa$$word", "pa$$word"),
            ("$A $", "$A $"),
            ("$${A}", "${A}"),
            ("{A}", "{A}"),
        ] {
            assert_eq!(expanded(text).as_deref(), Some(meant), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_replaced_is_refused() {
        for text in ["${B}", "${A", "${}", "${input:key}", "${workspaceFolder}/x", "${file:/run/key}", "${1}", "${a b}"]
        {
            assert_eq!(expanded(text), None, "{text}");
        }
    }

    #[test]
    fn a_credential_beside_a_variable_is_not_written_out() {
        for (text, out) in [
            ("Bearer ${T}", false),
            ("${T}", false),
            ("Bearer ", false),
            ("Bearer abc", true),
            ("${T:-abc}", true),
            ("session=${T}; path=/", false),
            ("", false),
        ] {
            assert_eq!(writes_out(&Template(text.to_owned())), out, "{text}");
        }
    }
}
