//! Names whose values are secrets.

/// Words of which one is enough.
const WORDS: [&str; 24] = [
    "authorization",
    "auth",
    "cookie",
    "cookies",
    "password",
    "passwords",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "secret",
    "secrets",
    "token",
    "credential",
    "credentials",
    "certificate",
    "apikey",
    "accesskey",
    "privatekey",
    "otp",
    "pin",
    "pat",
    "jwt",
    "bearer",
];

/// Words of which two in a row are.
const PAIRS: [(&str, &str); 10] = [
    ("api", "key"),
    ("access", "key"),
    ("private", "key"),
    ("ssh", "key"),
    ("auth", "key"),
    ("account", "key"),
    ("encryption", "key"),
    ("signing", "key"),
    ("subscription", "key"),
    ("session", "id"),
];

/// Longer names are no names.
const LEN_MAX: usize = 128;

/// Does the name say that its value is a secret? It is split at `_`, `-`, `.`, blanks and where small letters become
/// large ones, and compared word by word: `apiKey` and `x-auth-token` do, `monkey` and `max_tokens` do not.
pub fn sensitive(name: &str) -> bool {
    if name.len() > LEN_MAX {
        return false;
    }
    let mut before = String::new();
    let mut word = String::new();
    let mut ends = |word: &mut String| {
        let found = WORDS.contains(&word.as_str())
            || PAIRS.iter().any(|(first, second)| *first == before && *second == word.as_str());
        if !word.is_empty() {
            before = std::mem::take(word);
        }
        found
    };
    let letters: Vec<char> = name.chars().collect();
    for (at, letter) in letters.iter().enumerate() {
        if !letter.is_alphanumeric() {
            if ends(&mut word) {
                return true;
            }
            continue;
        }
        let small =
            |at: usize| letters.get(at).is_some_and(|letter: &char| letter.is_lowercase() || letter.is_ascii_digit());
        // `apiKey`, and the last of several large letters before a small one: `APIKey`.
        let begins = letter.is_uppercase()
            && at > 0
            && (small(at - 1)
                || (letters[at - 1].is_uppercase() && letters.get(at + 1).is_some_and(|next| next.is_lowercase())));
        if begins && ends(&mut word) {
            return true;
        }
        word.extend(letter.to_lowercase());
    }
    ends(&mut word)
}
