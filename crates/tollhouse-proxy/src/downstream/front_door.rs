//! Who may address the gateway at all: the names it is known by, and the pages that may use it.
//!
//! A web page can make a browser send requests to a loopback address, and by rebinding a name even read the answers.
//! Such requests carry the page's `Origin` and the rebound name as `Host`, so both are checked on every route.

use std::net::IpAddr;

use http::header::{HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Uri};

use crate::settings::FrontDoor;

/// Why a request is turned away, in words for its sender; HTTP 403 or 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TurnedAway {
    /// No `Host`, or several.
    BadHost,
    Host,
    Origin,
}

impl TurnedAway {
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::BadHost => "exactly one Host header is needed",
            Self::Host => "this host name is not allowed; add it to `allowed_hosts` if it is yours",
            Self::Origin => "this origin is not allowed; add it to `allowed_origins` if it is yours",
        }
    }
}

impl FrontDoor {
    /// Checks a request's `Host` and `Origin`, and the authority of its target where it has one: by RFC 9112 that
    /// one counts, not `Host`.
    ///
    /// `local` is the address at which the request arrived. It may be named, too: no page can have it resolve to
    /// something else.
    pub(crate) fn check(&self, target: &Uri, headers: &HeaderMap, local: IpAddr) -> Result<(), TurnedAway> {
        if target.host().is_some_and(|name| !self.knows_name(name, local)) {
            return Err(TurnedAway::Host);
        }
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(TurnedAway::BadHost) };
        if !self.knows_host(host, local) {
            return Err(TurnedAway::Host);
        }
        match headers.get(ORIGIN) {
            None => Ok(()),
            Some(origin) if self.knows_origin(origin) => Ok(()),
            Some(_) => Err(TurnedAway::Origin),
        }
    }

    fn knows_host(&self, host: &HeaderValue, local: IpAddr) -> bool {
        // The usual ones first, without parsing.
        if let Some(port) = host.as_bytes().strip_prefix(b"127.0.0.1:") {
            return port.iter().all(u8::is_ascii_digit);
        }
        let Ok(authority) = Authority::try_from(host.as_bytes()) else { return false };
        self.knows_name(authority.host(), local)
    }

    fn knows_name(&self, name: &str, local: IpAddr) -> bool {
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        name.eq_ignore_ascii_case("localhost")
            || matches!(bare, "127.0.0.1" | "::1")
            || bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical() == local)
            || self.hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(bare))
    }

    fn knows_origin(&self, origin: &HeaderValue) -> bool {
        let Ok(text) = origin.to_str() else { return false };
        if self.origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(text)) {
            return true;
        }
        let Ok(uri) = text.parse::<Uri>() else { return false };
        let web = matches!(uri.scheme_str(), Some("http" | "https"));
        let name = uri.host().unwrap_or_default();
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        web && (name.eq_ignore_ascii_case("localhost") || matches!(bare, "127.0.0.1" | "::1"))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3));

    fn check(host: &'static str, origin: Option<&'static str>) -> Result<(), TurnedAway> {
        let door = FrontDoor { hosts: vec!["gate.example".into()], origins: vec!["https://app.example".into()] };
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static(host));
        if let Some(origin) = origin {
            headers.insert(ORIGIN, HeaderValue::from_static(origin));
        }
        door.check(&Uri::from_static("/mcp"), &headers, LOCAL)
    }

    #[test]
    fn names_of_this_machine_and_configured_ones_are_known() {
        for host in ["127.0.0.1:7070", "localhost", "LOCALHOST:7070", "[::1]:7070", "gate.example:443", "10.1.2.3:7070"]
        {
            assert_eq!(check(host, None), Ok(()), "{host}");
        }
        for host in [
            "attacker.com",
            "10.1.2.4:7070",
            "127.0.0.1.attacker.com",
            "127.0.0.1:7070.attacker.com",
            "localhost.attacker.com",
            "",
        ] {
            assert_eq!(check(host, None), Err(TurnedAway::Host), "{host}");
        }
        assert_eq!(
            FrontDoor::default().check(&Uri::from_static("/mcp"), &HeaderMap::new(), LOCAL),
            Err(TurnedAway::BadHost)
        );
    }

    #[test]
    fn pages_of_this_machine_and_configured_ones_are_known() {
        for origin in ["http://localhost:3000", "http://127.0.0.1", "https://[::1]:8443", "https://app.example"] {
            assert_eq!(check("localhost", Some(origin)), Ok(()), "{origin}");
        }
        for origin in ["https://evil.example", "null", "http://localhost.evil.example", "file://localhost", ""] {
            assert_eq!(check("localhost", Some(origin)), Err(TurnedAway::Origin), "{origin}");
        }
    }
}
