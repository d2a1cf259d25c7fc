//! Tells, from a name or the form of a value, whether it is a secret. Used to refuse secrets that are written out
//! where a variable should be named; never the only thing that keeps a value out of messages.

/// Headers that carry credentials.
const HEADERS: [&str; 5] = ["authorization", "proxy-authorization", "cookie", "x-api-key", "api-key"];

/// Words that, within a name, say that the value is a secret.
const WORDS: [&str; 10] =
    ["token", "secret", "password", "passwd", "pwd", "credential", "credentials", "apikey", "passphrase", "pat"];

/// Pairs of words that do so.
const PAIRS: [(&str, &str); 5] =
    [("api", "key"), ("access", "key"), ("private", "key"), ("auth", "key"), ("subscription", "key")];

/// Beginnings that issuers of keys chose so that the keys are recognised.
const PREFIXES: [&str; 12] = [
    "sk-",
    "sk_live_",
    "rk_live_",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "AKIA",
    "eyJhbGci",
];

/// What stands before a credential in `Authorization` and is none itself.
const SCHEMES: [&str; 4] = ["bearer", "basic", "token", "digest"];

/// Shorter than any credential with one of [`PREFIXES`].
const PREFIXED_MIN: usize = 16;

/// Whether the header or variable `name` holds a secret.
pub(crate) fn named(name: &str) -> bool {
    if HEADERS.iter().any(|header| name.eq_ignore_ascii_case(header)) {
        return true;
    }
    let words: Vec<_> = name.split(|c: char| !c.is_ascii_alphanumeric()).map(str::to_ascii_lowercase).collect();
    words.iter().any(|word| WORDS.contains(&word.as_str()))
        || words.windows(2).any(|pair| PAIRS.contains(&(pair[0].as_str(), pair[1].as_str())))
}

/// Whether some part of `text` has the form of a known kind of key.
pub(crate) fn formed(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_')
        .any(|part| part.len() >= PREFIXED_MIN && PREFIXES.iter().any(|prefix| part.starts_with(prefix)))
}

/// Whether `literal`, the written-out part of a credential, is more than the name of its scheme.
pub(crate) fn beyond_scheme(literal: &str) -> bool {
    let literal = literal.trim();
    !literal.is_empty() && !SCHEMES.iter().any(|scheme| literal.eq_ignore_ascii_case(scheme))
}

#[cfg(test)]
mod tests {
    use super::{formed, named};

    #[test]
    fn names_of_secrets_are_told_from_others() {
        for secret in ["Authorization", "GITHUB_TOKEN", "OPENAI_API_KEY", "X-Api-Key", "db-password", "GITHUB_PAT"] {
            assert!(named(secret), "{secret}");
        }
        for other in ["PATH", "SORT_KEY", "TOKENIZER", "MONKEY", "X-Tenant", "COMPATIBLE", "KEY_COLUMN"] {
            assert!(!named(other), "{other}");
        }
    }

    #[test]
    fn known_kinds_of_keys_are_recognised_inside_arguments() {
        assert!(formed("--header=Authorization: Bearer sk-0123456789abcdef"));
        assert!(!formed("sk-learn"));
        assert!(!formed("--task-0123456789abcdef0123"));
    }
}
