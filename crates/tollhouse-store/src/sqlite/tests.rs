use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use tollhouse_core::record::Seen;

use crate::conformance::{self, NOON_US, call, calls};
use crate::question::{By, Term, Times};

fn dir() -> TempDir {
    TempDir::with_prefix("tollhouse-store-").unwrap()
}

fn opened(dir: &Path, segment_rows: u64) -> (Writer, Reader) {
    open(dir, Keep { segment_rows, ..Keep::default() }).unwrap()
}

fn all_calls(reader: &mut Reader) -> u64 {
    let numbers = Numbers {
        range: Range::ALL,
        width: Width::Minute,
        by: By::All,
        server: None,
        over_time: false,
        times: Times::None,
    };
    reader.numbers(&numbers).unwrap().iter().map(|figure| figure.sum.calls).sum()
}

#[test]
fn it_keeps_every_promise_in_one_file_and_in_many() {
    for segment_rows in [1_000_000, 300] {
        let mut dirs = Vec::new();
        conformance::run(|| {
            dirs.push(dir());
            opened(dirs.last().unwrap().path(), segment_rows)
        });
    }
}

#[test]
fn what_was_kept_is_there_after_an_end_in_order_and_ids_go_on() {
    let dir = dir();
    let (mut writer, _) = opened(dir.path(), 1000);
    calls(2500).chunks(100).for_each(|batch| writer.append(batch).unwrap());
    writer.close().unwrap();
    drop(writer);
    let (mut writer, mut reader) = opened(dir.path(), 1000);
    assert_eq!(all_calls(&mut reader), 2500);
    assert_eq!(reader.trace(call(2499).trace, 10).unwrap().len(), 4);
    writer.append(&[call(2500)]).unwrap();
    writer.flush().unwrap();
    assert_eq!((all_calls(&mut reader), reader.call(call(2500).id).unwrap()), (2501, Some(call(2500))));
}

/// The environment variable by which this test program is told to be the process that is killed.
const VICTIM: &str = "TOLLHOUSE_STORE_VICTIM";
/// The one that names the file by which it says that it has written something.
const WRITES: &str = "TOLLHOUSE_STORE_VICTIM_WRITES";

