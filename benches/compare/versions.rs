//! What was measured with what: the page that is kept.

use super::peers::python;
use super::report::{self, Row};
use std::process::Command;

/// How each is asked for its version, and the word of the answer that begins it.
const PROGRAMS: [(&str, &[&str]); 9] = [
    (
        "sshd",
        &["dpkg-query", "-W", "-f", "${Version}", "openssh-server"],
    ),
    (
        "ssh",
        &["dpkg-query", "-W", "-f", "${Version}", "openssh-client"],
    ),
    ("pdsh", &["dpkg-query", "-W", "-f", "${Version}", "pdsh"]),
    (
        "clush",
        &["dpkg-query", "-W", "-f", "${Version}", "clustershell"],
    ),
    (
        "ansible-core",
        &["dpkg-query", "-W", "-f", "${Version}", "ansible-core"],
    ),
    (
        "nginx",
        &["dpkg-query", "-W", "-f", "${Version}", "nginx-light"],
    ),
    ("wrk", &["dpkg-query", "-W", "-f", "${Version}", "wrk"]),
    ("rustc", &["rustc", "--version"]),
    ("Linux", &["uname", "-r"]),
];

fn said(words: &[&str]) -> Option<String> {
    let output = Command::new(words[0]).args(&words[1..]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (output.status.success() && !text.is_empty()).then(|| text.to_owned())
}

fn versions() -> String {
    let mut all = vec![format!("wsexec {}", env!("CARGO_PKG_VERSION"))];
    for (name, how) in PROGRAMS {
        let version = said(how).unwrap_or_else(|| "not installed".to_owned());
        all.push(match version.starts_with(name) {
            true => version,
            false => format!("{name} {version}"),
        });
    }
    let python = python();
    let python = python.to_str().unwrap_or_default();
    all.push(said(&[python, "--version"]).unwrap_or_else(|| "Python not installed".to_owned()));
    if let Some(packages) = said(&[python, "-m", "pip", "freeze", "--disable-pip-version-check"]) {
        const SHOWN: [&str; 7] = [
            "asyncssh",
            "cryptography",
            "Flask",
            "Flask-HTTPAuth",
            "gunicorn",
            "parallel-ssh",
            "paramiko",
        ];
        let shown = packages.lines().filter(|it| {
            it.split_once("==")
                .is_some_and(|(name, _)| SHOWN.contains(&name))
        });
        all.extend(shown.map(|it| it.replace("==", " ")));
    }
    all.join(", ")
}

const HOW: &str = "\
All of it ran on one machine, in a network namespace made for it, against one sshd (but for e: one
process that speaks SSH on all of 127.0.0.0/8 and starts nothing), with one ed25519 key and the script
`true` unless it is named. 32 run at once, of everybody. Everybody but the bare loop and parallel-ssh,
which by itself does not, checks host keys: WSEXEC against its records, the others against a
`known_hosts` that has them all (`StrictHostKeyChecking=yes`, `BatchMode=yes`, no configuration of the
user). A first round does not count; then they take turns. The middle of the rounds counts; a ratio is
ours by theirs, more is better for WSEXEC, and its span is of the slowest of one side by the fastest of
the other. A peer that takes long has fewer rounds.

- WSEXEC is measured from POST to the end on disk, over HTTPS. It keeps its connections, as it comes
  (`ssh.pool_idle`); the row below shows it without. ansible keeps its own too (`ControlPersist`). In b
  asyncssh and paramiko keep theirs; the others have a new one each, as they come.
- ssh, pdsh, clush and ansible are measured as they are used, from their start to their end; asyncssh,
  paramiko and parallel-ssh without the start of their interpreter.
- pdsh and clush ask a host once: in b they are called 300 times by xargs.
- c is `wrk` over 32 kept-alive connections, with HTTP basic. nginx serves the same bytes from a file
  with WSEXEC's certificate; the Flask service (benches/compare/peers/service.py) is of the same
  contract, with three workers and without TLS, as its like is set up, which is in its favour.
- d is from POST to the end on disk, where 16 MiB of it are kept and all is looked through for secrets;
  ssh writes it to /dev/null, the libraries count it.
- e is resident memory (VmRSS) of WSEXEC after 10 s of rest, and what 500 scripts that run add to it;
  of the others it is Pss, which counts what processes share in parts.
";

pub fn results(rows: &[Row]) -> String {
    format!(
        "# WSEXEC beside others\n\nWritten by `cargo bench --bench compare`, {}.\n\n{}.\n\n{}.\n\n{}\n{HOW}",
        report::today(),
        report::machine(),
        versions(),
        report::markdown(rows),
    )
}
