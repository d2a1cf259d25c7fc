//! What stands on the screen, and what keys make of it.

use tollhouse_web::Status;

use super::super::recorded::{fitted, now_us, time};
use super::super::{Paint, Tone};
use super::look::Look;
use super::terminal::{Key, Size};
use super::view::View;

/// Spans of time that `r` goes through.
const SPANS: [&str; 6] = ["5m", "15m", "1h", "6h", "24h", "7d"];
/// Lines above the table's rows, and below.
const AROUND: usize = 6;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What follows from a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Draw,
    Ask,
    End,
}

/// The screen.
pub(super) struct Screen {
    view: View,
    since: String,
    order: Option<usize>,
    first: usize,
    filter: String,
    typing: bool,
    paused: bool,
    look: Option<Look>,
    /// Why the last look came to nothing.
    trouble: Option<String>,
}

impl Screen {
    pub(super) fn new(view: View, since: &str) -> Self {
        Self {
            view,
            since: since.to_owned(),
            order: view.order(),
            first: 0,
            filter: String::new(),
            typing: false,
            paused: false,
            look: None,
            trouble: None,
        }
    }

    pub(super) fn view(&self) -> View {
        self.view
    }

    pub(super) fn since(&self) -> &str {
        &self.since
    }

    pub(super) fn paused(&self) -> bool {
        self.paused
    }

    /// Takes what a look came to.
    pub(super) fn take(&mut self, look: Result<Look, String>) {
        match look {
            Ok(look) => (self.look, self.trouble) = (Some(look), None),
            Err(trouble) => self.trouble = Some(trouble),
        }
    }

    pub(super) fn press(&mut self, key: Key) -> Then {
        if self.typing {
            match key {
                Key::Enter => self.typing = false,
                Key::Escape => (self.typing, self.filter) = (false, String::new()),
                Key::Backspace => _ = self.filter.pop(),
                Key::Char(c) => self.filter.push(c),
                Key::Tab | Key::BackTab | Key::Up | Key::Down | Key::PageUp | Key::PageDown => {}
                Key::End => return Then::End,
            }
            self.first = 0;
            return Then::Draw;
        }
        match key {
            Key::Char('q') | Key::End => return Then::End,
            Key::Tab | Key::Char('l') => return self.go(self.view.after(1)),
            Key::BackTab | Key::Char('h') => return self.go(self.view.after(View::ALL.len() - 1)),
            Key::Char('1') => return self.go(View::Tools),
            Key::Char('2') => return self.go(View::Servers),
            Key::Char('3') => return self.go(View::Sessions),
            Key::Char('4') => return self.go(View::Errors),
            Key::Char('s') => {
                let columns = self.look.as_ref().map_or(0, |look| look.table.columns.len());
                self.order = self.order.map_or(Some(0), |at| Some(at + 1)).filter(|at| *at < columns);
            }
            Key::Char('r') => {
                let at = SPANS.iter().position(|span| *span == self.since).map_or(0, |at| (at + 1) % SPANS.len());
                SPANS[at].clone_into(&mut self.since);
                return Then::Ask;
            }
            Key::Char('p' | '.' | ' ') => self.paused = !self.paused,
            Key::Char('/') => self.typing = true,
            Key::Escape => self.filter.clear(),
            Key::Char('j') | Key::Down => self.first += 1,
            Key::Char('k') | Key::Up => self.first = self.first.saturating_sub(1),
            Key::PageDown => self.first += 10,
            Key::PageUp => self.first = self.first.saturating_sub(10),
            Key::Char(_) | Key::Enter | Key::Backspace => {}
        }
        Then::Draw
    }

    fn go(&mut self, view: View) -> Then {
        if view == self.view {
            return Then::Draw;
        }
        (self.view, self.order, self.first) = (view, view.order(), 0);
        self.look = None;
        Then::Ask
    }

