//! nginx that serves one file over TLS 1.3 with the certificate of a running server.

use super::server::Server;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub struct Nginx {
    address: SocketAddr,
    child: Child,
    _dir: TempDir,
}

impl Nginx {
    /// Serves `bytes` as JSON at `path`.
    pub fn start(server: &Server, path: &str, bytes: &[u8]) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let root = dir.path().join("root");
        let file = root.join(path.trim_start_matches('/'));
        fs::create_dir_all(file.parent().expect("below the root")).expect("a directory");
        fs::write(&file, bytes).expect("a file");
        let address = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a port");
        let user = if rustix::process::geteuid().is_root() {
            "user root;"
        } else {
            ""
        };
        let config = format!(
            "{user}
            daemon off; worker_processes auto; pid {dir}/pid; error_log stderr;
            events {{ worker_connections 1024; }}
            http {{
                access_log {dir}/access.log; default_type application/json;
                sendfile on; tcp_nopush on; keepalive_requests 1000000000;
                client_body_temp_path {dir}/a; proxy_temp_path {dir}/b; fastcgi_temp_path {dir}/c;
                uwsgi_temp_path {dir}/d; scgi_temp_path {dir}/e;
                open_file_cache max=16;
                server {{
                    listen {address} ssl; root {root}; ssl_protocols TLSv1.3;
                    ssl_certificate {cert}; ssl_certificate_key {key};
                }}
            }}",
            dir = dir.path().display(),
            root = root.display(),
            cert = server.path("certs/wsexec.crt").display(),
            key = server.path("certs/wsexec.key").display(),
        );
        let file = dir.path().join("nginx.conf");
        fs::write(&file, config).expect("a config file");
        let child = Command::new("nginx")
            .arg("-e")
            .arg("stderr")
            .arg("-c")
            .arg(file)
            .stdin(Stdio::null())
            .spawn()
            .expect("nginx is installed (apt install nginx-light)");
        let mut nginx = Self {
            address,
            child,
            _dir: dir,
        };
        nginx.wait_until_up();
        nginx
    }

    fn wait_until_up(&mut self) {
        let began = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            let ended = self.child.try_wait().expect("it can be waited for");
            assert!(ended.is_none(), "nginx does not start");
            assert!(began.elapsed() < Duration::from_secs(10), "nginx is late");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_raw(self.child.id().cast_signed());
        // A KILL would leave its workers.
        let _ = rustix::process::kill_process(
            pid.expect("a process id"),
            rustix::process::Signal::TERM,
        );
        let _ = self.child.wait();
    }
}
