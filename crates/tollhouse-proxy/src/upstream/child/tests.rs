//! Real processes, mostly scripts: what a server may do to us, and what must be true of it then. They look into
//! `/proc`, so they are tests of Linux.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use rustix::process::{Signal, kill_process};
use tokio::time::{sleep, timeout};

use super::*;
use crate::upstream::lines::{Ended, Line, WriteError};

/// Beyond any time a busy machine needs for what should take none.
const PATIENCE: Duration = Duration::from_secs(20);

fn server() -> ServerId {
    ServerId::new("files").unwrap()
}

fn program(program: impl Into<PathBuf>, args: &[&str]) -> Command {
    Command { program: program.into(), args: args.iter().map(Into::into).collect(), env: Vec::new(), cwd: None }
}

async fn start(command: &Command) -> Result<Started, SpawnError> {
    Spawner::start().unwrap().spawn(&server(), command, ByteSize::mib(16)).await
}

async fn script(text: &str) -> Started {
    start(&program("sh", &["-c", text])).await.unwrap()
}

impl Started {
    /// What comes next, which must be soon.
    async fn next(&mut self) -> Said {
        timeout(PATIENCE, self.stdout.next()).await.expect("something comes")
    }

    /// The next line, as text.
    async fn line(&mut self) -> String {
        match self.next().await {
            Said::Line(Line::Whole(line)) => String::from_utf8(line.to_vec()).unwrap(),
            other => panic!("no line but {other:?}; standard error: {:?}", self.child.stderr_tail(9)),
        }
    }

    /// All lines until the end.
    async fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            match self.next().await {
                Said::Line(Line::Whole(line)) => lines.push(String::from_utf8(line.to_vec()).unwrap()),
                Said::Exited(_) => return lines,
                other => panic!("neither line nor exit but {other:?}"),
            }
        }
    }
}

/// The state letter of a process; `None` if there is none of that number.
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.chars().next()
}

