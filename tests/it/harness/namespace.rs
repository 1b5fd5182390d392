//! A network of its own for one server (ip-netns(8)), joined to ours by a cable that can be pulled:
//! what is sent then is lost without a word.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// It goes with its test.
pub struct Namespace {
    name: String,
    address: Ipv4Addr,
}

impl Namespace {
    /// None where that cannot be made; says so.
    pub fn make() -> Option<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        // Of the network for tests (RFC 2544), four addresses each.
        let network = 0xC612_0000 + (std::process::id() * 16 + number % 16) % 0x8000 * 4;
        let it = Self {
            name: format!("wt{}-{number}", std::process::id()),
            address: Ipv4Addr::from(network + 2),
        };
        let (name, inside) = (it.name.as_str(), format!("{}/30", it.address));
        let outside = format!("{}/30", Ipv4Addr::from(network + 1));
        let made = ip(&["netns", "add", name])
            && ip(&[
                "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name,
            ])
            && ip(&["addr", "add", &outside, "dev", name])
            && ip(&["link", "set", name, "up"])
            && ip(&["-n", name, "addr", "add", &inside, "dev", "eth0"])
            && ip(&["-n", name, "link", "set", "eth0", "up"]);
        if !made {
            eprintln!("skipped: only root, and not in every container, can make a network");
            return None;
        }
        Some(it)
    }

    /// Where its server listens.
    pub fn address(&self) -> SocketAddr {
        (self.address, 22).into()
    }

    /// What runs a command in it.
    pub fn command(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.name]
            .map(str::to_owned)
            .into()
    }

    /// Pulls the cable.
    pub fn pull(&self) {
        assert!(ip(&["-n", &self.name, "link", "set", "eth0", "down"]));
    }

    /// Plugs it in again.
    pub fn plug(&self) {
        assert!(ip(&["-n", &self.name, "link", "set", "eth0", "up"]));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        ip(&["link", "del", &self.name]);
        ip(&["netns", "del", &self.name]);
    }
}

fn ip(arguments: &[&str]) -> bool {
    let done = Command::new("ip").args(arguments).output();
    done.is_ok_and(|output| output.status.success())
}
