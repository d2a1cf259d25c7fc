//! Who is let in, and who is told to log in.

use super::*;

const TOKEN: &str = "correct horse battery";

async fn locked() -> (Desk, Arc<Login>) {
    let login = Arc::new(Login::new(TOKEN));
    (desk("files", vec![recent(1)], Some(login.clone())).await, login)
}

fn cookie(answer: &Answer) -> String {
    let set = answer.field("set-cookie").unwrap();
    format!("Cookie: other=1; {}\r\n", set.split_once(';').unwrap().0)
}

#[tokio::test]
async fn a_stranger_sees_a_form_a_problem_or_the_event_login_and_no_figure() {
    let (desk, _) = locked().await;
    for path in ["/", "/calls?range=6h", "/traces", "/sessions/x", "/errors"] {
        let answer = desk.get(path).await;
        assert_eq!(answer.status, 401, "{path}");
        assert!(answer.body.contains("action=\"/login\"") && !answer.body.contains("tool-1"), "{path}");
    }
    assert!(desk.get("/calls?range=6h").await.body.contains("value=\"/calls?range=6h\""), "it goes on from there");
    for path in ["/api/v1/calls", "/api/v1/calls?follow=true", "/api/v1/openapi.json"] {
        let answer = desk.get(path).await;
        assert_eq!(
            (answer.status, answer.field("www-authenticate")),
            (401, Some("Bearer realm=\"tollhouse\"")),
            "{path}"
        );
        assert!(answer.field("content-type").unwrap().contains("problem+json"), "{path}");
    }
    let stream = desk.get("/events?topics=calls").await;
    assert_eq!((stream.status, stream.body.as_str()), (200, "event: login\ndata: {}\n\n"));
    // A probe is not asked, and the form needs its style.
    assert_eq!(desk.get("/healthz").await.status, 200);
    let form = desk.get("/login").await;
    let style = form
        .body
        .split("href=\"")
        .find_map(|rest| rest.split_once('"').filter(|(href, _)| href.ends_with(".css")))
        .unwrap()
        .0;
    assert_eq!(desk.get(style).await.status, 200);
}

#[tokio::test]
async fn a_link_lets_one_browser_in_once_and_leaves_nothing_in_the_address() {
    let (desk, login) = locked().await;
    let link = login.link();
    let answer = desk.get(&format!("{link}&next=/calls")).await;
    assert_eq!((answer.status, answer.field("location")), (303, Some("/calls")));
    let set = answer.field("set-cookie").unwrap().to_owned();
    let port = desk.address.rsplit_once(':').unwrap().1;
    assert!(set.starts_with(&format!("tollhouse-{port}=")), "{set}");
    for flag in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(set.contains(flag), "{set}");
    }
    let cookie = cookie(&answer);
    let page = desk.ask("GET", "/", &cookie, "").await;
    assert!(page.status == 200 && page.body.contains("Log out"));
    assert_eq!(desk.ask("GET", "/api/v1/calls", &cookie, "").await.status, 200);
    let again = desk.get(&link).await;
    assert!(again.status == 401 && again.field("set-cookie").is_none() && again.body.contains("has been used"));
    assert_eq!(desk.ask("GET", &link, &cookie, "").await.status, 303, "who is in goes on");
    let forged = cookie.replace(";", ";").replacen(&format!("tollhouse-{port}="), &format!("tollhouse-{port}=f"), 1);
    assert_eq!(desk.ask("GET", "/", &forged, "").await.status, 401);
}

#[tokio::test]
async fn the_token_lets_in_by_the_form_and_as_a_bearer_and_nothing_like_it_does() {
    let (desk, _) = locked().await;
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let answer = desk.ask("POST", "/login", form, "token=correct+horse+battery&next=//evil.example").await;
    assert_eq!((answer.status, answer.field("location")), (303, Some("/")));
    assert_eq!(desk.ask("GET", "/calls", &cookie(&answer), "").await.status, 200);
    for body in ["token=wrong", "token=", "", "token=correct+horse+batter%00"] {
        let answer = desk.ask("POST", "/login", form, body).await;
        assert!(answer.status == 401 && answer.field("set-cookie").is_none(), "{body}");
    }
    assert_eq!(desk.ask("POST", "/login", form, &"x".repeat(10_000)).await.status, 413);
    let site = format!("{form}Sec-Fetch-Site: cross-site\r\n");
    assert_eq!(desk.ask("POST", "/login", &site, "token=correct+horse+battery").await.status, 403);
    let origin = format!("{form}Origin: https://evil.example\r\n");
    assert_eq!(desk.ask("POST", "/login", &origin, "token=correct+horse+battery").await.status, 403);
    for (told, status) in [(TOKEN, 200), ("wrong", 401), ("", 401)] {
        let bearer = format!("Authorization: Bearer {told}\r\n");
        assert_eq!(desk.ask("GET", "/api/v1/calls", &bearer, "").await.status, status, "{told}");
        assert_eq!(desk.ask("POST", "/login/link", &bearer, "").await.status, status, "{told}");
    }
}

#[tokio::test]
async fn a_login_can_be_ended_by_our_own_page() {
    let (desk, login) = locked().await;
    let cookie = cookie(&desk.get(&login.link()).await);
    let foreign = format!("{cookie}Sec-Fetch-Site: cross-site\r\n");
    assert_eq!(desk.ask("POST", "/logout", &foreign, "").await.status, 403);
    let answer = desk.ask("POST", "/logout", &cookie, "").await;
    assert!(answer.status == 303 && answer.field("set-cookie").unwrap().contains("Max-Age=0"));
}
