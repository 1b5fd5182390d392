//! nginx before a server, by the lines of `docs/reverse-proxy.md`.

use super::app::App;
use super::certificates::Authority;
use super::client::Client;
use super::sshd::{free_port, wait_until_up};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

const PAGE: &str = include_str!("../../../docs/reverse-proxy.md");

/// A running nginx. Ended when it is dropped.
pub struct Nginx {
    child: Child,
    home: TempDir,
    address: SocketAddr,
}

impl Nginx {
    /// Before this server, whose certificate has to be by the authority in `ca`.
    pub fn before(app: &App, ca: &Path) -> Self {
        for _ in 0..5 {
            if let Some(nginx) = Self::start(app, ca) {
                return nginx;
            }
        }
        panic!("nginx does not start");
    }

    /// None where somebody took its port meanwhile.
    fn start(app: &App, ca: &Path) -> Option<Self> {
        let home = tempfile::tempdir().expect("a directory");
        let tls = home.path().join("tls");
        let authority = Authority::new("Of the proxy");
        authority.server(|_| {}).write(
            &tls.join("wsexec.example.crt"),
            &tls.join("wsexec.example.key"),
        );
        fs::write(home.path().join("ca.pem"), authority.pem()).expect("a file");
        fs::copy(ca, tls.join("wsexec-ca.crt")).expect("a file");
        let address = free_port(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let config = home.path().join("nginx.conf");
        fs::write(&config, text(home.path(), address, app.address())).expect("a file");
        let log = fs::File::create(home.path().join("log")).expect("a file");
        let child = Command::new("/usr/sbin/nginx")
            .arg("-p")
            .arg(home.path())
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("Debian's package nginx-light is installed");
        let Some(child) = wait_until_up(child, address) else {
            eprintln!("--- nginx: {}", log_in(home.path()));
            return None;
        };
        Some(Self {
            child,
            home,
            address,
        })
    }

    /// `https://ADDR:PORT`.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// A client that comes by way of it, from another address of this machine.
    pub fn client(&self, from: [u8; 4], login: Option<(&str, &str)>) -> Client {
        let login = login.map(|(name, password)| (name.to_owned(), password.to_owned()));
        let client = Client::new(self.url(), &self.home.path().join("ca.pem"), login);
        client.from(from.into())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- nginx: {}", log_in(self.home.path()));
        }
    }
}

fn log_in(home: &Path) -> String {
    fs::read_to_string(home.join("log")).unwrap_or_default()
}

/// The lines of the page with the places of this machine, below what Debian's own file has.
fn text(home: &Path, listen: SocketAddr, server: SocketAddr) -> String {
    let (_, block) = PAGE.split_once("```nginx\n").expect("a block of lines");
    let (block, _) = block.split_once("```").expect("its end");
    let mut block = block.to_owned();
    for (there, here) in [
        ("server 127.0.0.1:8443;", format!("server {server};")),
        ("listen 443 ssl", format!("listen {listen} ssl")),
        ("/etc/nginx/", format!("{}/", home.display())),
    ] {
        assert!(block.contains(there), "no {there} in docs/reverse-proxy.md");
        block = block.replace(there, &here);
    }
    let home = home.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|it| format!("{it}_temp_path {home}/{it};\n"))
        .collect();
    format!(
        "daemon off;\nmaster_process off;\npid {home}/pid;\nerror_log stderr;\nevents {{}}\n\
         http {{\naccess_log off;\n{temporary}{block}}}\n"
    )
}
