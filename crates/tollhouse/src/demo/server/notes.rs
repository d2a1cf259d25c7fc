//! `notes`: remembers what it is told, as long as the process lives. Whoever talks to another process finds nothing.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::program::{Answer, Args, Card, Effect, Program, Refused, Resource, Resources, Tool, Work, object};

/// A demonstration needs a handful; the limit keeps a runaway agent from filling memory.
const NOTES_MAX: usize = 1000;
const TITLE_MAX: usize = 200;
const TEXT_MAX: usize = 64 << 10;

/// The notes of one process.
#[derive(Default)]
pub(super) struct Notes(Mutex<Shelf>);

#[derive(Default)]
struct Shelf {
    notes: BTreeMap<u64, Note>,
    last_id: u64,
}

#[derive(Clone)]
struct Note {
    title: String,
    text: String,
}

impl Program for Notes {
    const CARD: Card = Card {
        name: "notes",
        title: "Notes",
        instructions: "Keeps short notes for as long as this server runs. Add a note, list what is there, read one by \
                       its id or as the resource `notes://<id>`, delete what is done.",
    };
    const TOOLS: &'static [Tool<Self>] = &[
        Tool {
            name: "add_note",
            title: "Add a note",
            description: "Keeps a note and answers with its id. Adding the same note twice keeps it twice.",
            effect: Effect::Adds,
            input: || {
                object(
                    json!({
                        "title": {"type": "string", "maxLength": TITLE_MAX, "description": "One line to find it by"},
                        "text": {"type": "string", "maxLength": TEXT_MAX, "description": "What to remember"},
                    }),
                    &["title", "text"],
                )
            },
            output: id_only,
            run: Notes::add,
        },
        Tool {
            name: "list_notes",
            title: "List the notes",
            description: "Lists the id and title of every note, oldest first.",
            effect: Effect::Reads,
            input: || object(json!({}), &[]),
            output: || {
                let note = object(json!({"id": {"type": "integer"}, "title": {"type": "string"}}), &["id", "title"]);
                object(json!({"notes": {"type": "array", "items": note}}), &["notes"])
            },
            run: Notes::list,
        },
        Tool {
            name: "read_note",
            title: "Read a note",
            description: "Answers with one note's title and text.",
            effect: Effect::Reads,
            input: id_only,
            output: || object(json!({"title": {"type": "string"}, "text": {"type": "string"}}), &["title", "text"]),
            run: Notes::read,
        },
        Tool {
            name: "delete_note",
            title: "Delete a note",
            description: "Removes one note for good and says whether it was there.",
            effect: Effect::Removes,
            input: id_only,
            output: || object(json!({"deleted": {"type": "boolean"}}), &["deleted"]),
            run: Notes::delete,
        },
    ];
    const RESOURCES: Option<Resources<Self>> = Some(Resources {
        template: "notes://{id}",
        description: "One note, by its id",
        list: |notes| notes.with(|shelf| shelf.notes.iter().map(|(id, note)| resource(*id, note)).collect()),
        read: |notes, uri| {
            let id: u64 = uri.strip_prefix("notes://")?.parse().ok()?;
            notes.with(|shelf| shelf.notes.get(&id).map(|note| resource(id, note)))
        },
    });
}

impl Notes {
    /// Nothing here can panic half-way, so a poisoned lock still guards a whole shelf.
    fn with<T>(&self, act: impl FnOnce(&mut Shelf) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, args: &Args<'_>) -> Result<Work, Refused> {
        let note =
            Note { title: args.text("title", TITLE_MAX)?.to_owned(), text: args.text("text", TEXT_MAX)?.to_owned() };
        self.with(|shelf| {
            if shelf.notes.len() >= NOTES_MAX {
                return Err(Refused(format!("the shelf is full: {NOTES_MAX} notes; delete some first")));
            }
            shelf.last_id += 1;
            let id = shelf.last_id;
            shelf.notes.insert(id, note);
            Ok(Answer::now(format!("kept as note {id}"), json!({"id": id})))
        })
    }

    #[expect(clippy::unnecessary_wraps, reason = "every tool of the table has this signature")]
    fn list(&self, _: &Args<'_>) -> Result<Work, Refused> {
        let notes: Vec<(u64, String)> =
            self.with(|shelf| shelf.notes.iter().map(|(id, note)| (*id, note.title.clone())).collect());
        let lines: Vec<String> = notes.iter().map(|(id, title)| format!("{id}: {title}")).collect();
        let text = if lines.is_empty() { "no notes".to_owned() } else { lines.join("\n") };
        let notes: Vec<Value> = notes.into_iter().map(|(id, title)| json!({"id": id, "title": title})).collect();
        Ok(Answer::now(text, json!({"notes": notes})))
    }

    fn read(&self, args: &Args<'_>) -> Result<Work, Refused> {
        let id = args.whole("id", 1..=u64::MAX, None)?;
        let note = self.with(|shelf| shelf.notes.get(&id).cloned());
        let Note { title, text } = note.ok_or_else(|| Refused(format!("there is no note {id}")))?;
        Ok(Answer::now(format!("{title}\n\n{text}"), json!({"title": title, "text": text})))
    }

    fn delete(&self, args: &Args<'_>) -> Result<Work, Refused> {
        let id = args.whole("id", 1..=u64::MAX, None)?;
        let deleted = self.with(|shelf| shelf.notes.remove(&id)).is_some();
        let text = if deleted { format!("note {id} is gone") } else { format!("there was no note {id}") };
        Ok(Answer::now(text, json!({"deleted": deleted})))
    }
}

fn id_only() -> Value {
    object(json!({"id": {"type": "integer", "minimum": 1, "description": "The note's id"}}), &["id"])
}

fn resource(id: u64, note: &Note) -> Resource {
    Resource { uri: format!("notes://{id}"), title: note.title.clone(), text: note.text.clone() }
}
