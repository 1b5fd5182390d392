//! The lines for a terminal that post a task.

use crate::domain::{BecomeMethod, Mode, NewTask};
use crate::ui::terminal::Terminal;
use serde_json::{Map, Value, json};

/// What posts this task; nothing where its standard input would have to be in a line.
pub fn post(with: Terminal, does: &'static str, new: &NewTask) -> Terminal {
    if new.stdin.is_some() {
        return with;
    }
    let with = with.send(does, ("POST", "/wsexec/tasks"), &body(new));
    match words(new) {
        Some(words) => with.or_run(words),
        None => with,
    }
}

/// The body of the API; what is as usual is left out.
fn body(new: &NewTask) -> Value {
    let launch = &new.launch;
    let mut body = json!({
        "instance": new.instance.0, "user": new.user, "name": new.name, "script": new.script,
    });
    let mut put = |name: &str, value: Value, usual: bool| {
        if !usual {
            body[name] = value;
        }
    };
    let map = |pairs: &[(String, String)]| {
        let pairs = pairs.iter().cloned();
        pairs
            .map(|(name, value)| (name, value.into()))
            .collect::<Map<_, _>>()
    };
    put("tag", new.tag.as_str().into(), new.tag.is_empty());
    put("timeout", new.timeout.into(), new.timeout.is_none());
    let mode = new.mode.unwrap_or_default();
    put("mode", mode.as_str().into(), mode == Mode::default());
    put("env", map(&launch.env).into(), launch.env.is_empty());
    put("secrets", map(&new.secrets).into(), new.secrets.is_empty());
    put("cwd", launch.cwd.clone().into(), launch.cwd.is_none());
    let interpreter = launch.interpreter.clone();
    put(
        "interpreter",
        interpreter.into(),
        launch.interpreter.is_none(),
    );
    if let Some(it) = &launch.become_user {
        let mut other = json!({"user": it.user, "method": it.method.as_str()});
        if let Some(password) = &it.password {
            other["password"] = password.clone().into();
        }
        put("become", other, false);
    }
    put("pty", launch.pty.into(), !launch.pty);
    put("retries", new.retries.into(), new.retries == 0);
    put("retry_delay", new.retry_delay.into(), new.retries == 0);
    body
}

/// The words of `wsexec run`; none where it cannot say all of it.
fn words(new: &NewTask) -> Option<Vec<String>> {
    let launch = &new.launch;
    let mut words = vec![
        "-i".into(),
        new.instance.to_string(),
        "-u".into(),
        new.user.clone(),
    ];
    let mut option = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            words.extend([name.to_owned(), value]);
        }
    };
    option("--timeout", new.timeout.map(|it| it.to_string()));
    for (name, value) in &launch.env {
        option("--env", Some(format!("{name}={value}")));
    }
    for (name, identity) in &new.secrets {
        option("--secret", Some(format!("{name}={identity}")));
    }
    option("--cwd", launch.cwd.clone());
    option("--interpreter", launch.interpreter.clone());
    match &launch.become_user {
        Some(it) if it.method != BecomeMethod::Sudo || it.password.is_some() => return None,
        it => option("--become", it.as_ref().map(|it| it.user.clone())),
    }
    let retries = Some(new.retries).filter(|it| *it > 0);
    if retries.is_some() && new.retry_delay != NewTask::RETRY_DELAY {
        return None;
    }
    option("--retries", retries.map(|it| it.to_string()));
    let flags = [
        ("--pty", launch.pty),
        ("--detached", new.mode == Some(Mode::Detached)),
    ];
    words.extend(
        flags
            .into_iter()
            .filter(|(_, set)| *set)
            .map(|(name, _)| name.to_owned()),
    );
    words.extend(["-c".to_owned(), new.script.clone()]);
    Some(words)
}
