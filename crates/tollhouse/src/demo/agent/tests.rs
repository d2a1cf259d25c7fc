//! The agent against both servers over HTTP, without a gateway between.

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Play, Target, run};
use crate::demo::server::{Name, over_http};

async fn servers(stop: &CancellationToken) -> (Vec<Target>, JoinSet<anyhow::Result<()>>) {
    let (mut targets, mut tasks) = (Vec::new(), JoinSet::new());
    for server in Name::ALL {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap()).parse().unwrap();
        targets.push(Target { server, url });
        tasks.spawn(over_http(server, listener, stop.clone()));
    }
    (targets, tasks)
}

#[tokio::test]
async fn the_script_played_once_is_answered_throughout_and_summed_up_in_a_table() {
    let stop = CancellationToken::new();
    let (targets, mut tasks) = servers(&stop).await;
    let mut out = Vec::new();
    let played = run(&targets, Play::Once, &mut out, stop.clone()).await.unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!((played.calls, played.lost), (44, 0), "{text}");
    let (lines, table) = text.split_once("\n\n").unwrap();
    assert_eq!(lines.lines().count(), 1 + 44);
    assert!(table.starts_with("server    tool              calls  errors"), "{table}");
    let stars = table.lines().find(|line| line.contains("star_tonight")).unwrap();
    let counts: Vec<&str> = stars.split_whitespace().take(4).collect();
    assert_eq!(counts, ["almanac", "star_tonight", "10", "2"], "{table}");
    stop.cancel();
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap().unwrap();
    }
}

#[tokio::test]
async fn where_nobody_answers_every_call_is_told_as_lost() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let mut out = Vec::new();
    let targets = [Target { server: Name::Notes, url }];
    let played = run(&targets, Play::Once, &mut out, CancellationToken::new()).await.unwrap();
    assert!(played.calls > 0 && played.lost == played.calls, "{played:?}");
}

#[tokio::test(start_paused = true)]
async fn played_again_and_again_it_ends_when_stopped() {
    let stop = CancellationToken::new();
    let mut out = Vec::new();
    let token = stop.clone();
    let playing = run(&[], Play::Again, &mut out, token);
    stop.cancel();
    assert_eq!(playing.await.unwrap().calls, 0);
}
