//! Secrets that are written out → names of variables that shall hold them.
//!
//! What counts as a secret is what the configuration refuses, and a little more, since a client's file says less
//! about its values. The values stay where they are: only the names are written and told.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{Written, secret};

/// The variables that a configuration made here needs.
#[derive(Default)]
pub(crate) struct Names {
    /// What each stands for, which is secret, and where that is written.
    taken: BTreeMap<String, (String, String)>,
    /// Names that a configuration uses for something else already.
    reserved: BTreeSet<String>,
}

impl Names {
    /// Each variable with the place its value is written at.
    pub(crate) fn places(&self) -> impl Iterator<Item = (&str, &str)> {
        self.taken.iter().map(|(name, (_, place))| (name.as_str(), place.as_str()))
    }

    /// Keeps a name that stands for something already, which is not known.
    pub(crate) fn reserve(&mut self, name: &str) {
        self.reserved.insert(name.to_owned());
    }

    /// Notes what a name stands for already.
    pub(crate) fn hold(&mut self, name: &str, value: &str, place: &str) {
        self.taken.entry(name.to_owned()).or_insert_with(|| (value.to_owned(), place.to_owned()));
    }

    /// Puts a name in the place of each secret of `server`.
    pub(crate) fn put_into(&mut self, server: &mut Written) {
        let id = server.name.clone();
        for (name, value) in &mut server.env {
            *value = self.asked(value);
            if !refers(value) && !value.is_empty() && (secret::named(name) || secret::formed(value)) {
                *value = self.name(name, &id, value, &format!("`env.{name}` of server `{id}`"));
            }
        }
        for (name, value) in &mut server.headers {
            *value = self.asked(value);
            if refers(value) || !(secret::named(name) || secret::formed(value)) || !secret::beyond_scheme(value) {
                continue;
            }
            let (scheme, credential) = parts(value);
            let word = if name.eq_ignore_ascii_case("authorization") { "token" } else { name.as_str() };
            let place = format!("header `{name}` of server `{id}`");
            *value = format!("{scheme}{}", self.name(&format!("{id}_{word}"), &id, credential, &place));
        }
        let mut flag = None;
        for (at, arg) in server.args.iter_mut().enumerate() {
            *arg = self.asked(arg);
            let named = arg.split_once(['=', ':']).filter(|(name, _)| secret::named(name.trim()));
            let place = format!("argument {} of server `{id}`", at + 1);
            let before: Option<String> = flag.take();
            if arg.starts_with('-') && !arg.contains('=') && secret::named(arg) {
                flag = Some(arg.clone());
            } else if refers(arg) {
                // Named already.
            } else if let Some((name, value)) = named {
                let word = format!("{id}_{}", name.trim().trim_start_matches('-'));
                let (_, credential) = parts(value.trim_start());
                let (kept, _) = arg.split_at(arg.len() - credential.len());
                *arg = format!("{kept}{}", self.name(&word, &id, credential, &place));
            } else if let Some(before) = before {
                *arg = self.name(&format!("{id}_{}", before.trim_start_matches('-')), &id, arg, &place);
            } else if secret::formed(arg) {
                *arg = self.name(&format!("{id}_secret"), &id, arg, &place);
            }
        }
        if let Some(url) = &mut server.url {
            let named = self.asked(url);
            *url = self.url(&id, &named);
        }
    }

    /// Puts names in the place of secret parameters.
    fn url(&mut self, id: &str, url: &str) -> String {
        let Some((before, query)) = url.split_once('?') else { return url.to_owned() };
        let mut parameter = |text: &str| match text.split_once('=') {
            Some((name, value)) if !refers(value) && (secret::named(name) || secret::formed(value)) => {
                let place = format!("parameter `{name}` of the URL of server `{id}`");
                format!("{name}={}", self.name(&format!("{id}_{name}"), id, value, &place))
            }
            _ => text.to_owned(),
        };
        let query: Vec<String> = query.split('&').map(&mut parameter).collect();
        format!("{before}?{}", query.join("&"))
    }

