//! The shape of a JSON value: keys, types and lengths, never values.
//!
//! It says what a tool was called with where the arguments themselves must not be kept. A shape is short, so that it
//! fits a log line, and it is read by people:
//!
//! ```text
//! {path:str(12),opts:{depth:int,tags:[str×3]},edits:[{line:int,text:str}×2,null]}
//!
//! shape  = object / array / string / "int" / "num" / "bool" / "null" / "?"
//! object = "{" [ key ":" shape *( "," key ":" shape ) ] "}" / "{…}"     ; {…}: deeper than 8
//! array  = "[" [ run *( "," run ) ] "]" / "[…]"
//! run    = shape [ "×" count ]                                          ; neighbours of one shape, counted
//! string = "str(" bytes as written, without quotes ")" / "str"          ; inside arrays without a length
//! key    = what looks like a name of a program / "?"                    ; see `is_name`
//! ```
//!
//! `num` has a fraction or an exponent. What is no JSON is `?` altogether; an ending `…` says that the shape was
//! cut at its limit, and that nobody looked at the rest.
//!
//! Path: `record` → **`shape`** → log line, session page.

use memchr::memchr2;

/// Deeper values are not described: by then a reader has lost the thread.
const DEPTH_MAX: usize = 8;
/// Longer keys are data, not names.
const KEY_LEN_MAX: usize = 64;
/// Names have few digits; ids and tokens, which some use as keys, have many.
const KEY_DIGITS_MAX: usize = 4;

const CUT: &str = "…";

/// The shape of the JSON text `raw`, in at most `max` bytes.
pub fn shape(raw: &[u8], max: usize) -> String {
    let mut walk = Walk { raw, at: 0, out: String::new(), open: Vec::new(), max };
    match walk.run() {
        Ok(()) | Err(Stop::Full) => cut(walk.out, max),
        Err(Stop::Broken) => cut("?".to_owned(), max),
    }
}

/// Shortens `out` to `max` bytes and says so, if it is longer.
fn cut(mut out: String, max: usize) -> String {
    if out.len() > max {
        out.truncate(out.floor_char_boundary(max.saturating_sub(CUT.len())));
        out.push_str(if max < CUT.len() { "" } else { CUT });
    }
    out
}

/// Why the walk ends early.
enum Stop {
    Full,
    Broken,
}

/// One pass over the text, without recursion: hostile nesting costs no stack.
struct Walk<'a> {
    raw: &'a [u8],
    at: usize,
    out: String,
    /// The containers around the current value, at most [`DEPTH_MAX`].
    open: Vec<Open>,
    max: usize,
}

/// A container whose end has not come yet.
enum Open {
    Object,
    Array {
        run: Run,
        /// Where the shape of the current element begins.
        element: usize,
    },
}

/// The last elements of an array that have one shape.
#[derive(Clone, Copy, Default)]
struct Run {
    /// Where the shape begins in the output.
    start: usize,
    /// How many have it; 0 before the first element.
    count: usize,
}

impl<'a> Walk<'a> {
    fn run(&mut self) -> Result<(), Stop> {
        loop {
            let opened = self.value()?;
            if opened {
                continue;
            }
            // A value has ended, and with it perhaps the containers around it.
            while self.value_ended()? {}
            if self.open.is_empty() {
                self.blanks();
                return if self.at == self.raw.len() { Ok(()) } else { Err(Stop::Broken) };
            }
        }
    }

    /// Describes the value that begins here; `true` if it is a container with something in it, which comes next.
    fn value(&mut self) -> Result<bool, Stop> {
        self.blanks();
        let shape = match self.take()? {
            b'{' => return self.container(b'}', "{", "{}", "{…}"),
            b'[' => return self.container(b']', "[", "[]", "[…]"),
            b'"' => {
                let length = self.string()?.len();
                if self.open.iter().any(|open| matches!(open, Open::Array { .. })) {
                    "str"
                } else {
                    self.out.push_str("str(");
                    self.out.push_str(&length.to_string());
                    ")"
                }
            }
            b't' => self.literal(b"rue", "bool")?,
            b'f' => self.literal(b"alse", "bool")?,
            b'n' => self.literal(b"ull", "null")?,
            b'-' | b'0'..=b'9' => self.number(),
            _ => return Err(Stop::Broken),
        };
        self.out.push_str(shape);
        Ok(false)
    }

    fn container(&mut self, end: u8, begin: &str, empty: &str, deep: &str) -> Result<bool, Stop> {
        self.blanks();
        if self.raw.get(self.at) == Some(&end) {
            self.at += 1;
            self.out.push_str(empty);
            return Ok(false);
        }
        if self.open.len() == DEPTH_MAX {
            self.skip_container()?;
            self.out.push_str(deep);
            return Ok(false);
        }
        self.out.push_str(begin);
        if end == b'}' {
            self.open.push(Open::Object);
            self.key()?;
        } else {
            self.open.push(Open::Array { run: Run::default(), element: self.out.len() });
        }
        Ok(true)
    }

