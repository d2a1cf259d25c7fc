//! How a block of the configuration is declared: once, for reading, for the schema and for the reference page.
//!
//! Serde stops at the first mistake; an operator wants all of them. So each block walks its part of the tree
//! itself: [`block!`] turns a struct, whose doc comments are the documentation, into a reader that reports every
//! unknown key and every wrong value, and into a schema with the same keys. A feature adds its block with
//!
//! ```ignore
//! block! {
//!     /// Bounds how many calls one server works on at once.
//!     struct Limit {
//!         /// Calls at work in one server.
//!         max_concurrent: Count<1, 10_000> = MAX_CONCURRENT_DEFAULT,
//!     }
//! }
//! ```
//!
//! and as a field of the block above it.

use schemars::JsonSchema;
use schemars::{Schema, SchemaGenerator, json_schema};

use super::finding::{Code, Finding, Findings};
use super::near::nearest;
use super::node::{At, Content, Entry, Node};

/// What can stand after a key.
pub(crate) trait Value: JsonSchema + Sized {
    /// Turns `node` into the value, or into findings.
    fn read(node: &Node, findings: &mut Findings) -> Option<Self>;

    /// The same, with the place kept.
    fn read_at(node: &Node, findings: &mut Findings) -> Option<At<Self>> {
        Self::read(node, findings).map(|value| At { value, place: node.place.clone() })
    }
}

/// What a block knows about keys that are not its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keys {
    /// Those it reads.
    pub(crate) known: &'static [&'static str],
    /// Those that belong to later versions.
    pub(crate) later: &'static [&'static str],
    /// Those of other programs, each with what to write instead.
    pub(crate) foreign: &'static [(&'static str, &'static str)],
}

impl Keys {
    /// Reports `entry`, whose key is none of `known`.
    pub(crate) fn refuse(&self, entry: &Entry, findings: &mut Findings) {
        let At { value: key, place } = &entry.key;
        if self.later.contains(&key.as_str()) {
            findings
                .error(Code::Later, place, format!("this version does not have `{}` yet", place.path))
                .detail("it would be without effect, so it is refused")
                .hint("remove it");
            return;
        }
        let finding = findings.error(Code::UnknownKey, place, format!("`{}` is no key of Tollhouse", place.path));
        if let Some((_, instead)) = self.foreign.iter().find(|(foreign, _)| foreign == key) {
            finding.hint(*instead);
        } else if let Some(near) = nearest(key, self.known.iter().copied()) {
            finding.hint(format!("did you mean `{near}`?"));
        } else {
            finding.hint(format!("known here: {}", self.known.join(", ")));
        }
    }
}

/// The entries of a map; a key with nothing after it is an empty one. `None` after a finding.
pub(crate) fn entries<'a>(node: &'a Node, expected: &str, findings: &mut Findings) -> Option<&'a [Entry]> {
    match &node.content {
        Content::Map(entries) => Some(entries),
        Content::Nothing => Some(&[]),
        Content::Bool(..) | Content::Number(_) | Content::Text(_) | Content::List(_) => {
            wrong_type(node, expected, findings);
            None
        }
    }
}

/// Reports that `node` is of another type than `expected`. The value is not shown: nobody knows what it was to be.
pub(crate) fn wrong_type<'f>(node: &Node, expected: &str, findings: &'f mut Findings) -> &'f mut Finding {
    let name = if node.place.path.is_empty() { "the file" } else { &format!("`{}`", node.place.path) };
    findings.error(Code::Type, &node.place, format!("{name} is {}", node.kind())).detail(format!("expected {expected}"))
}

/// Values of one kind in order.
#[derive(Debug, Clone)]
pub(crate) struct List<T>(pub(crate) Vec<At<T>>);

