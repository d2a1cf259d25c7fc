//! What the system knows of this process, as `/proc` tells it; nothing elsewhere.

use std::fs;

use super::standing::Standing;
use super::word::Word;
use crate::catalogue::Id;

/// The unit of processor times in `/proc`: a fixed part of Linux's interface to programs (proc(5), `USER_HZ`).
const TICKS: f64 = 100.0;

/// Adds what can be found out.
pub(super) fn tell(standing: &mut Standing) {
    if let Some((user, system)) = cpu() {
        standing.number(Id::ProcessCpu, [Some(Word::Ours("user"))], user / TICKS);
        standing.number(Id::ProcessCpu, [Some(Word::Ours("system"))], system / TICKS);
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| -> Option<f64> {
        let rest = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        rest.split_whitespace().next()?.parse().ok()
    };
    for (id, field, unit) in [
        (Id::ProcessMemory, field("VmRSS"), 1024.0),
        (Id::ProcessVirtual, field("VmSize"), 1024.0),
        (Id::ProcessThreads, field("Threads"), 1.0),
        // One of them is that of the directory which is being read.
        (
            Id::ProcessFiles,
            fs::read_dir("/proc/self/fd").ok().map(|open| super::cells::number(open.count() as u64)),
            1.0,
        ),
    ] {
        if let Some(value) = field {
            standing.number(id, [], value * unit);
        }
    }
}

/// Ticks in user and in system mode.
fn cpu() -> Option<(f64, f64)> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program may hold blanks and brackets; what follows its last bracket does not.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}