    /// `${input:some-key}`, which an editor asks its owner for, as a variable.
    fn asked(&mut self, text: &str) -> String {
        let mut parts = text.split("${input:");
        let mut changed = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            match part.split_once('}') {
                Some((name, rest)) => {
                    let place = format!("what the editor asks for as `{name}`");
                    changed.extend([self.name(name, "input", &format!("input:{name}"), &place).as_str(), rest]);
                }
                None => changed.extend(["${input:", part]),
            }
        }
        changed
    }

    /// The reference to a variable that holds `value`: called `wanted`, unless that is another one.
    fn name(&mut self, wanted: &str, id: &str, value: &str, place: &str) -> String {
        let first = variable(wanted);
        let owner = variable(id) + "_";
        let second = if first.starts_with(&owner) { first.clone() } else { owner + &first };
        let more = (2..).map(|n| format!("{second}_{n}"));
        let candidates = [first, second.clone()].into_iter().chain(more);
        let free = |name: &String| match self.taken.get(name) {
            Some((held, _)) => held == value,
            None => !self.reserved.contains(name),
        };
        let name = candidates.into_iter().find(free).expect("numbers do not end");
        self.taken.entry(name.clone()).or_insert_with(|| (value.to_owned(), place.to_owned()));
        format!("${{{name}}}")
    }
}

/// A credential with what stands before it: `Bearer ` and the token.
fn parts(value: &str) -> (&str, &str) {
    match value.find(' ') {
        Some(at) if !secret::beyond_scheme(value.split_at(at).0) => value.split_at(at + 1),
        Some(_) | None => ("", value),
    }
}

/// Whether a variable is named in it.
pub(crate) fn refers(text: &str) -> bool {
    text.contains("${")
}

/// A name that shells accept.
fn variable(text: &str) -> String {
    let upper = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let name: String = text.chars().map(upper).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_become_names_wherever_they_stand_and_the_rest_stays() {
        let pairs = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let mut names = Names::default();
        let mut server = Written {
            name: "my-git".into(),
            args: words(&[
                "-y",
                "x",
                "--api-key",
                "canary1",
                "--token=canary2",
                "--header",
                "Authorization: Bearer canary3",
                "sk-canary40123456789",
            ]),
            env: pairs(&[
                ("GIT_TOKEN", "canary5"),
                ("LOG", "debug"),
                ("A_TOKEN", "${A}"),
                ("KEY", "${input:the-key}"),
                ("B_TOKEN", ""),
            ]),
            headers: pairs(&[("Authorization", "Bearer canary6"), ("X-Api-Key", "canary7"), ("X-Team", "blue")]),
            url: Some("https://h.example/mcp?apiKey=canary8&n=1".into()),
            ..Written::default()
        };
        names.put_into(&mut server);
        assert_eq!(
            server.args,
            [
                "-y",
                "x",
                "--api-key",
                "${MY_GIT_API_KEY}",
                "--token=${MY_GIT_TOKEN_2}",
                "--header",
                "Authorization: Bearer ${MY_GIT_AUTHORIZATION}",
                "${MY_GIT_SECRET}"
            ]
        );
        assert_eq!(
            server.env,
            pairs(&[
                ("GIT_TOKEN", "${GIT_TOKEN}"),
                ("LOG", "debug"),
                ("A_TOKEN", "${A}"),
                ("KEY", "${THE_KEY}"),
                ("B_TOKEN", "")
            ])
        );
        assert_eq!(
            server.headers,
            pairs(&[
                ("Authorization", "Bearer ${MY_GIT_TOKEN}"),
                ("X-Api-Key", "${MY_GIT_X_API_KEY}"),
                ("X-Team", "blue")
            ])
        );
        assert_eq!(server.url.as_deref(), Some("https://h.example/mcp?apiKey=${MY_GIT_APIKEY}&n=1"));
        assert!(names.places().any(|(name, place)| name == "THE_KEY" && place.contains("`the-key`")));
        assert!(names.places().all(|(name, place)| !format!("{name}{place}").contains("canary")));
    }

    #[test]
    fn one_name_never_stands_for_two_secrets() {
        let mut names = Names::default();
        let given: Vec<String> = [("a", "1"), ("b", "1"), ("c", "2")]
            .into_iter()
            .map(|(id, value)| {
                let env = vec![("TOKEN".to_owned(), value.to_owned())];
                let mut server = Written { name: id.into(), env, ..Written::default() };
                names.put_into(&mut server);
                server.env.remove(0).1
            })
            .collect();
        assert_eq!(given, ["${TOKEN}", "${TOKEN}", "${C_TOKEN}"]);
    }
}