    /// Goes on after a value; `true` if that ended the container around it, which is a value itself.
    fn value_ended(&mut self) -> Result<bool, Stop> {
        let Some(open) = self.open.last_mut() else { return Ok(false) };
        if let Open::Array { run, element } = open {
            run.join(&mut self.out, *element);
        }
        if self.out.len() > self.max {
            return Err(Stop::Full);
        }
        self.blanks();
        match (self.take()?, self.open.last_mut()) {
            (b',', Some(Open::Object)) => {
                self.out.push(',');
                self.key()?;
                Ok(false)
            }
            (b',', Some(Open::Array { element, .. })) => {
                *element = self.out.len();
                Ok(false)
            }
            (b'}', Some(Open::Object)) => {
                self.out.push('}');
                self.open.pop();
                Ok(true)
            }
            (b']', Some(Open::Array { run, .. })) => {
                self.out.push_str(&run.times());
                self.out.push(']');
                self.open.pop();
                Ok(true)
            }
            _ => Err(Stop::Broken),
        }
    }

    /// A key and its colon.
    fn key(&mut self) -> Result<(), Stop> {
        self.blanks();
        if self.take()? != b'"' {
            return Err(Stop::Broken);
        }
        let key = self.string()?;
        self.out.push_str(if is_name(key) { str::from_utf8(key).map_err(|_| Stop::Broken)? } else { "?" });
        self.out.push(':');
        self.blanks();
        if self.take()? == b':' { Ok(()) } else { Err(Stop::Broken) }
    }

    /// The rest of a string whose quote was taken: as written, without the quotes.
    fn string(&mut self) -> Result<&'a [u8], Stop> {
        let start = self.at;
        loop {
            self.at += memchr2(b'"', b'\\', self.rest()).ok_or(Stop::Broken)?;
            if self.take()? == b'"' {
                return Ok(&self.raw[start..self.at - 1]);
            }
            self.take()?;
        }
    }

    fn literal(&mut self, rest: &[u8], shape: &'static str) -> Result<&'static str, Stop> {
        if !self.rest().starts_with(rest) {
            return Err(Stop::Broken);
        }
        self.at += rest.len();
        Ok(shape)
    }

    fn number(&mut self) -> &'static str {
        let rest = self.rest();
        let end = rest.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
        let digits = &rest[..end.unwrap_or(rest.len())];
        self.at += digits.len();
        if digits.iter().all(u8::is_ascii_digit) { "int" } else { "num" }
    }

    /// Passes over a container whose beginning was taken; what is in it is not looked at.
    fn skip_container(&mut self) -> Result<(), Stop> {
        let mut depth = 1;
        while depth > 0 {
            match self.take()? {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                b'"' => drop(self.string()?),
                _ => {}
            }
        }
        Ok(())
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.raw.get(self.at) {
            self.at += 1;
        }
    }

    fn rest(&self) -> &'a [u8] {
        &self.raw[self.at..]
    }

    fn take(&mut self) -> Result<u8, Stop> {
        let byte = self.raw.get(self.at).ok_or(Stop::Broken)?;
        self.at += 1;
        Ok(*byte)
    }
}

impl Run {
    /// Takes in the element whose shape stands in `out` from `element` on, right behind the run's own.
    fn join(&mut self, out: &mut String, element: usize) {
        let shapes = out.as_bytes();
        if self.count > 0 && shapes[self.start..element] == shapes[element..] {
            out.truncate(element);
            self.count += 1;
            return;
        }
        let mut between = self.times();
        if self.count > 0 {
            between.push(',');
        }
        out.insert_str(element, &between);
        *self = Self { start: element + between.len(), count: 1 };
    }

    /// What stands behind the shape of the run.
    fn times(&self) -> String {
        if self.count > 1 { format!("×{}", self.count) } else { String::new() }
    }
}