impl<T: Value> Value for List<T> {
    fn read(node: &Node, findings: &mut Findings) -> Option<Self> {
        match &node.content {
            Content::List(nodes) => Some(Self(nodes.iter().filter_map(|node| T::read_at(node, findings)).collect())),
            Content::Nothing => Some(Self(Vec::new())),
            Content::Bool(..) | Content::Number(_) | Content::Text(_) | Content::Map(_) => {
                let finding = wrong_type(node, "a list", findings);
                if node.scalar().is_some() {
                    finding.hint("put `[` and `]` around it");
                }
                None
            }
        }
    }
}

impl<T: JsonSchema> JsonSchema for List<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("List_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["array", "null"], "items": generator.subschema_for::<T>() })
    }
}

/// Values of one kind under keys of the operator's choice, in the order of the file.
#[derive(Debug, Clone)]
pub(crate) struct Map<T>(pub(crate) Vec<(At<String>, At<T>)>);

impl<T: Value> Value for Map<T> {
    fn read(node: &Node, findings: &mut Findings) -> Option<Self> {
        let entries = entries(node, "a map", findings)?;
        let read = |entry: &Entry, findings: &mut Findings| {
            T::read_at(&entry.node, findings).map(|value| (entry.key.clone(), value))
        };
        Some(Self(entries.iter().filter_map(|entry| read(entry, findings)).collect()))
    }
}

impl<T: JsonSchema> JsonSchema for Map<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Map_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["object", "null"], "additionalProperties": generator.subschema_for::<T>() })
    }
}

/// The schema of one key: what its value is, and what it means. `order` is its rank in the struct, since a JSON
/// object has none.
pub(crate) fn property(mut schema: Schema, order: usize, doc: &str, default: Option<serde_json::Value>) -> Schema {
    schema.insert("description".to_owned(), doc.trim().into());
    schema.insert("x-order".to_owned(), order.into());
    if let Some(default) = default {
        schema.insert("default".to_owned(), default);
    }
    schema
}

/// Declares a block; see the head of this file. After the struct may stand `later: [..]`, keys that belong to
/// later versions, and `foreign: [(key, hint)]`, keys that people bring along from other programs.
macro_rules! block {
    (
        $(#[doc = $doc:literal])*
        struct $name:ident {
            $(
                $(#[doc = $field_doc:literal])*
                $field:ident: $type:ty $(= $default:expr)?
            ),* $(,)?
        }
        $(later: [$($later:literal),* $(,)?])?
        $(foreign: [$(($foreign:literal, $instead:literal)),* $(,)?])?
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Default)]
        pub(crate) struct $name {
            $(
                $(#[doc = $field_doc])*
                pub(crate) $field: Option<$crate::config::node::At<$type>>,
            )*
        }

        impl $name {
            const KEYS: $crate::config::block::Keys = $crate::config::block::Keys {
                known: &[$(stringify!($field)),*],
                later: &[$($($later),*)?],
                foreign: &[$($(($foreign, $instead)),*)?],
            };
        }

        impl $crate::config::block::Value for $name {
            fn read(
                node: &$crate::config::node::Node,
                findings: &mut $crate::config::finding::Findings,
            ) -> Option<Self> {
                let mut block = Self::default();
                for entry in $crate::config::block::entries(node, "a map", findings)? {
                    match entry.key.value.as_str() {
                        $(stringify!($field) => {
                            block.$field = <$type as $crate::config::block::Value>::read_at(&entry.node, findings);
                        })*
                        _ => Self::KEYS.refuse(entry, findings),
                    }
                }
                Some(block)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let mut properties = serde_json::Map::new();
                $(
                    let default: Option<serde_json::Value> = None $(.or(Some(serde_json::Value::from($default))))?;
                    properties.insert(
                        stringify!($field).to_owned(),
                        $crate::config::block::property(
                            generator.subschema_for::<$type>(),
                            properties.len(),
                            concat!($($field_doc),*),
                            default,
                        )
                        .into(),
                    );
                )*
                schemars::json_schema!({
                    "type": ["object", "null"],
                    "description": concat!($($doc),*).trim(),
                    "properties": properties,
                    "additionalProperties": false,
                })
            }
        }
    };
}
pub(crate) use block;