fn alive(pid: u32) -> bool {
    state(pid).is_some_and(|state| state != 'Z')
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

#[tokio::test]
async fn lines_go_to_a_server_and_its_answers_come_back() {
    let mut started = script("while read -r line; do echo \"got $line\"; done; echo end").await;
    started.stdin.send(Bytes::from_static(b"one")).await.unwrap();
    assert_eq!(started.line().await, "got one");
    started.stdin.post(Bytes::from_static(b"two")).await.unwrap();
    assert_eq!(started.line().await, "got two");
    let exit = started.child.stop().await;
    assert_eq!((exit.status, exit.asked), (Status::Code(0), true));
    assert_eq!(started.lines().await, ["end"]);
}

#[tokio::test]
async fn a_server_gets_an_environment_of_allowed_and_declared_variables_only() {
    // Cargo sets many for a test, which makes them the ones that must not pass.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let mut command = program("env", &[]);
    command.env = vec![("TOKEN".into(), "t0k".into()), ("TZ".into(), "Asia/Tokyo".into())];
    let lines = start(&command).await.unwrap().lines().await;
    assert!(lines.contains(&"TOKEN=t0k".to_owned()) && lines.contains(&"TZ=Asia/Tokyo".to_owned()), "{lines:?}");
    let allowed = ["PATH", "HOME", "LOGNAME", "SHELL", "TERM", "USER", "LANG", "TMPDIR", "TZ", "TOKEN"];
    let others: Vec<_> = lines
        .iter()
        .filter_map(|line| line.split_once('='))
        .filter(|(name, _)| !allowed.contains(name) && !name.starts_with("LC_"))
        .collect();
    assert_eq!(others, []);
}

#[tokio::test]
async fn a_server_gets_its_three_pipes_and_no_other_descriptor() {
    // One as a careless parent would have left it to us.
    let file = std::fs::File::open("/dev/null").unwrap();
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
    let list =
        "for fd in /proc/$$/fd/*; do [ -e \"$fd\" ] && echo \"${fd##*/} $(readlink \"$fd\" | cut -d: -f1)\"; done";
    let mut lines = script(list).await.lines().await;
    lines.sort();
    assert_eq!(lines, ["0 pipe", "1 pipe", "2 pipe"]);
    drop(file);
}

#[tokio::test]
async fn a_server_leads_its_own_session_with_no_signal_blocked() {
    let mut started = start(&program("cat", &["/proc/self/stat", "/proc/self/status"])).await.unwrap();
    let pid = started.child.pid().to_string();
    let lines = started.lines().await;
    let stat: Vec<&str> = lines[0].rsplit_once(") ").unwrap().1.split(' ').collect();
    assert_eq!(stat[2..5], [pid.as_str(), pid.as_str(), "0"], "group, session, no terminal");
    let blocked = lines.iter().find_map(|line| line.strip_prefix("SigBlk:")).unwrap().trim();
    assert_eq!(blocked, "0000000000000000");
    let ignored = lines.iter().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim();
    let pipe = 1 << (Signal::PIPE.as_raw() - 1);
    assert_eq!(u64::from_str_radix(ignored, 16).unwrap() & pipe, 0, "SIGPIPE is deadly again");
}

#[tokio::test]
async fn a_server_starts_in_its_working_directory() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = program("pwd", &["-P"]);
    command.cwd = Some(directory.path().to_owned());
    let lines = start(&command).await.unwrap().lines().await;
    assert_eq!(Path::new(&lines[0]), directory.path().canonicalize().unwrap());
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let missing = start(&program("no-such-server", &[])).await.unwrap_err();
    assert!(missing.to_string().starts_with("`no-such-server` is in no directory of PATH"), "{missing}");

    // Made by a process of its own, so that no other child holds it open for writing while it is executed.
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("server");
    let write = format!("printf '#!/no/such/interpreter\\n' > '{0}'; chmod 755 '{0}'", file.display());
    script(&write).await.lines().await;
    let interpreter = start(&program(&file, &[])).await.unwrap_err();
    assert!(interpreter.to_string().ends_with("the interpreter or loader it asks for does not exist"), "{interpreter}");

    script(&format!("chmod 644 '{}'", file.display())).await.lines().await;
    let mode = start(&program(&file, &[])).await.unwrap_err();
    assert!(mode.to_string().ends_with("it has no execute permission"), "{mode}");

    let long = "x".repeat(4 << 20);
    let long = start(&program("true", &[&long])).await.unwrap_err();
    assert!(matches!(long, SpawnError::Other { .. }), "{long}");
}

#[tokio::test]
async fn an_end_is_told_with_its_status() {
    for (text, status) in [
        ("exit 0", Status::Code(0)),
        ("exit 1", Status::Code(1)),
        ("kill -SEGV $$", Status::Signal(Signal::SEGV.as_raw())),
    ] {
        let started = script(text).await;
        let exit = timeout(PATIENCE, started.child.exit().exited()).await.unwrap();
        assert_eq!((exit.status, exit.asked), (status, false), "{text}");
    }
}

#[tokio::test]
async fn an_end_is_told_within_a_tenth_of_a_second_though_others_hold_the_pipes() {
    let mut quickest = (Duration::MAX, Duration::MAX);
    // The best of a few: a busy machine may be late at any of them.
    for _ in 0..5 {
        let mut started = script("sleep 1000 & echo ready; read -r line; exit 7").await;
        assert_eq!(started.line().await, "ready");
        let mut exit = started.child.exit();
        let before = Instant::now();
        started.stdin.send(Bytes::from_static(b"go")).await.unwrap();
        assert_eq!(timeout(PATIENCE, exit.exited()).await.unwrap().status, Status::Code(7));
        let told = before.elapsed();
        assert!(matches!(started.next().await, Said::Exited(_)));
        quickest = quickest.min((told, before.elapsed()));
    }
    assert!(quickest.0 < Duration::from_millis(100) && quickest.1 < Duration::from_millis(150), "{quickest:?}");
}

