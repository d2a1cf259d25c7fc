//! The form that chooses: server, tool, failed ones only, a least length. It is a plain form, so what is chosen stands in the address.

use tollhouse_store::question::Field;

use super::address::Address;
use super::text::seen;
use crate::api::query::term;

/// Choices of one kind that are offered.
const CHOICES_MAX: usize = 200;

/// One of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    /// What stands in the address.
    pub(super) value: String,
    /// What is read.
    pub(super) name: String,
    /// It is chosen.
    pub(super) chosen: bool,
}

/// The form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pick {
    /// Where it leads.
    pub(super) action: String,
    /// What else the address says.
    pub(super) hidden: Vec<(String, String)>,
    /// The servers.
    pub(super) servers: Vec<Choice>,
    /// The tools.
    pub(super) tools: Vec<Choice>,
    /// Failed ones only, if that can be chosen.
    pub(super) errors: Option<bool>,
    /// The least length in milliseconds, if that can be chosen.
    pub(super) min_ms: Option<String>,
}

impl Pick {
    /// The form of a page at `path`, which offers these servers and tools.
    pub(super) fn new(address: &Address, path: &str, servers: &[String], tools: &[String]) -> Self {
        let mut pick = Self { action: path.to_owned(), ..Self::default() };
        let mut terms = address.filter().terms;
        for (names, field, word, choices) in
            [(servers, Field::Server, "server", &mut pick.servers), (tools, Field::Name, "tool", &mut pick.tools)]
        {
            let chosen = terms.iter().position(|term| term.field == field && !term.exclude);
            let chosen = chosen.map(|at| terms.remove(at).value);
            let mut names: Vec<&str> = names.iter().map(String::as_str).take(CHOICES_MAX).collect();
            // What is chosen can be seen and kept, also where it is not offered any more.
            names.extend(chosen.as_deref().filter(|chosen| !names.contains(chosen) && seen(chosen) == *chosen));
            *choices = names
                .into_iter()
                .map(|name| Choice {
                    value: format!("{word}:eq:{name}"),
                    name: seen(name),
                    chosen: chosen.as_deref() == Some(name),
                })
                .collect();
        }
        let chosen = |text: &str| {
            let Some(found) = term(text) else { return false };
            let of = |choices: &[Choice], field| {
                found.field == field
                    && !found.exclude
                    && choices
                        .iter()
                        .any(|choice| choice.chosen && choice.value.ends_with(&format!(":eq:{}", found.value)))
            };
            of(&pick.servers, Field::Server) || of(&pick.tools, Field::Name)
        };
        let mut hidden = address.hidden(&["errors", "min_ms", "before", "row", "q"]);
        hidden.retain(|(key, value)| !(key == "f" && (value.is_empty() || chosen(value))) && seen(value) == *value);
        pick.hidden = hidden;
        pick
    }

    /// With a switch for failed ones.
    #[must_use]
    pub(super) fn errors(mut self, address: &Address) -> Self {
        self.errors = Some(address.filter().failed);
        self
    }

    /// With a least length.
    #[must_use]
    pub(super) fn min_ms(mut self, address: &Address) -> Self {
        let least = address.filter().min_us / 1000;
        self.min_ms = Some(if least == 0 { String::new() } else { least.to_string() });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_chosen_is_shown_and_everything_else_goes_along() {
        let address =
            Address::read("/traces", Some("range=6h&f=server:eq:b&f=!tool:eq:x&f=client:eq:c&before=1&errors=true"));
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let pick =
            Pick::new(&address, "/traces", &names(&["a", "b"]), &names(&["x"])).errors(&address).min_ms(&address);
        assert_eq!(pick.servers.iter().map(|choice| choice.chosen).collect::<Vec<_>>(), [false, true]);
        assert!(!pick.tools[0].chosen);
        let hidden: Vec<_> = pick.hidden.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(hidden, ["range=6h", "f=!tool:eq:x", "f=client:eq:c"]);
        assert_eq!((pick.errors, pick.min_ms.as_deref()), (Some(true), Some("")));
        // A server that is gone.
        let pick = Pick::new(&Address::read("/traces", Some("f=server:eq:old")), "/traces", &names(&["a"]), &[]);
        assert_eq!(pick.servers[1], Choice { value: "server:eq:old".to_owned(), name: "old".to_owned(), chosen: true });
    }
}
