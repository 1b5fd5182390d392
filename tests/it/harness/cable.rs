//! A way to a server that can be cut: a forwarder on a loopback port of its own.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Forwards to a server until it is cut; ends when it is dropped.
pub struct Cable {
    address: SocketAddr,
    connections: Arc<Mutex<JoinSet<()>>>,
    accepting: JoinSet<()>,
    server: SocketAddr,
}

impl Cable {
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut cable = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            accepting: JoinSet::new(),
            server,
        };
        cable.forward(listener);
        cable
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    fn forward(&mut self, listener: TcpListener) {
        let (connections, server) = (self.connections.clone(), self.server);
        self.accepting.spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                let mut connections = connections.lock().unwrap_or_else(PoisonError::into_inner);
                connections.spawn(async move {
                    if let Ok(mut to) = TcpStream::connect(server).await {
                        let _ = copy_bidirectional(&mut from, &mut to).await;
                    }
                });
            }
        });
    }

    /// Ends every connection, and takes no new one.
    pub async fn cut(&mut self) {
        self.accepting.shutdown().await;
        let mut connections = {
            let mut all = self
                .connections
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *all)
        };
        connections.shutdown().await;
    }

    /// Takes connections again, on the same port.
    pub async fn mend(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.forward(listener);
    }
}