/// Not a test of its own: writes until it is killed, if it is told where.
#[test]
fn victim() {
    let Some(dir) = std::env::var_os(VICTIM) else { return };
    let (mut writer, mut reader) = opened(Path::new(&dir), 1500);
    let newest = reader.latest(&Filter::default(), None, Bounds { limit: 1, ..Bounds::default() }).unwrap();
    let from = newest.calls.first().map_or(0, |call| (call.at_us - NOON_US) / 1000 + 1);
    for batch in 0.. {
        let first = from + batch * 50;
        writer.append(&(first..first + 50).map(call).collect::<Vec<_>>()).unwrap();
        if let Some(writes) = std::env::var_os(WRITES).filter(|_| batch == 0) {
            std::fs::write(writes, "").unwrap();
        }
        if batch % 3 == 0 {
            writer.flush().unwrap();
        }
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test starts what it kills")]
fn a_kill_at_any_moment_loses_no_commit_and_leaves_no_half_batch() {
    let (dir, beside) = (dir(), dir());
    let program = std::env::current_exe().unwrap();
    let mut kept = 0;
    for round in 0..200 {
        let mut victim = Command::new(&program)
            .args(["--exact", "sqlite::tests::victim"])
            .env(VICTIM, dir.path())
            .env(WRITES, beside.path().join(round.to_string()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // One in four dies at any moment, perhaps while it opens; the others once they have begun to write, however busy the machine is.
        if round % 4 != 0 {
            until_it_is_there(&beside.path().join(round.to_string()), &mut victim);
        }
        std::thread::sleep(Duration::from_millis((round * 7) % 31));
        victim.kill().unwrap();
        victim.wait().unwrap();
        if round % 20 != 19 {
            continue;
        }
        let (mut writer, mut reader) = opened(dir.path(), 1500);
        let mut found: Vec<u64> = Vec::new();
        let mut before = None;
        loop {
            let page = reader.latest(&Filter::default(), before, Bounds { limit: 1000, ..Bounds::default() }).unwrap();
            found.extend(page.calls.iter().map(|call| (call.at_us - NOON_US) / 1000));
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        let count = found.len() as u64;
        assert!(count >= kept && count.is_multiple_of(50), "{count} calls after {kept}");
        assert!(found.iter().rev().copied().eq(0..count), "all calls once, without a gap");
        assert_eq!(all_calls(&mut reader), count, "the sums count each call once");
        if count > 0 {
            assert_eq!(reader.trace(call(count - 1).trace, 10).unwrap().last(), Some(&call(count - 1)));
        }
        kept = count;
        writer.close().unwrap();
    }
    assert!(kept >= 150 * 50, "only {kept} calls were written in all");
}

/// Waits until the victim has made this file.
fn until_it_is_there(file: &Path, victim: &mut Child) {
    for _ in 0..10_000 {
        if file.exists() {
            return;
        }
        assert_eq!(victim.try_wait().unwrap(), None, "the victim ended by itself");
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("the victim writes nothing");
}

#[test]
fn a_second_process_is_refused_and_told_who_has_it() {
    let dir = dir();
    let _open = opened(dir.path(), 1000);
    let refused = open(dir.path(), Keep::default()).err().unwrap();
    assert_eq!(
        refused.to_string(),
        format!("the store {} is in use by process {}", dir.path().display(), std::process::id())
    );
}

#[test]
fn a_later_layout_is_refused_and_left_alone() {
    let dir = dir();
    drop(opened(dir.path(), 1000));
    let file = dir.path().join("rollup.db");
    let connection = rusqlite::Connection::open(&file).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let refused = open(dir.path(), Keep::default()).err().unwrap();
    assert!(matches!(&refused, Error::Newer { found: 99, known: 4, .. }), "{refused}");
}

#[test]
fn a_damaged_file_of_calls_is_set_aside_and_calls_go_on() {
    let dir = dir();
    let (mut writer, _) = opened(dir.path(), 1_000_000);
    writer.append(&calls(3000)).unwrap();
    writer.close().unwrap();
    drop(writer);
    std::fs::write(dir.path().join("lock"), "1 running\n").unwrap();
    let file = dir.path().join("seg/calls-1.db");
    let mut bytes = std::fs::read(&file).unwrap();
    let (from, to) = (bytes.len() / 4, bytes.len() / 2);
    bytes[from..to].fill(0x5a);
    std::fs::write(&file, bytes).unwrap();
    let (mut writer, mut reader) = opened(dir.path(), 1_000_000);
    assert!(dir.path().join("seg/calls-1.db.damaged").exists());
    writer.append(&[call(9000)]).unwrap();
    writer.flush().unwrap();
    let page = reader.latest(&Filter::default(), None, Bounds::default()).unwrap();
    assert_eq!(page.calls, [call(9000)]);
    // What was summed up stays.
    assert_eq!(all_calls(&mut reader), 3001);
}

#[test]
fn damaged_sums_are_refused_by_name() {
    let dir = dir();
    drop(opened(dir.path(), 1000));
    std::fs::write(dir.path().join("rollup.db"), b"this is no database, and was never one").unwrap();
    let refused = open(dir.path(), Keep::default()).err().unwrap();
    assert!(matches!(&refused, Error::Damaged { file, .. } if file.ends_with("rollup.db")), "{refused}");
}

#[test]
fn old_files_go_first_by_age_and_by_room() {
    let dir = dir();
    let keep = Keep { segment_rows: 500, calls_us: 3 * Width::Day.us(), ..Keep::default() };
    let (mut writer, mut reader) = open(dir.path(), keep).unwrap();
    for day in 0..6 {
        let at = |nth: u64| Call {
            at_us: NOON_US + day * Width::Day.us() + nth,
            id: CallId::of(((NOON_US + day * Width::Day.us()) / 1000) << 16 | nth, 1),
            ..call(nth)
        };
        writer.append(&(0..600).map(at).collect::<Vec<_>>()).unwrap();
    }
    writer.flush().unwrap();
    let count = |reader: &mut Reader| {
        reader.latest(&Filter::default(), None, Bounds { limit: 10_000, ..Bounds::default() }).unwrap().calls.len()
    };
    assert_eq!(count(&mut reader), 3600);
    writer.retain(NOON_US + 5 * Width::Day.us()).unwrap();
    let by_age = count(&mut reader);
    assert!((2400..3600).contains(&by_age), "{by_age} calls are left");
    writer.keep.disk = 1;
    writer.retain(NOON_US + 5 * Width::Day.us()).unwrap();
    assert!(count(&mut reader) <= 600);
    assert_eq!(
        std::fs::read_dir(dir.path().join("seg")).unwrap().count(),
        3,
        "one file with its log and index is left"
    );
    assert_eq!(all_calls(&mut reader), 3600, "sums stay longer");
}

#[test]
fn an_excluded_value_that_no_call_has_excludes_nothing() {
    let dir = dir();
    let (mut writer, mut reader) = opened(dir.path(), 1000);
    writer.append(&calls(10)).unwrap();
    let term = Term { field: crate::question::Field::Server, value: "nowhere".to_owned(), exclude: true };
    let filter = Filter { terms: vec![term], ..Filter::default() };
    assert_eq!(reader.latest(&filter, None, Bounds::default()).unwrap().calls.len(), 10);
}

#[test]
fn an_older_layout_is_brought_forward_with_all_it_holds() {
    let dir = dir();
    let (mut writer, _) = opened(dir.path(), 1000);
    writer.append(&calls(10)).unwrap();
    writer.close().unwrap();
    drop(writer);
    let sums = rusqlite::Connection::open(dir.path().join("rollup.db")).unwrap();
    sums.execute_batch(
        "DROP TABLE event; DROP TABLE tool; DROP TABLE of_tool; DROP TABLE of_server; DROP TABLE of_client; \
         PRAGMA user_version = 1;",
    )
    .unwrap();
    drop(sums);
    let (mut writer, mut reader) = opened(dir.path(), 1000);
    writer.note(&[Event::new(Kind::Started, NOON_US)]).unwrap();
    assert_eq!((all_calls(&mut reader), reader.events(&Happened::default(), None, 9).unwrap().len()), (10, 1));
}

#[test]
fn calls_of_an_older_layout_are_read_without_what_they_lacked() {
    let dir = dir();
    let (mut writer, _) = opened(dir.path(), 1000);
    writer.append(&calls(10)).unwrap();
    writer.close().unwrap();
    drop(writer);
    let file = rusqlite::Connection::open(dir.path().join("seg/calls-1.db")).unwrap();
    for column in ["sendings", "span", "content", "hashes"] {
        file.execute_batch(&format!("ALTER TABLE calls DROP COLUMN {column}")).unwrap();
    }
    file.execute_batch("PRAGMA user_version = 1").unwrap();
    let expected: Vec<_> = calls(10)
        .into_iter()
        .rev()
        .map(|call| Call {
            span: [0; 8],
            sendings: Box::default(),
            seen: Seen { shape: call.seen.shape.clone(), ..Seen::default() },
            ..call
        })
        .collect();
    let found = |number: i64| {
        let mut segment = segment::Segment::read(dir.path(), number).unwrap().unwrap();
        expected.iter().map(|call| segment.call(base::row_id(call.id)).unwrap().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(found(1), expected, "a file that is only read");
    drop(file);
    let (mut writer, mut reader) = opened(dir.path(), 1000);
    assert_eq!(reader.latest(&Filter::default(), None, Bounds::default()).unwrap().calls, expected);
    writer.append(&[call(11)]).unwrap();
    assert_eq!(reader.call(call(11).id).unwrap(), Some(call(11)), "what is added has all");
}

#[test]
fn a_file_that_was_cut_off_is_found_by_name_and_calls_go_on_in_another() {
    let dir = dir();
    let (mut writer, _) = opened(dir.path(), 1_000_000);
    writer.append(&calls(3000)).unwrap();
    writer.close().unwrap();
    drop(writer);
    let file = dir.path().join("seg/calls-1.db");
    let half = file.metadata().unwrap().len() / 2 / 4096 * 4096;
    std::fs::File::options().write(true).open(&file).unwrap().set_len(half).unwrap();
    let checked = check(dir.path(), u64::MAX).unwrap();
    let damaged: Vec<_> = checked.damaged.iter().map(|(file, _)| file.ends_with("calls-1.db")).collect();
    assert_eq!((checked.whole, damaged), (1, vec![true]));
    let (mut writer, mut reader) = opened(dir.path(), 1_000_000);
    assert!(dir.path().join("seg/calls-1.db.damaged").exists());
    writer.append(&[call(9000)]).unwrap();
    assert_eq!(reader.latest(&Filter::default(), None, Bounds::default()).unwrap().calls, [call(9000)]);
    writer.close().unwrap();
    drop((writer, reader));
    std::fs::File::options().write(true).open(dir.path().join("rollup.db")).unwrap().set_len(0).unwrap();
    _ = std::fs::remove_file(dir.path().join("rollup.db-wal"));
    let refused = open(dir.path(), Keep::default()).err().unwrap();
    assert!(matches!(&refused, Error::Damaged { file, .. } if file.ends_with("rollup.db")), "{refused}");
}

#[test]
fn a_file_that_was_taken_away_is_told_as_calls_that_are_lost() {
    let dir = dir();
    let (mut writer, _) = opened(dir.path(), 1_000_000);
    writer.append(&calls(30)).unwrap();
    writer.close().unwrap();
    drop(writer);
    std::fs::remove_file(dir.path().join("seg/calls-1.db")).unwrap();
    let (_writer, mut reader) = opened(dir.path(), 1_000_000);
    let events = reader.events(&Happened::default(), None, 9).unwrap();
    assert_eq!(events.iter().map(|event| event.kind).collect::<Vec<_>>(), [Kind::CallsLost]);
    assert!(events[0].detail.as_deref().is_some_and(|detail| detail.starts_with("30 calls")), "{events:?}");
}

#[test]
fn a_whole_store_is_found_whole_and_one_in_use_is_left_alone() {
    let dir = dir();
    let (mut writer, _) = opened(dir.path(), 500);
    calls(1200).chunks(100).for_each(|batch| writer.append(batch).unwrap());
    assert!(matches!(check(dir.path(), u64::MAX), Err(Error::Locked { .. })));
    writer.close().unwrap();
    drop(writer);
    // A process that another test is just starting has every file open for a moment, and with it the lock.
    let checked = loop {
        match check(dir.path(), u64::MAX) {
            Err(Error::Locked { .. }) => std::thread::yield_now(),
            checked => break checked.unwrap(),
        }
    };
    assert_eq!((checked.whole, checked.damaged), (4, vec![]));
    assert!(checked.bytes > 100_000);
}

#[test]
fn a_full_disk_is_said_so_and_heals() {
    let dir = dir();
    let (mut writer, mut reader) = opened(dir.path(), 1_000_000);
    writer.append(&calls(100)).unwrap();
    writer.segment.bound(Some(40));
    let refused = writer.append(&(100..9000).map(call).collect::<Vec<_>>()).unwrap_err();
    assert!(matches!(&refused, Error::Full { file } if file.ends_with("calls-1.db")), "{refused}");
    writer.segment.bound(None);
    writer.append(&(9000..9050).map(call).collect::<Vec<_>>()).unwrap();
    writer.flush().unwrap();
    let bounds = Bounds { limit: 10_000, ..Bounds::default() };
    assert_eq!(reader.latest(&Filter::default(), None, bounds).unwrap().calls.len(), 150, "no half batch is left");
    assert_eq!(all_calls(&mut reader), 150);
}

#[tokio::test]
async fn calls_wait_for_a_stranger_who_holds_the_file_and_none_is_lost() {
    let dir = dir();
    let store = crate::Store::open(dir.path(), crate::Options::default()).unwrap();
    let stranger = rusqlite::Connection::open(dir.path().join("seg/calls-1.db")).unwrap();
    stranger.execute_batch("BEGIN IMMEDIATE").unwrap();
    store.push(calls(1000));
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert_eq!((store.counts().written, store.counts().failed), (0, 0));
    stranger.execute_batch("ROLLBACK").unwrap();
    while store.counts().written < 1000 {
        tokio::task::yield_now().await;
    }
    store.close();
    assert_eq!(store.counts().failed, 0);
}
