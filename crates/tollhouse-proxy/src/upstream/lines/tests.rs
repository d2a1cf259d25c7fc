use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use proptest::prelude::*;
use tokio::io::ReadBuf;
use tokio::task::JoinSet;

use super::*;

/// Gives its chunks one per read.
struct Chunks(VecDeque<Vec<u8>>);

impl AsyncRead for Chunks {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(mut chunk) = self.0.pop_front() {
            let rest = chunk.split_off(chunk.len().min(buf.remaining()));
            buf.put_slice(&chunk);
            if !rest.is_empty() {
                self.0.push_front(rest);
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// `bytes`, cut at the given places.
fn chunks(bytes: &[u8], cuts: &[usize]) -> Chunks {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.sort_unstable();
    cuts.push(bytes.len());
    let mut from = 0;
    let mut pieces = VecDeque::new();
    for cut in cuts {
        // An empty read would mean the end.
        if cut > from {
            pieces.push_back(bytes[from..cut].to_vec());
            from = cut;
        }
    }
    Chunks(pieces)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// What a reader of these limits makes of `bytes`, as text; the length so far of a long line depends on chunks.
fn read(bytes: &[u8], cuts: &[usize], limit: usize, noise: usize) -> Vec<String> {
    let mut reader = LineReader::with_limits(chunks(bytes, cuts), limit, noise);
    let mut found = Vec::new();
    block_on(async {
        while let Some(line) = reader.next().await.unwrap() {
            found.push(match line {
                Line::Whole(line) => format!("whole {}", line.escape_ascii()),
                Line::TooLong { head, length } => {
                    assert!(length > noise.min(limit));
                    format!("long {}", head.escape_ascii())
                }
                Line::TooLongEnd { tail, length } => format!("end {length} {}", tail.escape_ascii()),
                Line::Partial(rest) => format!("partial {}", rest.escape_ascii()),
            });
        }
        assert_eq!(reader.next().await.unwrap(), None);
    });
    found
}

/// The same, from the whole text at once.
fn oracle(bytes: &[u8], limit: usize, noise: usize) -> Vec<String> {
    let noise = noise.min(limit);
    let mut found = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n');
        let line = &rest[..end.unwrap_or(rest.len())];
        rest = &rest[end.map_or(rest.len(), |end| end + 1)..];
        let json = matches!(line.iter().take(noise).find(|byte| !b" \t\r".contains(byte)), Some(b'{' | b'['));
        if line.len() > if json { limit } else { noise } {
            found.push(format!("long {}", line[..line.len().min(256).min(noise)].escape_ascii()));
            let tail = &line[line.len().saturating_sub(256)..];
            found.push(format!("end {} {}", line.len(), tail.escape_ascii()));
        } else if end.is_some() {
            found.push(format!("whole {}", line.strip_suffix(b"\r").unwrap_or(line).escape_ascii()));
        } else {
            found.push(format!("partial {}", line.escape_ascii()));
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn lines_are_the_same_however_they_arrive(
        bytes in prop::collection::vec(prop::sample::select(&b"\n\r {[ab"[..]), 0..200),
        cuts in prop::collection::vec(any::<usize>(), 0..20),
        limit in 1_usize..40,
        noise in 1_usize..40,
    ) {
        prop_assert_eq!(read(&bytes, &cuts, limit, noise), oracle(&bytes, limit, noise));
    }

    #[test]
    fn excerpts_of_long_lines_are_the_same_however_they_arrive(
        lengths in prop::collection::vec(0_usize..3000, 1..6),
        cuts in prop::collection::vec(any::<usize>(), 0..20),
        limit in 200_usize..2000,
    ) {
        let mut bytes = Vec::new();
        for length in lengths {
            bytes.extend((0..length).map(|at| if at == 0 { b'{' } else { b'a' + u8::try_from(at % 26).unwrap() }));
            bytes.push(b'\n');
        }
        prop_assert_eq!(read(&bytes, &cuts, limit, 300), oracle(&bytes, limit, 300));
    }
}

#[test]
fn several_lines_of_one_read_share_its_memory() {
    let mut reader = LineReader::new(chunks(b"{\"a\":1}\n{\"b\":2}\n", &[]), 100);
    let (first, second) = block_on(async {
        let Some(Line::Whole(first)) = reader.next().await.unwrap() else { panic!("a line") };
        let Some(Line::Whole(second)) = reader.next().await.unwrap() else { panic!("a line") };
        (first, second)
    });
    assert_eq!(second.as_ptr() as usize - first.as_ptr() as usize, first.len() + 1, "neither was copied");
}

#[test]
fn a_line_of_exactly_the_limit_passes_and_one_byte_more_does_not() {
    let line = |length: usize| [b"{".repeat(length), b"\n".to_vec()].concat();
    assert_eq!(read(&line(1000), &[500], 1000, 10), [format!("whole {}", "{".repeat(1000))]);
    assert_eq!(read(&line(1001), &[500], 1000, 10)[1], format!("end 1001 {}", "{".repeat(256)));
}

#[test]
fn a_valid_line_of_five_mebibytes_passes_and_noise_of_that_length_is_reported_at_one() {
    let mut message = vec![b' '; 5 << 20];
    message[0] = b'{';
    let mut noise = vec![b'.'; 5 << 20];
    noise.push(b'\n');
    block_on(async {
        let whole = [&message[..], b"\n"].concat();
        let mut reader = LineReader::new(&whole[..], 16 << 20);
        assert_eq!(reader.next().await.unwrap(), Some(Line::Whole(message.into())));
        let cuts: Vec<usize> = (1..80).map(|cut| cut << 16).collect();
        let mut reader = LineReader::new(chunks(&noise, &cuts), 16 << 20);
        let Some(Line::TooLong { length, .. }) = reader.next().await.unwrap() else { panic!("too long") };
        assert!((1 << 20..2 << 20).contains(&length), "{length}");
    });
}

#[test]
fn the_buffer_of_one_big_line_is_given_back() {
    let big = [b"[".repeat(4 << 20), b"\n[1]\n".to_vec()].concat();
    let mut reader = LineReader::new(&big[..], 16 << 20);
    block_on(async { while reader.next().await.unwrap().is_some() {} });
    assert!(reader.buffer.capacity() <= KEEP, "{}", reader.buffer.capacity());
}

/// A writer whose pump runs in the set, the other end of its pipe, and the tokens that close and abort it.
fn writer(room: usize, tasks: &mut JoinSet<()>) -> (LineWriter, tokio::io::DuplexStream, [CancellationToken; 2]) {
    let (near, far) = tokio::io::duplex(room);
    let (writer, pump) = LineWriter::new(near);
    let tokens = [CancellationToken::new(), CancellationToken::new()];
    tasks.spawn(pump.run(tokens[0].clone(), tokens[1].clone()));
    (writer, far, tokens)
}

/// Polls once: for "it waits" without a clock.
async fn waits<F: Future>(future: Pin<&mut F>) -> bool {
    tokio::select! {
        biased;
        _ = future => false,
        // The pump gets its turns first.
        () = async { for _ in 0..100 { tokio::task::yield_now().await; } } => true,
    }
}

#[tokio::test]
async fn lines_leave_in_order_each_with_its_newline() {
    let mut tasks = JoinSet::new();
    let (writer, mut far, [close, _]) = writer(7, &mut tasks);
    let mut senders = JoinSet::new();
    senders.spawn(async move {
        for n in 0..500 {
            writer.post(Bytes::from(format!("{n}"))).await.unwrap();
        }
        writer.send(Bytes::from_static(b"last")).await.unwrap();
        close.cancel();
    });
    let mut text = String::new();
    far.read_to_string(&mut text).await.unwrap();
    let mut expected: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    expected.push("last\n".to_owned());
    assert_eq!(text, expected.join("\n"));
}

#[tokio::test]
async fn many_waiting_lines_take_few_system_calls() {
    struct Counting(usize, Vec<u8>);
    impl AsyncWrite for &mut Counting {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.0 += 1;
            self.1.extend_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        }
        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.0 += 1;
            for slice in slices {
                self.1.extend_from_slice(slice);
            }
            Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
        }
        fn is_write_vectored(&self) -> bool {
            true
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }
    let mut counting = Counting(0, Vec::new());
    let (writer, pump) = LineWriter::new(&mut counting);
    for n in 0..QUEUE {
        writer.post(Bytes::from(n.to_string())).await.unwrap();
    }
    drop(writer);
    pump.run(CancellationToken::new(), CancellationToken::new()).await;
    assert_eq!((counting.0, memchr::memchr_iter(b'\n', &counting.1).count()), (QUEUE / BATCH, QUEUE));
}

#[tokio::test]
async fn a_full_queue_makes_the_next_sender_wait() {
    let mut tasks = JoinSet::new();
    let (writer, mut far, _tokens) = writer(1, &mut tasks);
    // One batch with the pump, a full queue behind it.
    let mut taken = 0;
    loop {
        let mut post = std::pin::pin!(writer.post(Bytes::from_static(b"line")));
        if waits(post.as_mut()).await {
            break;
        }
        taken += 1;
        assert!(taken <= QUEUE + BATCH, "the queue has a limit");
    }
    assert!(taken >= QUEUE);
    let mut post = std::pin::pin!(writer.post(Bytes::from_static(b"next")));
    assert!(waits(post.as_mut()).await);
    far.read_exact(&mut [0; 400]).await.unwrap();
    post.await.unwrap();
}

#[tokio::test]
async fn a_broken_pipe_tells_each_sender_whether_its_line_had_begun() {
    let mut tasks = JoinSet::new();
    let (writer, mut far, _tokens) = writer(4, &mut tasks);
    let mut senders = JoinSet::new();
    for line in ["abc", "second", "third"] {
        let writer = writer.clone();
        senders.spawn(async move { (line, writer.send(Bytes::from_static(line.as_bytes())).await) });
    }
    // The first is read whole, of the second one byte: it had room in the pipe.
    far.read_exact(&mut [0; 5]).await.unwrap();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    drop(far);
    let mut told: Vec<_> = senders.join_all().await;
    told.sort_unstable_by_key(|(line, _)| *line);
    let broken = Ended::Broken(io::ErrorKind::BrokenPipe);
    let expected =
        [("abc", Ok(())), ("second", Err(WriteError::Cut(broken))), ("third", Err(WriteError::Unsent(broken)))];
    assert_eq!(told, expected);
    assert_eq!(writer.send(Bytes::from_static(b"later")).await, Err(WriteError::Unsent(broken)));
}

#[tokio::test]
async fn a_line_whose_sender_left_while_it_waited_is_not_sent() {
    let mut tasks = JoinSet::new();
    let (writer, mut far, [close, _]) = writer(4, &mut tasks);
    // It fills the pipe, so that the next waits in the queue.
    writer.post(Bytes::from_static(b"long enough")).await.unwrap();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    {
        let mut left = std::pin::pin!(writer.send(Bytes::from_static(b"withdrawn")));
        assert!(waits(left.as_mut()).await);
    }
    writer.post(Bytes::from_static(b"stays")).await.unwrap();
    close.cancel();
    let mut text = String::new();
    far.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "long enough\nstays\n");
}

#[tokio::test]
async fn an_abort_frees_senders_from_a_server_that_does_not_read() {
    let mut tasks = JoinSet::new();
    let (writer, _far, [_, abort]) = writer(4, &mut tasks);
    let mut first = std::pin::pin!(writer.send(Bytes::from_static(b"stuck half-way")));
    assert!(waits(first.as_mut()).await);
    let mut second = std::pin::pin!(writer.send(Bytes::from_static(b"behind it")));
    assert!(waits(second.as_mut()).await);
    abort.cancel();
    assert_eq!(first.await, Err(WriteError::Cut(Ended::Closed)));
    assert_eq!(second.await, Err(WriteError::Unsent(Ended::Closed)));
}

#[test]
fn a_message_of_several_lines_becomes_one_that_means_the_same() {
    assert_eq!(one_line(Bytes::from_static(b"{\r\n \"a\": 1\n}")), "{   \"a\": 1 }");
}
