//! The listener through a real socket, as a probe sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tollhouse_proxy::settings::FrontDoor;

use super::{Error, serve};
use crate::health::{Losses, Phase, Reloads, Report, Server, Snapshot, State, Status};

struct Admin {
    address: String,
    draining: Arc<AtomicBool>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

fn server(id: &str, state: State) -> Server {
    Server {
        id: id.into(),
        transport: "stdio".into(),
        era: None,
        state,
        reason: None,
        restarts: 0,
        last_error: None,
        last_error_at_unix_ms: None,
        tools: Some(3),
        unvalidated_tools: None,
    }
}

async fn admin(states: &[State]) -> Admin {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let draining = Arc::new(AtomicBool::new(false));
    let stop = CancellationToken::new();
    let servers: Vec<Server> = states.iter().zip(["a", "b"]).map(|(state, id)| server(id, *state)).collect();
    let phase = Arc::clone(&draining);
    let health = move || Snapshot {
        version: "1.2.3",
        listen: "127.0.0.1:7070".parse().ok(),
        uptime_s: 7,
        phase: if phase.load(Ordering::Relaxed) { Phase::Draining } else { Phase::Serving },
        sessions: 2,
        calls_in_flight: 1,
        records_dropped: 0,
        losses: Losses { messages_dropped: 3, connections_cut: 2, connections_refused: 1 },
        reloads: Reloads::default(),
        servers: servers.clone(),
    };
    let token = stop.clone();
    let (_, front_door) = watch::channel(FrontDoor::default());
    #[expect(clippy::disallowed_methods, reason = "the test awaits the task itself")]
    let task = tokio::spawn(async move { serve(listener, crate::Shown::health(health), front_door, token).await });
    Admin { address, draining, stop, task }
}

impl Admin {
    async fn ask(&self, method: &str, path: &str, headers: &str) -> Answer {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "Host: localhost\r\n").await
    }
}

#[tokio::test]
async fn a_serving_program_is_alive_and_ready_and_a_draining_one_only_alive() {
    let admin = admin(&[State::Failed]).await;
    let (alive, ready) = (admin.get("/healthz").await, admin.get("/readyz").await);
    assert_eq!((alive.status, alive.body.as_str(), ready.status), (200, "ok\n", 200));
    admin.draining.store(true, Ordering::Relaxed);
    let (alive, ready) = (admin.get("/healthz").await, admin.get("/readyz").await);
    assert_eq!((alive.status, ready.status, ready.body.as_str()), (200, 503, "draining\n"));
}

#[tokio::test]
async fn the_report_names_every_server_and_sums_them_up() {
    for (states, status) in [
        (&[State::Connected, State::Idle][..], Status::Ok),
        (&[State::Connected, State::Failed], Status::Degraded),
        (&[State::Failed, State::Failed], Status::Down),
        (&[], Status::Ok),
    ] {
        let admin = admin(states).await;
        let answer = admin.get("/health").await;
        let report: Report = serde_json::from_str(&answer.body).unwrap();
        assert_eq!((answer.status, report.status, report.servers.len()), (200, status, states.len()));
        assert_eq!(
            (report.version.as_str(), report.uptime_s, report.sessions, report.calls_in_flight),
            ("1.2.3", 7, 2, 1)
        );
    }
}

#[tokio::test]
async fn the_report_is_plain_json_with_these_members() {
    let answer = admin(&[State::Connected]).await.get("/health").await;
    assert!(answer.head.contains("content-type: application/json"), "{}", answer.head);
    let expected = r#"{"status":"ok","version":"1.2.3","listen":"127.0.0.1:7070","uptime_s":7,"draining":false,"sessions":2,"calls_in_flight":1,"records_dropped":0,"losses":{"messages_dropped":3,"connections_cut":2,"connections_refused":1},"reloads":{"applied":0,"refused":0,"last":null},"servers":[{"id":"a","transport":"stdio","era":null,"state":"connected","reason":null,"restarts":0,"tools":3}]}"#;
    assert_eq!(answer.body, expected);
}

#[tokio::test]
async fn a_foreign_host_or_origin_is_refused_on_every_route_known_or_not() {
    let admin = admin(&[]).await;
    for path in ["/healthz", "/readyz", "/health", "/", "/nothing/here"] {
        for headers in [
            "Host: attacker.com\r\n",
            "Host: localhost\r\nOrigin: https://evil.example\r\n",
            "Host: localhost\r\nOrigin: null\r\n",
            "",
        ] {
            for method in ["GET", "HEAD", "POST", "OPTIONS"] {
                let answer = admin.ask(method, path, headers).await;
                // Without any `Host` an HTTP/1.1 request is malformed, and 400 is as good a refusal.
                assert!([400, 403].contains(&answer.status), "{method} {path} {headers:?}: {}", answer.status);
            }
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_404_and_what_may_not_be_done_is_405() {
    let admin = admin(&[]).await;
    assert_eq!(admin.get("/nothing").await.status, 404);
    assert_eq!(admin.ask("POST", "/health", "Host: localhost\r\nContent-Length: 0\r\n").await.status, 405);
}

#[tokio::test]
async fn head_answers_like_get_without_a_body() {
    let admin = admin(&[]).await;
    for path in ["/healthz", "/readyz", "/health"] {
        let answer = admin.ask("HEAD", path, "Host: [::1]:7071\r\n").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{path}");
    }
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let admin = admin(&[]).await;
    for (path, headers) in [("/health", "Host: localhost\r\n"), ("/x", "Host: localhost\r\n"), ("/", "Host: a.com\r\n")]
    {
        let head = admin.ask("GET", path, headers).await.head;
        for header in ["x-content-type-options: nosniff", "cache-control: no-store", "frame-ancestors 'none'"] {
            assert!(head.contains(header), "{path}: no {header} in {head}");
        }
    }
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_end() {
    let admin = admin(&[]).await;
    let _silent = TcpStream::connect(&admin.address).await.unwrap();
    admin.get("/healthz").await;
    admin.stop.cancel();
    admin.task.await.unwrap().unwrap();
    assert!(TcpStream::connect(&admin.address).await.is_err(), "the listener is closed");
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_gives_up_his_place_and_others_are_served() {
    let admin = admin(&[]).await;
    let mut silent = Vec::new();
    for _ in 0..super::CONNECTIONS_MAX {
        silent.push(TcpStream::connect(&admin.address).await.unwrap());
    }
    assert_eq!(admin.get("/healthz").await.status, 200);
    let mut heard = Vec::new();
    silent[0].read_to_end(&mut heard).await.unwrap();
}
