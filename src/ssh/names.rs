//! The addresses of a name.
//!
//! The system's look-up blocks a thread and cannot be called off: where the DNS is dead it goes on
//! long after everybody has given up. The threads are shared with all other blocking work, so
//! look-ups may hold a few of them and no more.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Look-ups at one time, also those that nobody waits for any more.
const LOOKUPS: usize = 64;
/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 16;

/// Looks names up.
pub struct Names {
    permits: Arc<Semaphore>,
}

impl Names {
    pub fn new() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(LOOKUPS)),
        }
    }

    /// The first addresses of a host; an IP address needs no look-up. Waits its turn, so it needs a
    /// deadline.
    pub async fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let permit = self.permits.clone().acquire_owned().await;
        let permit = permit.map_err(io::Error::other)?;
        let host = host.to_owned();
        let lookup = move || {
            // Held until the thread is free again, and not only as long as the caller waits.
            let _permit = permit;
            let addresses = (host.as_str(), port).to_socket_addrs()?;
            Ok(addresses.take(MAX_ADDRESSES).collect())
        };
        spawn_blocking(lookup).await?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test]
    async fn a_name_waits_for_a_place_and_an_address_does_not() {
        let names = Names::new();
        let dead = names.permits.acquire_many(LOOKUPS as u32).await.unwrap();
        let soon = Duration::from_millis(50);
        let name = timeout(soon, names.lookup("localhost", 22)).await;
        assert!(name.is_err(), "{name:?}");
        for ip in ["127.0.0.1", "::1"] {
            let address = names.lookup(ip, 22).await.unwrap();
            assert_eq!(address, [SocketAddr::new(ip.parse().unwrap(), 22)]);
        }
        drop(dead);
        assert!(!names.lookup("localhost", 22).await.unwrap().is_empty());
    }
}
