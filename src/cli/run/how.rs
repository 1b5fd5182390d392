use crate::cli::Failure;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use std::io::Read;

/// What goes to the server as a script's standard input, in bytes; one more is too much.
const STDIN_MAX: u64 = 16 * 1024 * 1024;

/// How the script is run; what is not given is up to the server.
#[derive(Debug, clap::Args)]
pub struct How {
    /// End it after so many seconds
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u32>,
    /// Set a variable; without a value it is taken from here (may repeat)
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Give the script the secret of this identity: $NAME_FILE is its path there (may repeat)
    #[arg(long = "secret", value_name = "NAME=IDENTITY", value_parser = secret)]
    secrets: Vec<(String, String)>,
    /// Start in this directory
    #[arg(long, value_name = "DIR")]
    cwd: Option<String>,
    /// Let this program run the script, such as python3, instead of the login shell; #! for what
    /// the script's first line names
    #[arg(long, value_name = "PROGRAM")]
    interpreter: Option<String>,
    /// Run as this user, by sudo
    #[arg(long = "become", value_name = "USER")]
    become_user: Option<String>,
    /// Run on a terminal
    #[arg(long)]
    pty: bool,
    /// Give the script what comes on standard input here, up to 16 MiB
    #[arg(long, conflicts_with = "pty")]
    stdin: bool,
    /// Let it go on where the server is stopped or the network is gone
    #[arg(long, conflicts_with = "pty")]
    detached: bool,
    /// Try again so often where the machine cannot be reached
    #[arg(long, value_name = "COUNT")]
    retries: Option<u32>,
}

impl How {
    /// The members of a new task that say it.
    ///
    /// # Errors
    /// Where a variable or standard input cannot be had.
    pub fn members(&self) -> Result<Map<String, Value>, Failure> {
        let mut members = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                members.insert(name.into(), value);
            }
        };
        put("timeout", self.timeout.map(Value::from));
        put("cwd", self.cwd.clone().map(Value::from));
        put("interpreter", self.interpreter.clone().map(Value::from));
        put("retries", self.retries.map(Value::from));
        put("pty", self.pty.then(|| true.into()));
        put("mode", self.detached.then(|| "detached".into()));
        let user = self.become_user.as_ref();
        put("become", user.map(|user| json!({ "user": user })));
        let env = self.env.iter().map(|it| variable(it));
        let env = env.collect::<Result<Map<_, _>, _>>()?;
        put("env", (!env.is_empty()).then(|| env.into()));
        let secrets = self.secrets.iter().cloned();
        let secrets: Map<_, _> = secrets.map(|(name, it)| (name, it.into())).collect();
        put("secrets", (!secrets.is_empty()).then(|| secrets.into()));
        if self.stdin {
            put("stdin_base64", Some(STANDARD.encode(stdin()?).into()));
        }
        Ok(members)
    }
}

fn secret(given: &str) -> Result<(String, String), String> {
    let (name, identity) = given.split_once('=').ok_or("must be NAME=IDENTITY")?;
    Ok((name.into(), identity.into()))
}

fn variable(given: &str) -> Result<(String, Value), Failure> {
    if let Some((name, value)) = given.split_once('=') {
        return Ok((name.into(), value.into()));
    }
    std::env::var(given)
        .map(|value| (given.into(), value.into()))
        .map_err(|_| Failure::new(format!("--env {given}: there is no such variable here")))
}

fn stdin() -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(STDIN_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::new(format!("cannot read standard input: {error}")))?;
    if bytes.len() as u64 > STDIN_MAX {
        return Err(Failure::new(
            "standard input has more than 16 MiB, which is what a script can be given",
        ));
    }
    Ok(bytes)
}
