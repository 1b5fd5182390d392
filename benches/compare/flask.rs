//! The service of `peers/service.py` by gunicorn with three workers, over plain HTTP as its like is
//! set up.

use super::peers::{own, python};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub struct Flask {
    address: SocketAddr,
    child: Child,
    _dir: TempDir,
}

pub const LOGIN: (&str, &str) = ("bench", "a password of the bench alone");
pub const WORKERS: usize = 3;

impl Flask {
    /// None where it is not installed.
    pub fn start(key: &Path) -> Option<Self> {
        let gunicorn = python().with_file_name("gunicorn");
        if !gunicorn.exists() {
            return None;
        }
        let dir = TempDir::new().expect("a temporary directory");
        let address = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a port");
        let child = Command::new(gunicorn)
            .args([
                "--workers",
                &WORKERS.to_string(),
                "--bind",
                &address.to_string(),
            ])
            .args(["--log-level", "error", "--access-logfile"])
            .arg(dir.path().join("access.log"))
            .arg("--chdir")
            .arg(own("service.py").parent().expect("a directory"))
            .arg("service:app")
            .env("SERVICE_STORE", dir.path().join("store"))
            .env("SERVICE_LOGIN", format!("{}:{}", LOGIN.0, LOGIN.1))
            .env("SERVICE_KEY", key)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONWARNINGS", "ignore")
            .stdin(Stdio::null())
            .spawn()
            .expect("it was there");
        let mut flask = Self {
            address,
            child,
            _dir: dir,
        };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = flask.child.try_wait().expect("it can be waited for");
            if ended.is_some() || began.elapsed() > Duration::from_secs(30) {
                return None;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(flask)
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Flask {
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