#[tokio::test]
async fn last_words_are_known_when_the_end_is() {
    for _ in 0..20 {
        let mut started = script("echo answer; echo 'npx: not found' >&2; exit 127").await;
        started.child.exit().exited().await;
        assert_eq!(started.child.stderr_tail(1), ["npx: not found"]);
        assert_eq!(started.line().await, "answer");
        assert!(matches!(started.next().await, Said::Exited(Exit { status: Status::Code(127), .. })));
    }
}

#[tokio::test]
async fn a_line_cut_off_by_the_end_is_not_taken_for_a_whole_one() {
    for text in ["printf 'whole\\n{\"jsonrpc\"'", "sleep 1000 & printf 'whole\\n{\"jsonrpc\"'"] {
        let mut started = script(text).await;
        assert_eq!(started.line().await, "whole");
        assert_eq!(started.next().await, Said::Line(Line::Partial(Bytes::from_static(b"{\"jsonrpc\""))), "{text}");
        assert!(matches!(started.next().await, Said::Exited(_)));
    }
}

#[tokio::test]
async fn a_server_that_closes_its_output_and_lives_is_noticed() {
    let mut started = script("exec >&-; while read -r line; do :; done").await;
    assert_eq!(started.next().await, Said::Closed);
    assert_eq!(started.child.exit().now(), None);
    assert_eq!(started.child.stop().await.status, Status::Code(0));
    assert!(matches!(started.next().await, Said::Exited(_)));
}

#[tokio::test]
async fn a_server_may_fill_its_standard_error_before_it_answers() {
    let flood = "i=0; while [ $i -lt 16384 ]; do echo 0123456789012345678901234567890123456789012345678901234567890123 >&2; \
                 i=$((i+1)); done; echo done";
    let mut started = script(flood).await;
    // Nobody reads its output until it has ended, which takes that its standard error is read.
    assert_eq!(timeout(PATIENCE, started.child.exit().exited()).await.unwrap().status, Status::Code(0));
    assert_eq!(started.lines().await, ["done"]);
    let kept: usize = started.child.stderr_tail(usize::MAX).iter().map(String::len).sum();
    assert!((65_000..=65_536).contains(&kept), "{kept}");
}

#[tokio::test]
async fn a_server_that_reads_nothing_does_not_hold_its_callers_beyond_its_end() {
    // What it leaves behind holds its input, beyond our reach, so that the pipe never breaks.
    let text = "exec 3<&0; setsid sh -c 'echo $$; exec sleep 30 >&- 2>&-' <&3 & read -r line; exit 1";
    let mut started = script(text).await;
    let escaped: u32 = started.line().await.parse().unwrap();
    started.stdin.send(Bytes::from_static(b"go")).await.unwrap();
    let big = Bytes::from(vec![b'x'; 1 << 20]);
    let sends = async { tokio::join!(started.stdin.send(big), started.stdin.send(Bytes::from_static(b"behind it"))) };
    let (first, second) = timeout(Duration::from_secs(10), sends).await.unwrap();
    assert_eq!(second, Err(WriteError::Unsent(Ended::Closed)));
    assert!(matches!(first, Err(WriteError::Cut(_) | WriteError::Unsent(_))), "{first:?}");
    assert!(alive(escaped));
    kill_process(Pid::from_raw(escaped.try_into().unwrap()).unwrap(), Signal::KILL).unwrap();
}

#[tokio::test]
async fn a_server_that_ignores_the_end_of_its_input_is_told_by_signal() {
    let mut started = script("trap 'echo told; exit 5' TERM; echo ready; while :; do sleep 0.05; done").await;
    assert_eq!(started.line().await, "ready");
    let before = Instant::now();
    let exit = started.child.stop().await;
    assert_eq!(exit.status, Status::Code(5));
    assert!((Duration::from_secs(2)..Duration::from_secs(4)).contains(&before.elapsed()), "{:?}", before.elapsed());
    assert_eq!(started.lines().await, ["told"]);
}

