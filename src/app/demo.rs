//! `wsexec demo`: the service in a temporary directory, with an SSH server of its own on loopback.

use super::running::Running;
use super::serve::{announce, block_on};
use super::stop::StopSignals;
use super::{data_dir, failed, logging};
use crate::config::{self, Config, HostKeys, LogFormat, LogLevel};
use crate::domain::{
    Instance, InstanceState, Labels, Mode, NewInstance, Result, Secret, shell_word,
};
use crate::service::Actor;
use crate::ssh::demo::{self, DemoServer};
use std::ffi::OsStr;
use std::fs::Permissions;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::TempDir;

/// Runs the demo until a signal ends it; then its scripts are ended and its files are gone.
///
/// # Errors
/// The sentence that says why it did not start, or did not end well.
pub fn demo() -> Result<()> {
    let log = config::Log {
        format: LogFormat::Text,
        level: LogLevel::Warn,
    };
    logging::start(&log, None)?;
    if rustix::process::geteuid().is_root() {
        eprintln!("wsexec: warning: started as root, so the scripts of this demo run as root");
    }
    block_on(async {
        let mut signals = StopSignals::listen_with_hangup()?;
        let home = tempfile::Builder::new()
            .prefix("wsexec-demo-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .map_err(failed)?;
        let machine = DemoServer::start(home.path()).await.map_err(failed)?;
        let outcome = show(&home, &machine, &mut signals).await;
        machine.stop().await;
        home.close().map_err(failed)?;
        outcome
    })
}

/// Serves one connection of the demo's SSH server: the one on stdin.
///
/// # Errors
/// Where stdin is no connection, or a key cannot be read.
pub fn demo_connection(dir: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    runtime.block_on(demo::demo_connection(dir)).map_err(failed)
}

/// Becomes a script of the demo.
///
/// # Errors
/// Where it does not: it returns for no other reason.
pub fn demo_exec(command: &OsStr) -> Result<()> {
    Err(failed(demo::demo_exec(command)))
}

async fn show(home: &TempDir, machine: &DemoServer, signals: &mut StopSignals) -> Result<()> {
    let home = home.path();
    // The usual port where it is free, so that the README's lines work.
    let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let places = [loopback(8443), loopback(0)];
    let running = Running::start(settings(home, machine), &places, |_, _| Ok(())).await?;
    if let Some((user, password)) = &running.first_user {
        let login = format!(
            "machine 127.0.0.1 login {} password {}",
            user.name,
            password.expose()
        );
        data_dir::write_secret(&home.join("login"), &Secret::new(login))?;
    }
    let new = NewInstance {
        ip: Ipv4Addr::LOCALHOST.to_string(),
        tag: "demo".into(),
        state: InstanceState::Active,
        port: machine.port(),
        jump: None,
        jump_user: None,
        mode: Mode::Attached,
        labels: Labels::new(),
        identity: None,
        approval: false,
    };
    let service = &running.service;
    let instance = service.create_instance(&Actor::local(), new, None).await?;
    announce(&format!("wsexec ready https://{}", running.address));
    announce(&text(home, machine.user(), &instance, running.address));
    running.until_stopped(signals).await
}

/// Nothing of the user's own configuration: what the demo does is the same everywhere.
fn settings(home: &Path, machine: &DemoServer) -> Config {
    Config {
        data: home.join("data"),
        tls: config::Tls {
            cert: home.join("wsexec.crt"),
            key: home.join("wsexec.key"),
            ..config::Tls::default()
        },
        ssh: config::Ssh {
            identities: vec![machine.identity()],
            known_hosts: Some(machine.known_hosts()),
            host_keys: HostKeys::Strict,
            ..config::Ssh::default()
        },
        engine: config::Engine {
            stop_grace: 0,
            cancel_grace: 2,
            ..config::Engine::default()
        },
        ..Config::default()
    }
}

fn text(home: &Path, user: &str, instance: &Instance, address: SocketAddr) -> String {
    let task = serde_json::json!({
        "name": "hello",
        "instance": instance.id.0,
        "user": user,
        "script": "echo Hello from $(hostname), it is $(date)",
    });
    let file = |name| shell_word(&home.join(name).to_string_lossy());
    let (certificate, login, task) = (
        file("wsexec.crt"),
        file("login"),
        shell_word(&task.to_string()),
    );
    format!(
        "
Run a script: paste this line into another terminal.

curl -sS --cacert {certificate} --netrc-file {login} \
-H 'Content-Type: application/json' -d {task} 'https://{address}/wsexec/tasks?wait=30'

Pages        https://{address}/
Swagger UI   https://{address}/docs
Login        the name and the password in {login}
Certificate  {certificate} (the browser asks about it once)

Scripts run on this machine as {user}. Ctrl-C ends the demo, its scripts and its files."
    )
}
