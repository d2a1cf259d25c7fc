//! The terminal, taken over for as long as one looks, and given back as it was.

use std::io::{Read as _, Write as _};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::sync::mpsc;

/// Another screen, without cursor; and back.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l";
const LEAVE: &[u8] = b"\x1b[?25h\x1b[?1049l";
/// Where the system does not tell the size.
const SIZE: Size = Size { width: 80, height: 24 };
/// Keys that wait. Full: whoever types faster than is drawn waits.
const KEYS: usize = 16;

/// Columns and rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) width: usize,
    pub(super) height: usize,
}

/// What was pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Enter,
    Escape,
    Backspace,
    Tab,
    BackTab,
    Up,
    Down,
    PageUp,
    PageDown,
    /// Ctrl-C or Ctrl-D.
    End,
}

/// The terminal. Dropped, it is as it was before.
pub(super) struct Terminal {
    before: Termios,
    keys: mpsc::Receiver<Key>,
}

impl Terminal {
    pub(super) fn open() -> std::io::Result<Self> {
        let before = tcgetattr(std::io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &raw)?;
        // Full: the thread waits, and with it whoever types.
        let (sender, keys) = mpsc::channel(KEYS);
        let terminal = Self { before, keys };
        // It ends with the program: nothing else ends a read of a terminal.
        std::thread::Builder::new().name("tollhouse-keys".to_owned()).spawn(move || read(&sender))?;
        let mut out = std::io::stdout();
        out.write_all(ENTER)?;
        out.flush()?;
        Ok(terminal)
    }

    #[expect(clippy::unused_self, reason = "who draws has taken the terminal over")]
    /// Draws what `lines` makes of the size, in one write, so that nothing flickers.
    pub(super) fn draw(&mut self, lines: impl FnOnce(Size) -> Vec<String>) -> std::io::Result<()> {
        let size = tcgetwinsize(std::io::stdout())
            .ok()
            .filter(|size| size.ws_col > 0 && size.ws_row > 0)
            .map_or(SIZE, |size| Size { width: size.ws_col.into(), height: size.ws_row.into() });
        let mut text = String::from("\x1b[H");
        for (at, line) in lines(size).into_iter().take(size.height).enumerate() {
            if at > 0 {
                text.push_str("\r\n");
            }
            text.push_str(&line);
            text.push_str("\x1b[K");
        }
        text.push_str("\x1b[J");
        let mut out = std::io::stdout();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// The next key; `None` once nobody can type any more.
    ///
    /// # Cancel safety
    /// Safe.
    pub(super) async fn key(&mut self) -> Option<Key> {
        self.keys.recv().await
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let mut out = std::io::stdout();
        // A terminal that is gone needs nothing.
        _ = out.write_all(LEAVE).and_then(|()| out.flush());
        _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.before);
    }
}

/// The life of the thread that reads keys.
fn read(keys: &mpsc::Sender<Key>) {
    let (mut input, mut bytes) = (std::io::stdin(), [0; 64]);
    while let Ok(count @ 1..) = input.read(&mut bytes) {
        for key in pressed(&bytes[..count]) {
            if keys.blocking_send(key).is_err() {
                return;
            }
        }
    }
}

/// The keys that stand for these bytes. What a key sends comes in one piece.
fn pressed(bytes: &[u8]) -> Vec<Key> {
    let known: [(&[u8], Key); 14] = [
        (b"\x1b[A", Key::Up),
        (b"\x1bOA", Key::Up),
        (b"\x1b[B", Key::Down),
        (b"\x1bOB", Key::Down),
        (b"\x1b[5~", Key::PageUp),
        (b"\x1b[6~", Key::PageDown),
        (b"\x1b[Z", Key::BackTab),
        (b"\r", Key::Enter),
        (b"\n", Key::Enter),
        (b"\t", Key::Tab),
        (b"\x7f", Key::Backspace),
        (b"\x08", Key::Backspace),
        (b"\x03", Key::End),
        (b"\x04", Key::End),
    ];
    if let Some((_, key)) = known.iter().find(|(sent, _)| *sent == bytes) {
        return vec![*key];
    }
    match bytes {
        [0x1b] => vec![Key::Escape],
        // Another key of the terminal's, which means nothing here.
        [0x1b, ..] => vec![],
        _ => String::from_utf8_lossy(bytes)
            .chars()
            .filter_map(|c| match c {
                '\r' | '\n' => Some(Key::Enter),
                c if c.is_control() => None,
                c => Some(Key::Char(c)),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_sends_is_read_as_keys() {
        assert_eq!(pressed(b"\x1b[A"), [Key::Up]);
        assert_eq!(pressed(b"\x1b"), [Key::Escape]);
        assert_eq!(pressed("qö\r".as_bytes()), [Key::Char('q'), Key::Char('ö'), Key::Enter]);
        assert_eq!(pressed(b"\x1b[15~"), []);
        assert_eq!(pressed(b"\x03"), [Key::End]);
    }
}
