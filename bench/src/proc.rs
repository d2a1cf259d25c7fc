//! What the kernel counts for a process and for the machine, and which core a process runs on.
//!
//! CPU time is read from the threads' `schedstat`, which counts nanoseconds; when threads came or went between
//! two readings, their time is no longer there, and the process's `stat` is taken, which counts ticks (10 ms) and
//! keeps the time of threads that ended. Both are user plus system time.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::time::Duration;

use anyhow::Context as _;
use rustix::io::Errno;
use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};

/// CPU time of some processes up to one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cpu {
    ticks: u64,
    threads: BTreeMap<u32, u64>,
}

impl Cpu {
    /// Reads the time of all `pids` together; a process that is gone counts as nothing.
    pub(crate) fn read(pids: &[u32]) -> Self {
        let mut cpu = Self::default();
        for pid in pids {
            cpu.ticks += ticks(*pid).unwrap_or(0);
            for thread in numbered(&format!("/proc/{pid}/task")) {
                let nanoseconds = fs::read_to_string(format!("/proc/{pid}/task/{thread}/schedstat"))
                    .ok()
                    .and_then(|text| parse_schedstat(&text));
                cpu.threads.insert(thread, nanoseconds.unwrap_or(0));
            }
        }
        cpu
    }

    /// Time spent since an `earlier` reading of the same processes.
    pub(crate) fn since(&self, earlier: &Self) -> Duration {
        let same_threads = self.threads.keys().eq(earlier.threads.keys());
        let total = |cpu: &Self| cpu.threads.values().sum::<u64>();
        if same_threads && total(self) > 0 {
            return Duration::from_nanos(total(self).saturating_sub(total(earlier)));
        }
        let ticks = self.ticks.saturating_sub(earlier.ticks);
        Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }
}

/// Ticks of the whole machine up to one moment, all cores together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Machine {
    /// Spent on processes, interrupts included.
    pub(crate) busy: u64,
    /// Wanted, and taken by the hypervisor for another machine.
    pub(crate) stolen: u64,
    /// All time there was.
    pub(crate) total: u64,
}

impl Machine {
    pub(crate) fn read() -> anyhow::Result<Self> {
        let text = fs::read_to_string("/proc/stat").context("read /proc/stat")?;
        parse_machine(&text).context("/proc/stat has no line `cpu`")
    }
}

/// User and system ticks of one process, its ended threads included, its children not.
pub(crate) fn ticks(pid: u32) -> Option<u64> {
    parse_ticks(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Memory of a process that is in RAM, in KiB.
pub(crate) fn rss_kib(pid: u32) -> Option<u64> {
    parse_rss(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

/// A process and all that descend from it.
pub(crate) fn tree(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = numbered("/proc")
        .filter_map(|pid| Some((pid, parse_parent(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?)))
        .collect();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found
}

/// The cores this process may run on.
pub(crate) fn cores() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect())
}

/// Keeps the calling thread, and what it starts from here on, on one core; none leaves it as it is.
pub(crate) fn pin(core: Option<usize>) -> io::Result<()> {
    if let Some(core) = core {
        let mut set = CpuSet::new();
        set.set(core);
        sched_setaffinity(None, &set)?;
    }
    Ok(())
}

/// Keeps all threads of these processes on one core; what they start from here on stays there too.
pub(crate) fn move_to(pids: &[u32], core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    for pid in pids {
        for thread in numbered(&format!("/proc/{pid}/task")) {
            match sched_setaffinity(Pid::from_raw(thread.cast_signed()), &set) {
                // A thread may end between being listed and being moved.
                Ok(()) | Err(Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// What the machine calls its processor.
pub(crate) fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

/// The kernel's release.
pub(crate) fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

fn numbered(directory: &str) -> impl Iterator<Item = u32> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The command's name stands in brackets and may itself hold blanks and brackets: fields count from the last one.
fn stat_fields(text: &str) -> Option<Vec<&str>> {
    Some(text.rsplit_once(')')?.1.split_ascii_whitespace().collect())
}

fn parse_ticks(text: &str) -> Option<u64> {
    let fields = stat_fields(text)?;
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(number(11)? + number(12)?)
}

fn parse_parent(text: &str) -> Option<u32> {
    stat_fields(text)?.get(1)?.parse().ok()
}

fn parse_rss(text: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    rest.trim().strip_suffix("kB")?.trim().parse().ok()
}

fn parse_schedstat(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

fn parse_machine(text: &str) -> Option<Machine> {
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    // user nice system idle iowait irq softirq steal; guest time is part of user time already.
    let [user, nice, system, idle, iowait, irq, softirq, stolen] = *ticks.first_chunk()?;
    let busy = user + nice + system + irq + softirq;
    Some(Machine { busy, stolen, total: busy + stolen + idle + iowait })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_with_brackets_and_blanks_does_not_shift_the_fields() {
        let stat = "42 (a) b (c)) S 7 42 42 0 -1 4194304 98 0 0 0 130 20 5 6 20 0 1 0 80147 3133440 413";
        assert_eq!((parse_ticks(stat), parse_parent(stat)), (Some(150), Some(7)));
        assert_eq!(parse_ticks("42 (short) S 7"), None);
    }

    #[test]
    fn resident_memory_is_read_in_kib() {
        assert_eq!(parse_rss("Name:\tx\nVmHWM:\t  900 kB\nVmRSS:\t    1234 kB\n"), Some(1_234));
        assert_eq!(parse_rss("Name:\tkthreadd\n"), None);
    }

    #[test]
    fn the_first_line_of_stat_covers_all_cores() {
        let text = "cpu  10 1 5 100 4 2 3 7 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(parse_machine(text), Some(Machine { busy: 21, stolen: 7, total: 132 }));
        assert_eq!(parse_machine("intr 1 2\n"), None);
    }

    #[test]
    fn time_is_taken_from_ticks_when_a_thread_ended() {
        let second = rustix::param::clock_ticks_per_second();
        let before = Cpu { ticks: 0, threads: BTreeMap::from([(1, 500), (2, 500)]) };
        let after = Cpu { ticks: second, threads: BTreeMap::from([(1, 700)]) };
        assert_eq!(after.since(&before), Duration::from_secs(1));
        let same = Cpu { ticks: second, threads: BTreeMap::from([(1, 700), (2, 600)]) };
        assert_eq!(same.since(&before), Duration::from_nanos(300));
    }

    #[test]
    fn a_process_is_found_in_its_own_tree_and_has_memory() {
        let own = std::process::id();
        assert!(tree(own).contains(&own) && rss_kib(own).is_some_and(|kib| kib > 0) && ticks(own).is_some());
    }
}
