use crate::domain;
use std::net::Ipv6Addr;
use std::str::FromStr;

const DEFAULT_PORT: u16 = 8443;

/// `HOST[:PORT]`; an IPv6 address with a port stands in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    host: String,
    port: u16,
}

impl Target {
    /// `https://HOST:PORT`.
    pub(super) fn url(&self) -> String {
        match self.host.parse::<Ipv6Addr>() {
            Ok(address) => format!("https://[{address}]:{}", self.port),
            Err(_) => format!("https://{}:{}", self.host, self.port),
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = split(text).ok_or("must be HOST or HOST:PORT")?;
        domain::host(host).map_err(|why| format!("HOST {why}"))?;
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) => port
                .parse()
                .ok()
                .filter(|p| *p != 0)
                .ok_or("PORT must be a number from 1 to 65535")?,
        };
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

fn split(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        return match after {
            "" => Some((host, None)),
            _ => Some((host, Some(after.strip_prefix(':')?))),
        };
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Some((text, None));
    }
    match text.split_once(':') {
        None => Some((text, None)),
        Some((host, port)) => Some((host, Some(port))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_hosts_with_or_without_a_port() {
        for (text, url) in [
            ("localhost", "https://localhost:8443"),
            ("127.0.0.1:9", "https://127.0.0.1:9"),
            ("::1", "https://[::1]:8443"),
            ("[::1]", "https://[::1]:8443"),
            ("[::1]:443", "https://[::1]:443"),
        ] {
            assert_eq!(text.parse::<Target>().unwrap().url(), url);
        }
        for bad in [
            "",
            ":1",
            "a:",
            "a:0",
            "a:65536",
            "a/b",
            "https://a",
            "[::1]1",
            "u@a",
        ] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }
}
