use ipnet::IpNet;
use serde::Deserialize;
use serde::de::Error as _;
use std::net::IpAddr;

/// The most that can be named.
const MOST: usize = 64;
/// How far back a chain of proxies is followed.
const HOPS: usize = 32;

/// The proxies whose word counts for where a request comes from, as addresses or networks.
#[derive(Debug, Clone, Default)]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    /// Where a request comes from that `peer` has sent with these `X-Forwarded-For` lines, in
    /// their order: the last address in them that is no such proxy's own, each having added whom it
    /// heard. It is the peer where that is no such proxy, nobody else is named, or the name that
    /// would count is no address.
    pub fn client<'a>(
        &self,
        peer: IpAddr,
        forwarded: impl DoubleEndedIterator<Item = &'a [u8]>,
    ) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.contain(peer) {
            return peer;
        }
        let names = forwarded.rev().flat_map(|line| line.rsplit(|b| *b == b','));
        for name in names.take(HOPS) {
            match address(name) {
                Some(proxy) if self.contain(proxy) => {}
                Some(client) => return client,
                None => return peer,
            }
        }
        peer
    }

    fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

fn address(name: &[u8]) -> Option<IpAddr> {
    let name = std::str::from_utf8(name).ok()?.trim_matches([' ', '\t']);
    let address: IpAddr = name.parse().ok()?;
    Some(address.to_canonical())
}

impl<'de> Deserialize<'de> for Proxies {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(from)?;
        if names.len() > MOST {
            return Err(D::Error::custom(format!("at most {MOST} can be named")));
        }
        let networks = names
            .iter()
            .map(|name| network(name).map_err(D::Error::custom));
        networks.collect::<Result<_, _>>().map(Self)
    }
}

fn network(name: &str) -> Result<IpNet, String> {
    let network = match name.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => name.parse().map_err(|_| {
            format!("{name} is neither an address nor a network, such as ::1 or 10.0.0.0/8")
        })?,
    };
    let mapped = matches!(network, IpNet::V6(it) if it.addr().to_ipv4_mapped().is_some());
    match (network.prefix_len(), mapped) {
        (0, _) => Err(format!(
            "{name} would let every client say who it is: name the proxies"
        )),
        (_, true) => Err(format!("{name} has to be written as IPv4")),
        _ => Ok(network),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Proxies, String> {
        let config: Result<crate::config::Http, _> = toml::from_str(text);
        let config = config.map_err(|error| error.message().to_owned());
        config.map(|it| it.trusted_proxies)
    }

    /// From `peer` with these lines.
    fn seen(peer: &str, lines: &[&str]) -> String {
        let proxies = parsed("trusted_proxies = [\"10.0.0.0/8\", \"::1\"]").unwrap();
        let lines = lines.iter().map(|line| line.as_bytes());
        proxies.client(peer.parse().unwrap(), lines).to_string()
    }

    #[test]
    fn a_trusted_proxy_says_who_asks_and_nobody_else_does() {
        assert_eq!(seen("10.0.0.1", &["192.0.2.7"]), "192.0.2.7");
        assert_eq!(seen("::ffff:10.0.0.1", &["2001:db8::7"]), "2001:db8::7");
        assert_eq!(seen("::1", &["::ffff:192.0.2.7"]), "192.0.2.7");
        assert_eq!(seen("192.0.2.1", &["192.0.2.7"]), "192.0.2.1");
        assert_eq!(seen("::2", &["192.0.2.7"]), "::2");
        let none = Proxies::default();
        let line = [&b"192.0.2.7"[..]];
        let peer = "127.0.0.1".parse().unwrap();
        assert_eq!(none.client(peer, line.into_iter()), peer);
    }

    #[test]
    fn the_last_that_is_no_proxy_counts_whatever_the_client_has_written_before() {
        let chain = ["1.1.1.1, nonsense", "192.0.2.7 ,\t10.0.0.9,10.1.1.1"];
        assert_eq!(seen("10.0.0.1", &chain), "192.0.2.7");
        assert_eq!(seen("10.0.0.1", &["1.1.1.1", "192.0.2.7"]), "192.0.2.7");
    }

    #[test]
    fn what_is_no_address_or_too_far_away_leaves_the_peer() {
        let far = format!("192.0.2.7{}", ",10.0.0.2".repeat(HOPS));
        for lines in [
            &[][..],
            &[""],
            &["unknown"],
            &["192.0.2.7:4711"],
            &["192.0.2.7, "],
            &["192.0.2.7,, 10.0.0.2"],
            &["192.0.2.7 192.0.2.8"],
            &["010.0.0.2"],
            &["10.0.0.2, 10.0.0.3"],
            &[&far],
        ] {
            assert_eq!(seen("10.0.0.1", lines), "10.0.0.1", "{lines:?}");
        }
    }

    #[test]
    fn what_is_no_network_or_every_one_is_refused() {
        for (name, why) in [
            ("proxy.example", "neither"),
            ("10.0.0.0/33", "neither"),
            ("0.0.0.0/0", "every client"),
            ("::/0", "every client"),
            ("::ffff:10.0.0.0/104", "as IPv4"),
        ] {
            let error = parsed(&format!("trusted_proxies = [{name:?}]")).unwrap_err();
            assert!(error.contains(why), "{name}: {error}");
        }
        let many = format!("trusted_proxies = [{}]", "\"::1\",".repeat(MOST + 1));
        assert!(parsed(&many).unwrap_err().contains("at most 64"));
        // A network by any address in it.
        let proxies = parsed("trusted_proxies = [\"10.1.2.3/8\"]").unwrap();
        assert!(proxies.contain("10.9.9.9".parse().unwrap()));
    }
}
