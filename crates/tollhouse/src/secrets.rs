//! The secrets of a configuration, so that they are taken out wherever they turn up.

use tollhouse_core::redact;
use tollhouse_proxy::settings::{Settings, Transport};

use crate::config::secret;

/// From now on the secrets of these settings are known, and no others.
pub(crate) fn know(settings: &Settings) {
    let secrets = settings.servers.iter().flat_map(|server| match &server.transport {
        Transport::Http { url, headers, .. } => {
            let mut found: Vec<String> = headers
                .iter()
                .filter(|(name, value)| secret::named(name.as_str()) || value.to_str().is_ok_and(secret::formed))
                .filter_map(|(_, value)| value.to_str().ok())
                // `Bearer`, or the like, stands before what is secret.
                .map(|value| value.split_once(' ').map_or(value, |(_, secret)| secret).to_owned())
                .collect();
            let userinfo = url.authority().and_then(|authority| authority.as_str().rsplit_once('@'));
            found.extend(userinfo.and_then(|(user, _)| user.split_once(':')).map(|(_, password)| password.to_owned()));
            found
        }
        Transport::Stdio(command) => {
            let named = command.env.iter().filter_map(|(name, value)| Some((name.to_str()?, value.to_str()?)));
            let named = named.filter(|(name, value)| secret::named(name) || secret::formed(value));
            named.map(|(_, value)| value.to_owned()).collect()
        }
    });
    let secrets: Vec<String> = secrets.collect();
    redact::know(secrets.iter().map(String::as_str));
}