    /// The lines of the screen, as many as it has.
    pub(super) fn lines(&mut self, size: Size, paint: Paint) -> Vec<String> {
        let Size { width, height } = size;
        let mut lines = self.head(width, paint);
        lines.push(String::new());
        lines.push(self.tabs(width, paint));
        let room = height.saturating_sub(AROUND).max(1);
        if let Some(look) = &self.look {
            let mut table = look.table.clone();
            let wanted = self.filter.to_lowercase();
            table.rows.retain(|row| wanted.is_empty() || row.name.to_lowercase().contains(&wanted));
            table.sort(self.order);
            self.first = self.first.min(table.rows.len().saturating_sub(room));
            lines.extend(table.lines(self.first, self.order, room, width, paint));
            if table.rows.is_empty() {
                let nothing = if wanted.is_empty() { "nothing in this time" } else { "nothing fits the filter" };
                lines.push(paint.tone(Tone::Faint, nothing).to_string());
            }
        }
        lines.resize(height.saturating_sub(1), String::new());
        lines.push(self.foot(width, paint));
        lines
    }

    /// How the gateway stands, and all calls together.
    fn head(&self, width: usize, paint: Paint) -> Vec<String> {
        let clock = format!("{} UTC", time(now_us(), now_us()));
        let Some(look) = &self.look else {
            return vec![spread(paint, (Tone::Strong, "tollhouse"), "", &clock, width), String::new()];
        };
        let tone = match look.status {
            Status::Ok => Tone::Good,
            Status::Degraded => Tone::Fair,
            Status::Down => Tone::Bad,
        };
        let plural = |n: u64, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let standing = format!(
            " · {} · {} open · {} in flight · up {}",
            plural(look.servers as u64, "server"),
            plural(look.sessions, "session"),
            look.in_flight,
            up(look.uptime_s)
        );
        let first = spread(paint, (tone, look.status.as_str()), &standing, &clock, width);
        let figures = match &look.all {
            Some(all) => {
                let ms = |ms: Option<f64>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms"));
                format!(
                    "{} · {:.1} % failed · p50 {} · p95 {} · p99 {}",
                    plural(all.calls, "call"),
                    100.0 * all.error_rate.unwrap_or_default(),
                    ms(all.p50_ms),
                    ms(all.p95_ms),
                    ms(all.p99_ms)
                )
            }
            None => "no calls".to_owned(),
        };
        let room = width.saturating_sub(figures.chars().count() + 2);
        let bars: String = bars(&look.minutes).into_iter().rev().take(room.min(30)).rev().collect();
        vec![first, format!("{figures}  {}", paint.tone(Tone::Faint, bars))]
    }

    fn tabs(&self, width: usize, paint: Paint) -> String {
        let mut line = String::new();
        for (at, view) in View::ALL.into_iter().enumerate() {
            let name = format!("{} {}", at + 1, view.name());
            if view == self.view {
                line.push_str(&paint.tone(Tone::Strong, format!("[{name}]")).to_string());
            } else {
                line.extend([" ", &name, " "]);
            }
            line.push(' ');
        }
        let shown = View::ALL.iter().map(|view| view.name().len() + 5).sum::<usize>();
        let mut right = format!("last {}", self.since);
        if self.paused {
            right.push_str(" · paused");
        }
        if !self.filter.is_empty() || self.typing {
            right = format!("/{}{} · {right}", self.filter, if self.typing { "▏" } else { "" });
        }
        let gap = width.saturating_sub(shown + right.chars().count());
        format!("{line}{}{}", " ".repeat(gap), right)
    }

    fn foot(&self, width: usize, paint: Paint) -> String {
        if let Some(trouble) = &self.trouble {
            return paint.tone(Tone::Bad, fitted(trouble, width)).to_string();
        }
        let keys = if self.typing {
            "type to filter · Enter keep · Esc drop"
        } else {
            "q quit · Tab view · s sort · r span · / filter · j k scroll · p pause"
        };
        paint.tone(Tone::Faint, fitted(keys, width)).to_string()
    }
}

