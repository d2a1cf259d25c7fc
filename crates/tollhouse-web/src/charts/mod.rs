//! Pictures of numbers, as SVG text made on the server.
//!
//! The same numbers are the same bytes, with or without scripts, on screen and on paper. A chart holds no style: places
//! and lengths are attributes, colours come by class, as a policy without inline styles demands. It stretches to the
//! room it is given and therefore holds no words but titles; what it shows stands in a [`Table`] beside it, for whoever
//! does not see it and for whoever wants it exactly.

mod bars;
mod lanes;
mod lines;
mod spans;

pub(crate) use bars::{Series, Slot, histogram, sparkline, stacked};
pub(crate) use lanes::{Lanes, Stretch, lanes};
pub(crate) use lines::{Percentiles, latency};
pub(crate) use spans::{Bar, bar, scale};

use std::fmt::{self, Write as _};

/// Words in a title are cut beyond this many characters.
const TITLE_MAX: usize = 200;

/// SVG text. It may stand in a page as it is: whatever came from outside was made harmless when it was put in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Svg(String);

impl fmt::Display for Svg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a chart shows, in figures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Table {
    /// What it is about.
    pub(crate) caption: String,
    /// The names of the columns.
    pub(crate) head: Vec<String>,
    /// The first cell of a row names it.
    pub(crate) rows: Vec<Vec<String>>,
}

/// A picture and its figures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Chart {
    /// The picture.
    pub(crate) svg: Svg,
    /// The same in figures.
    pub(crate) table: Table,
}

/// A picture that is being drawn, in units of its own.
struct Drawing(String);

impl Drawing {
    /// Begins a picture of `width` by `height` with a name for those who do not see it.
    fn new(class: &'static str, width: f64, height: f64, title: &str) -> Self {
        let mut drawing = Self(String::with_capacity(512));
        let (width, height) = (Length(width), Length(height));
        drawing.put(format_args!(
            r#"<svg class="{class}" viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img">"#
        ));
        drawing.title(title);
        drawing
    }

    /// Begins a picture that says nothing which does not stand beside it in words.
    fn silent(class: &'static str, width: f64, height: f64) -> Self {
        let (width, height) = (Length(width), Length(height));
        Self(format!(
            r#"<svg class="{class}" viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true">"#
        ))
    }

    /// Begins a picture of words, in parts of the room it is given; they stand elsewhere too.
    fn words(class: &'static str) -> Self {
        Self(format!(r#"<svg class="{class}" aria-hidden="true">"#))
    }

    fn put(&mut self, text: fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("writing to memory succeeds");
    }

    fn title(&mut self, title: &str) {
        let title = Harmless(title);
        self.put(format_args!("<title>{title}</title>"));
    }

    fn rect(&mut self, class: &str, at: Rect, title: Option<&str>) {
        let (x, y, width, height) = (Length(at.x), Length(at.y), Length(at.width), Length(at.height));
        let class = Harmless(class);
        self.put(format_args!(r#"<rect class="{class}" x="{x}" y="{y}" width="{width}" height="{height}""#));
        match title {
            None => self.0.push_str("/>"),
            Some(title) => {
                self.0.push('>');
                self.title(title);
                self.0.push_str("</rect>");
            }
        }
    }

    /// Points joined by lines; `shut` joins the last with the first.
    fn path(&mut self, class: &'static str, points: &[(f64, f64)], shut: bool) {
        self.put(format_args!(r#"<path class="{class}" d=""#));
        for (nth, (x, y)) in points.iter().enumerate() {
            let (step, x, y) = (if nth == 0 { 'M' } else { 'L' }, Length(*x), Length(*y));
            self.put(format_args!("{step}{x} {y}"));
        }
        self.0.push_str(if shut { r#"Z"/>"# } else { r#""/>"# });
    }

    fn finish(mut self) -> Svg {
        self.0.push_str("</svg>");
        Svg(self.0)
    }
}

/// A part of the plane.
#[derive(Debug, Clone, Copy)]
struct Rect {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

/// A length with one digit after the point, if it needs one.
struct Length(f64);

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:.1}", self.0);
        f.write_str(text.strip_suffix(".0").unwrap_or(&text))
    }
}

/// To the tenth that [`Length`] writes, so that edges which meet are written alike.
fn tenth(length: f64) -> f64 {
    (length * 10.0).round() / 10.0
}

/// Text from outside: no markup, nothing that turns the direction of what follows, not too much of it.
struct Harmless<'a>(&'a str);

impl fmt::Display for Harmless<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, c) in self.0.chars().enumerate() {
            if nth == TITLE_MAX {
                return f.write_char('…');
            }
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&#34;")?,
                '\'' => f.write_str("&#39;")?,
                // Marks that show nothing, or turn the direction of what follows.
                '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => {
                    f.write_char('\u{fffd}')?;
                }
                c if c.is_control() => f.write_char('\u{fffd}')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// A count as a length.
#[expect(
    clippy::cast_precision_loss,
    reason = "a picture has a few thousand points, and counts beyond 2^53 do not occur"
)]
fn number(count: u64) -> f64 {
    count as f64
}

/// `part` of `whole`, of a length; nothing of nothing.
fn share(part: u64, whole: u64, length: f64) -> f64 {
    if whole == 0 { 0.0 } else { number(part.min(whole)) / number(whole) * length }
}

#[cfg(test)]
mod tests;