/// Does this key look like a name that someone chose, not like data? Only then may it be shown.
fn is_name(key: &[u8]) -> bool {
    key.len() <= KEY_LEN_MAX
        && key.first().is_some_and(|&byte| byte.is_ascii_alphabetic() || byte == b'_' || byte == b'$')
        && key.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"_$-.".contains(&byte))
        && key.iter().filter(|byte| byte.is_ascii_digit()).count() <= KEY_DIGITS_MAX
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
    use serde_json::Value;

    use super::shape;

    #[track_caller]
    fn check(raw: &str, expected: &str) {
        assert_eq!(shape(raw.as_bytes(), 1000), expected, "{raw}");
    }

    #[test]
    fn keys_types_and_lengths_are_told() {
        check(
            r#"{"path":"/etc/passwords","opts":{"depth":3,"tags":["a","bb","ccc"]}}"#,
            "{path:str(14),opts:{depth:int,tags:[str×3]}}",
        );
        check(r#" { "a" : true , "b" : [ ] , "c" : { } , "d" : null } "#, "{a:bool,b:[],c:{},d:null}");
        check(r#"[1,-2,1.5,1e3,"x",false]"#, "[int×2,num×2,str,bool]");
        check(r#""""#, "str(0)");
        check(r#""a\"b\\""#, "str(6)");
        check("42", "int");
        check("null", "null");
    }

    #[test]
    fn elements_of_one_shape_are_counted() {
        check(r#"[{"a":1,"b":"x"},{"a":2,"b":"yyy"},null,{"a":1}]"#, "[{a:int,b:str}×2,null,{a:int}]");
        check("[[1,2],[3,4],[5]]", "[[int×2]×2,[int]]");
        check(&format!("[{}0]", "0,".repeat(9999)), "[int×10000]");
    }

    #[test]
    fn keys_that_look_like_data_are_not_shown() {
        check(r#"{"content-type":1,"$ref":1,"_x":1,"v1.2":1}"#, "{content-type:int,$ref:int,_x:int,v1.2:int}");
        for key in [
            "",
            "a b",
            "user@example.com",
            "0b1",
            "caf\u{e9}",
            r"a\u0041",
            "sk-a1b2c3d4e5",
            "f81d4fae-7dec-11d0-a765",
            &"x".repeat(65),
            "a/b",
            "-a",
        ] {
            check(&format!(r#"{{"{key}":1}}"#), "{?:int}");
        }
    }

    #[test]
    fn what_is_no_json_is_a_question_mark() {
        for raw in [
            "",
            " ",
            "{",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\" 1}",
            "[1}",
            "{\"a\":1]",
            "\"a",
            "\"a\\",
            "tru",
            "nul",
            "1 2",
            "{} x",
            "hello",
            "}",
            ",",
            "[1 2]",
            "'a'",
            "{,}",
        ] {
            check(raw, "?");
        }
    }

    #[test]
    fn deep_values_are_not_described() {
        check("[[[[[[[[1]]]]]]]]", "[[[[[[[[int]]]]]]]]");
        check("[[[[[[[[[\"]\",1],{}]]]]]]]]", "[[[[[[[[[…],{}]]]]]]]]");
        check(r#"{"a":[[[[[[[{"k":[]}]]]]]]]}"#, "{a:[[[[[[[{…}]]]]]]]}");
        check(&"[".repeat(100_000), "?");
        let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        check(&nested, "[[[[[[[[[…]]]]]]]]]");
    }

    #[test]
    fn a_long_shape_is_cut_and_says_so() {
        let raw = br#"{"alpha":1,"beta":"x","gamma":[1,"x"]}"#;
        let whole = "{alpha:int,beta:str(1),gamma:[int,str]}";
        assert_eq!(shape(raw, whole.len()), whole);
        assert_eq!(shape(raw, whole.len() - 1), "{alpha:int,beta:str(1),gamma:[int,s…");
        assert_eq!(shape(raw, 10), "{alpha:…");
        assert_eq!(shape(raw, 3), "…");
        assert_eq!(shape(raw, 2), "");
        assert_eq!(shape(b"", 1), "?");
        assert_eq!(shape(b"", 0), "");
    }

    /// Values that are recognisable wherever they turn up: capitals and long numbers, which no shape contains.
    fn canary() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            "[A-Z]{3,12}".prop_map(Value::from),
            (1_000_000_u64..).prop_map(Value::from),
            (0.1..1e6).prop_map(|number: f64| Value::from(number + 1e6)),
        ];
        leaf.prop_recursive(10, 60, 6, |inner| {
            let key = prop_oneof!["[a-z_]{1,8}", "[A-Z]{3}[0-9]{6}", "[A-Z] [A-Z]{3}"];
            prop_oneof![
                vec(inner.clone(), 0..6).prop_map(Value::from),
                vec((key, inner), 0..6).prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_value_of_the_input_is_in_the_shape(value in canary(), max in 0_usize..300) {
            let shape = shape(value.to_string().as_bytes(), max);
            prop_assert!(shape.len() <= max);
            prop_assert!(!shape.contains(|letter: char| letter.is_ascii_uppercase()), "{}", shape);
            let digits = shape.split(|letter: char| !letter.is_ascii_digit()).map(str::len).max();
            prop_assert!(digits.unwrap_or(0) < 6, "{}", shape);
        }

        #[test]
        fn valid_json_has_a_shape_whatever_its_spacing(value in canary()) {
            let compact = shape(value.to_string().as_bytes(), 10_000);
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            prop_assert_eq!(&shape(pretty.as_bytes(), 10_000), &compact);
            prop_assert!(compact != "?");
        }

        #[test]
        fn any_bytes_have_a_shape_within_the_limit(bytes: Vec<u8>, text in r#"[\[\]{}:,"\\a1 tn]{0,40}"#, max in 0_usize..60) {
            for raw in [&bytes[..], text.as_bytes()] {
                prop_assert!(shape(raw, max).len() <= max);
            }
        }
    }
}