/// A text to the left, whose beginning is coloured, and one to the right.
fn spread(paint: Paint, (tone, begin): (Tone, &str), rest: &str, right: &str, width: usize) -> String {
    let room = width.saturating_sub(right.chars().count() + 1);
    let rest = fitted(rest, room.saturating_sub(begin.chars().count()));
    format!("{}{rest} {right}", paint.tone(tone, begin))
}

/// A bar for each minute.
fn bars(minutes: &[(u64, u64)]) -> Vec<char> {
    let most = minutes.iter().map(|(calls, _)| *calls).max().unwrap_or_default().max(1);
    let bar = |calls: u64| match calls {
        0 => ' ',
        calls => BARS[usize::try_from((calls * 8).div_ceil(most)).unwrap_or(8).clamp(1, 8) - 1],
    };
    minutes.iter().map(|(calls, _)| bar(*calls)).collect()
}

fn up(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::table::{Cell, Row, Table, number};
    use super::*;

    const CALLS: [super::super::table::Column; 1] = [number("calls", 8)];

    fn look() -> Look {
        let row = |name: &str, calls: u32| Row {
            name: name.to_owned(),
            cells: vec![Cell::new(calls.to_string(), f64::from(calls))],
        };
        Look {
            status: Status::Ok,
            servers: 2,
            sessions: 1,
            in_flight: 0,
            uptime_s: 65,
            all: None,
            minutes: vec![(0, 0), (1, 0), (8, 1)],
            table: Table {
                name: "server/tool",
                columns: &CALLS,
                rows: (0..50).map(|n| row(&format!("notes/tool-{n:02}"), n)).collect(),
            },
            objects: Vec::<Value>::new(),
        }
    }

    const SIZE: Size = Size { width: 80, height: 20 };

    #[test]
    fn it_fills_the_screen_and_no_more_whatever_is_pressed() {
        let mut screen = Screen::new(View::Tools, "15m");
        screen.take(Ok(look()));
        for key in [Key::Down, Key::PageDown, Key::Char('s'), Key::Char('/'), Key::Char('x'), Key::Escape, Key::Tab] {
            screen.press(key);
            for size in [SIZE, Size { width: 20, height: 4 }, Size { width: 300, height: 60 }] {
                let lines = screen.lines(size, Paint::Plain);
                assert!(lines.len() >= size.height && lines.iter().take(1).all(|line| !line.is_empty()), "{lines:#?}");
            }
        }
    }

    #[test]
    fn the_busiest_come_first_and_a_filter_leaves_what_fits() {
        let mut screen = Screen::new(View::Tools, "15m");
        screen.take(Ok(look()));
        let lines = screen.lines(SIZE, Paint::Plain);
        assert!(lines[0].starts_with("ok · 2 servers · 1 session open · 0 in flight · up 1 min"), "{lines:#?}");
        assert!(lines[1].ends_with(" ▁█"), "{lines:#?}");
        assert!(lines[3].starts_with("[1 Tools]") && lines[3].ends_with("last 15m"), "{lines:#?}");
        assert!(lines[5].starts_with("notes/tool-49") && lines[5].ends_with("49"), "{lines:#?}");
        for key in [Key::Char('/'), Key::Char('0'), Key::Char('7'), Key::Enter] {
            assert_eq!(screen.press(key), Then::Draw);
        }
        let lines = screen.lines(SIZE, Paint::Plain);
        assert!(lines[5].starts_with("notes/tool-07") && lines[6].is_empty(), "{lines:#?}");
    }

    #[test]
    fn keys_change_what_is_asked_for() {
        let mut screen = Screen::new(View::Tools, "15m");
        assert_eq!((screen.press(Key::Char('r')), screen.since()), (Then::Ask, "1h"));
        assert_eq!((screen.press(Key::Tab), screen.view()), (Then::Ask, View::Servers));
        assert_eq!((screen.press(Key::BackTab), screen.view()), (Then::Ask, View::Tools));
        assert_eq!((screen.press(Key::Char('p')), screen.paused()), (Then::Draw, true));
        assert_eq!(screen.press(Key::Char('q')), Then::End);
    }
}