#[tokio::test]
async fn many_servers_that_ignore_everything_are_killed_side_by_side() {
    let spawner = Spawner::start().unwrap();
    let mut stops = JoinSet::new();
    let before = Instant::now();
    for _ in 0..20 {
        let command = program("sh", &["-c", "trap '' TERM; echo ready; while :; do sleep 1000; done"]);
        let mut started = spawner.spawn(&server(), &command, ByteSize::mib(1)).await.unwrap();
        assert_eq!(started.line().await, "ready");
        stops.spawn(async move { (started.child.stop().await.status, alive(started.child.pid())) });
    }
    for stopped in stops.join_all().await {
        assert_eq!(stopped, (Status::Signal(Signal::KILL.as_raw()), false));
    }
    assert!((Duration::from_secs(5)..Duration::from_secs(12)).contains(&before.elapsed()), "{:?}", before.elapsed());
}

#[tokio::test]
async fn stopping_goes_on_when_who_asked_leaves() {
    let mut started = script("trap '' TERM; echo ready; while :; do sleep 1000; done").await;
    assert_eq!(started.line().await, "ready");
    assert!(timeout(Duration::from_millis(1), started.child.stop()).await.is_err());
    let exit = timeout(PATIENCE, started.child.exit().gone()).await.unwrap();
    assert_eq!((exit.status, exit.asked), (Status::Signal(Signal::KILL.as_raw()), true));
    assert_eq!(started.child.stop().await, exit, "asked again, it says the same");
}

#[tokio::test]
async fn nothing_a_server_started_outlives_it() {
    for text in [
        // Holds the pipes; holds none; ignores SIGTERM.
        "sleep 1000 & echo $!",
        "sleep 1000 <&- >&- 2>&- & echo $!",
        "sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1000; done' & read -r line",
    ] {
        let mut started = script(text).await;
        let grandchild: u32 = started.line().await.parse().unwrap();
        // The third waits for it; the others have ended, and may have told us.
        let _ = started.stdin.post(Bytes::new()).await;
        started.child.exit().gone().await;
        until("the grandchild has ended", || !alive(grandchild)).await;
    }
}

#[tokio::test]
async fn what_a_wrapper_left_behind_gets_the_time_to_end_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let saved = directory.path().join("saved");
    let inner =
        format!("trap \"sleep 0.1; echo > '{}'; exit\" TERM; echo $$; while :; do sleep 0.01; done", saved.display());
    let mut started = start(&program("sh", &["-c", "sh -c \"$0\" & read -r line", &inner])).await.unwrap();
    started.line().await;
    started.child.stop().await;
    assert!(saved.exists());
}

#[tokio::test]
async fn a_child_that_is_dropped_is_killed_with_all_it_started() {
    let mut started = script("sleep 1000 & echo $!; wait").await;
    let (leader, grandchild) = (started.child.pid(), started.line().await.parse().unwrap());
    assert!(alive(leader) && alive(grandchild));
    drop(started);
    until("both have ended", || !alive(leader) && !alive(grandchild)).await;
}

#[tokio::test]
async fn a_process_that_left_the_group_does_not_hold_up_the_end() {
    let mut started = script("setsid sh -c 'echo $$; exec sleep 30' & read -r line").await;
    let escaped: u32 = started.line().await.parse().unwrap();
    timeout(Duration::from_secs(10), started.child.stop()).await.unwrap();
    assert!(alive(escaped), "it is out of reach, which this test is about");
    assert!(matches!(started.next().await, Said::Exited(_)));
    kill_process(Pid::from_raw(escaped.try_into().unwrap()).unwrap(), Signal::KILL).unwrap();
}

#[tokio::test]
async fn orphans_that_fall_to_us_are_reaped() {
    if !alone("orphans_that_fall_to_us_are_reaped", "exec \"$0\" \"$@\"").await {
        return;
    }
    // As the first process of a container, or a subreaper, is given the children of children.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let mut started = script("sleep 1000 >&- 2>&- & echo $!").await;
    let grandchild: u32 = started.line().await.parse().unwrap();
    started.child.exit().gone().await;
    assert_eq!(state(grandchild), None, "neither alive nor a zombie");
}

