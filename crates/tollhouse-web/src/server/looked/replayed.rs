//! The stream: what was missed is told again, and what cannot be told any more is said to be so.

use super::*;

/// Reads a stream until it has said `what`.
async fn until(desk: &Desk, path: &str, headers: &str, what: &str) -> String {
    let mut stream = TcpStream::connect(&desk.address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").as_bytes()).await.unwrap();
    let (mut said, mut some) = (String::new(), [0; 4096]);
    let reading = async {
        while !said.contains(what) {
            let count = stream.read(&mut some).await.unwrap();
            assert!(count > 0, "it ended after {said}");
            said.push_str(&String::from_utf8_lossy(&some[..count]));
        }
    };
    let read = tokio::time::timeout(Duration::from_secs(20), reading).await;
    assert!(read.is_ok(), "no {what} in {said}");
    said
}

fn id(said: &str) -> String {
    said.rsplit_once("id: ").unwrap().1.split_whitespace().next().unwrap().to_owned()
}

/// The number that a page gives its stream.
async fn after(desk: &Desk) -> String {
    let body = desk.get("/calls").await.body;
    body.split_once("after=").unwrap().1.split_once('"').unwrap().0.to_owned()
}

#[tokio::test]
async fn what_comes_between_a_page_and_its_stream_is_told_and_what_was_seen_is_not() {
    let desk = desk("files", vec![], None).await;
    let after = after(&desk).await;
    desk.record((0..3).map(recent).collect()).await;
    let said = until(&desk, &format!("/events?topics=calls&after={after}"), "", "data:").await;
    assert!(said.contains("retry: 1000") && said.contains("\"calls\":3"), "{said}");
    assert!(
        said.to_ascii_lowercase().contains("x-accel-buffering: no") && said.contains("text/event-stream"),
        "{said}"
    );
    let seen = id(&said);
    desk.record(vec![recent(3)]).await;
    // What a browser says when it comes back goes before what stands in the address.
    let said =
        until(&desk, &format!("/events?topics=calls&after={after}"), &format!("Last-Event-ID: {seen}\r\n"), "data:")
            .await;
    assert!(said.contains("\"calls\":1") && !said.contains("reset"), "{said}");
}

#[tokio::test]
async fn who_was_away_too_long_or_comes_from_another_start_is_told_to_fetch_all() {
    let desk = desk("files", vec![], None).await;
    let after = after(&desk).await;
    desk.record((0..2001).map(recent).collect()).await;
    for number in [after.as_str(), "deadbeef-1", "rubbish"] {
        let said = until(&desk, &format!("/events?topics=calls&after={number}"), "", "data:").await;
        assert!(said.contains("event: reset"), "{number}: {said}");
        let now = id(&said);
        desk.record(vec![recent(9000)]).await;
        let said = until(&desk, &format!("/events?topics=calls&after={now}"), "", "data:").await;
        assert!(said.contains("\"calls\":1"), "{said}");
    }
}

#[tokio::test]
async fn a_stream_tells_of_the_calls_that_its_page_shows() {
    let desk = desk("files", vec![], None).await;
    let after = after(&desk).await;
    desk.record((0..10).map(recent).collect()).await;
    let said = until(&desk, &format!("/events?topics=calls&f=server:eq:search&after={after}"), "", "data:").await;
    assert!(said.contains("\"calls\":5"), "{said}");
    assert_eq!(desk.get("/events?topics=calls&f=rubbish").await.status, 400);
}
