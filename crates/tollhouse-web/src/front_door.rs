//! Decides under which names a listener may be addressed, before anything else is read.
//!
//! A web page can make a browser send requests to this machine, and by DNS rebinding under a name of its own. The
//! browser then states that name in `Host` and the page in `Origin`; a loopback address alone protects nobody. Both
//! are therefore checked on every route, also on those that do not exist.
//!
//! Path: bytes → **`front_door`** → route.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::header::{HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, Uri};
use tollhouse_proxy::settings::FrontDoor;

/// The names one listener answers to.
#[derive(Debug, Clone)]
pub struct Names {
    bound: IpAddr,
    hosts: Vec<String>,
    origins: Vec<String>,
}

/// Why a request is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No `Host`, several, or one that is not ours.
    #[error("this host name is not served here")]
    Host,
    /// An `Origin` that is not ours, or `null`.
    #[error("this origin may not ask here")]
    Origin,
}

impl Names {
    /// Loopback names, the address the listener is bound to, and what the configuration adds.
    pub fn new(bound: SocketAddr, configured: &FrontDoor) -> Self {
        let lower = |names: &[String]| names.iter().map(|name| name.to_ascii_lowercase()).collect();
        Self { bound: bound.ip().to_canonical(), hosts: lower(&configured.hosts), origins: lower(&configured.origins) }
    }

    /// Checks the names a request was sent under.
    ///
    /// # Errors
    /// [`Refusal`]: answer 403 and read nothing more.
    pub fn admit(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        // RFC 9112, 3.2: exactly one `Host`; in absolute form the target's authority counts, so both must be ours.
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(Refusal::Host) };
        let host: Authority = host.as_bytes().try_into().map_err(|_| Refusal::Host)?;
        if !self.serves(&host) || uri.authority().is_some_and(|target| !self.serves(target)) {
            return Err(Refusal::Host);
        }
        let origins_allowed = headers.get_all(ORIGIN).iter().all(|origin| {
            let origin = origin.to_str().unwrap_or_default().to_ascii_lowercase();
            is_loopback_origin(&origin) || self.origins.contains(&origin)
        });
        if origins_allowed { Ok(()) } else { Err(Refusal::Origin) }
    }

    fn serves(&self, authority: &Authority) -> bool {
        if authority.as_str().contains('@') {
            return false;
        }
        let host = authority.host().to_ascii_lowercase();
        is_loopback_name(&host)
            || address(&host).is_some_and(|ip| ip == self.bound && !ip.is_unspecified())
            || self.hosts.contains(&host)
    }
}

fn is_loopback_origin(origin: &str) -> bool {
    let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    rest.and_then(|rest| rest.parse::<Authority>().ok())
        .is_some_and(|authority| !authority.as_str().contains('@') && is_loopback_name(authority.host()))
}

fn is_loopback_name(host: &str) -> bool {
    host == "localhost" || address(host).is_some_and(|ip| ip.is_loopback())
}

/// The address a host is written as; only the usual spelling, for others are read differently by different parsers.
fn address(host: &str) -> Option<IpAddr> {
    if let Some(inner) = host.strip_prefix('[') {
        return inner.strip_suffix(']')?.parse().ok().map(|ip: IpAddr| ip.to_canonical());
    }
    host.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(host: &str, origin: Option<&str>, expected: Result<(), Refusal>) {
        let configured =
            FrontDoor { hosts: vec!["Gateway.example".into()], origins: vec!["https://App.example".into()] };
        let names = Names::new("10.1.2.3:7071".parse().unwrap(), &configured);
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        assert_eq!(names.admit(&Uri::from_static("/healthz"), &headers), expected, "{host} {origin:?}");
    }

    #[test]
    fn loopback_bound_and_configured_names_are_served_on_any_port() {
        for host in [
            "localhost",
            "LOCALHOST:7071",
            "127.0.0.1:9",
            "127.8.8.8",
            "[::1]:7071",
            "10.1.2.3:7071",
            "gateway.EXAMPLE",
        ] {
            check(host, None, Ok(()));
        }
    }

    #[test]
    fn a_foreign_or_disguised_host_is_refused() {
        for host in [
            "attacker.com",
            "localhost.attacker.com",
            "127.0.0.1.attacker.com",
            "localhost@attacker.com",
            "attacker.com@localhost",
            "10.1.2.4",
            "0.0.0.0",
            "2130706433",
            "0x7f.1",
            "",
        ] {
            check(host, None, Err(Refusal::Host));
        }
    }

    #[test]
    fn a_foreign_origin_is_refused_and_a_loopback_or_configured_one_is_not() {
        for origin in ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:8080", "https://app.example"] {
            check("localhost", Some(origin), Ok(()));
        }
        for origin in
            ["https://evil.example", "null", "", "http://localhost.evil.example", "file://", "https://app.example:444"]
        {
            check("localhost", Some(origin), Err(Refusal::Origin));
        }
    }

    #[test]
    fn two_hosts_none_or_a_foreign_target_are_refused() {
        let names = Names::new("127.0.0.1:7071".parse().unwrap(), &FrontDoor::default());
        let mut headers = HeaderMap::new();
        assert_eq!(names.admit(&Uri::from_static("/"), &headers), Err(Refusal::Host));
        headers.append(HOST, "localhost".parse().unwrap());
        assert_eq!(names.admit(&Uri::from_static("http://attacker.com/"), &headers), Err(Refusal::Host));
        assert_eq!(names.admit(&Uri::from_static("http://localhost/"), &headers), Ok(()));
        headers.append(HOST, "localhost".parse().unwrap());
        assert_eq!(names.admit(&Uri::from_static("/"), &headers), Err(Refusal::Host));
    }
}