#[tokio::test]
async fn an_exit_status_is_known_though_our_parent_ignored_its_children() {
    let name = "an_exit_status_is_known_though_our_parent_ignored_its_children";
    if !alone(name, "trap '' CHLD; exec \"$0\" \"$@\"").await {
        return;
    }
    let exit = script("exit 3").await.child.exit().gone().await;
    assert_eq!(exit.status, Status::Code(3));
}

#[tokio::test]
async fn no_zombie_and_no_descriptor_remains_of_two_hundred_servers() {
    fn descriptors() -> usize {
        std::fs::read_dir("/proc/self/fd").unwrap().count()
    }
    if !alone("no_zombie_and_no_descriptor_remains_of_two_hundred_servers", "exec \"$0\" \"$@\"").await {
        return;
    }
    let spawner = Spawner::start().unwrap();
    let mut pids = Vec::new();
    let before = descriptors();
    for n in 0..200 {
        let command = program("sh", &["-c", &format!("exit {}", n % 7)]);
        let started = spawner.spawn(&server(), &command, ByteSize::mib(1)).await.unwrap();
        let exit = started.child.exit().gone().await;
        assert_eq!(exit.status, Status::Code(n % 7));
        pids.push(started.child.pid());
    }
    pids.retain(|pid| state(*pid).is_some());
    assert_eq!((pids, descriptors()), (Vec::new(), before));
}

#[test]
fn a_child_outlives_the_thread_that_asked_for_it() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let spawner = runtime.block_on(async { Spawner::start().unwrap() });
    let handle = runtime.handle().clone();
    let asked = std::thread::spawn(move || {
        handle.block_on(async { spawner.spawn(&server(), &program("cat", &[]), ByteSize::mib(1)).await.unwrap() })
    });
    let mut started = asked.join().unwrap();
    runtime.block_on(async {
        started.stdin.send(Bytes::from_static(b"still there")).await.unwrap();
        assert_eq!(started.line().await, "still there");
        assert_eq!(started.child.stop().await.status, Status::Code(0));
    });
}

/// Set in a process that runs one test alone.
const ALONE: &str = "TOLLHOUSE_TEST_RUNS_ALONE";

/// How this program is run again for one test, through a shell that is to end in `exec "$0" "$@"`.
fn again(test: &str, shell: &str) -> Command {
    let this = std::env::current_exe().unwrap();
    let test = format!("upstream::child::tests::{test}");
    let mut command = program("sh", &["-c", shell, this.to_str().unwrap(), "--exact", &test, "--nocapture"]);
    command.env = vec![(ALONE.into(), "1".into())];
    command
}

/// For tests of what a whole process has: true in a process of its own, in which the test is to go on. False where
/// that process has been started and passed.
async fn alone(test: &str, shell: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut run = start(&again(test, shell)).await.unwrap();
    let lines = run.lines().await;
    let exit = run.child.exit().gone().await;
    let ran = lines.iter().any(|line| line.starts_with("test result: ok. 1 passed"));
    assert!(ran && exit.status == Status::Code(0), "{exit}: {lines:#?} {:#?}", run.child.stderr_tail(20));
    false
}

#[tokio::test]
async fn children_end_when_the_gateway_is_killed() {
    if std::env::var_os(ALONE).is_some() {
        // It reads nothing, so it does not see the end of its input.
        let started = start(&program("sleep", &["1000"])).await.unwrap();
        writeln!(std::io::stdout(), "\npid {}", started.child.pid()).unwrap();
        return std::future::pending().await;
    }
    let mut gateway = start(&again("children_end_when_the_gateway_is_killed", "exec \"$0\" \"$@\"")).await.unwrap();
    let pid = loop {
        if let Some(pid) = gateway.line().await.strip_prefix("pid ") {
            break pid.parse().unwrap();
        }
    };
    assert!(alive(pid));
    kill_process(gateway.child.pid, Signal::KILL).unwrap();
    until("the child of the killed process has ended", || !alive(pid)).await;
}
