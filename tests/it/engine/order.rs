use super::{is_current, on, post, wait_for_file};
use crate::harness::app::App;
use crate::harness::sshd::Sshd;

#[tokio::test]
async fn tasks_of_an_instance_begin_in_the_order_they_were_posted() {
    let sshd = Sshd::start();
    let (app, instance) = on(
        &sshd,
        App::builder().config("[engine]\nmax_per_instance = 1"),
    )
    .await;
    let log = sshd.dir().join("lines");
    let mut ids = Vec::new();
    for n in 0..8 {
        ids.push(post(&app, instance, &format!("echo {n} >> {}", log.display())).await);
    }
    for id in &ids {
        assert_eq!(app.wait_ended(*id).await["state"], "DONE");
    }
    assert_eq!(
        std::fs::read_to_string(log).unwrap(),
        "0\n1\n2\n3\n4\n5\n6\n7\n"
    );
}

#[tokio::test]
async fn what_finds_no_free_place_waits_and_says_for_what() {
    let sshd = Sshd::start();
    let (app, instance) = on(
        &sshd,
        App::builder().config("[engine]\nmax_per_instance = 1"),
    )
    .await;
    let gate = sshd.dir().join("gate");
    let wait = format!("until test -e {}; do sleep 0.05; done", gate.display());
    let first = post(&app, instance, &wait).await;
    app.wait_until(first, is_current).await;
    let second = post(&app, instance, "true").await;
    let waiting = app.wait_until(second, |task| task["state"] == "INIT").await;
    assert_eq!(
        waiting["reason"],
        format!("Waits for a free place on instance {instance}: 1 of 1 are taken.")
    );
    assert!(waiting["start"].is_null());
    std::fs::write(&gate, "").unwrap();
    assert_eq!(app.wait_ended(second).await["rc"], 0);
}

#[tokio::test]
async fn a_full_or_dead_instance_delays_no_other() {
    let sshd = Sshd::start();
    // The kernel takes the connections; nobody ever says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (app, alive) = on(
        &sshd,
        App::builder().config("[engine]\nmax_per_instance = 2"),
    )
    .await;
    let dead = app
        .declare("127.0.0.1", silent.local_addr().unwrap().port())
        .await;
    for _ in 0..20 {
        post(&app, dead, "true").await;
    }
    let task = post(&app, alive, "true").await;
    assert_eq!(app.wait_ended(task).await["state"], "DONE");
    let list = app
        .client()
        .get(&format!("/wsexec/tasks?instance={dead}&state=INIT"))
        .await;
    assert_eq!(list.json()["tasks"].as_array().unwrap().len(), 18);
}

#[tokio::test]
async fn tasks_of_a_deactivated_instance_wait_until_it_is_active_again() {
    let sshd = Sshd::start();
    let (app, instance) = on(
        &sshd,
        App::builder().config("[engine]\nmax_per_instance = 1"),
    )
    .await;
    let (begun, gate) = (sshd.dir().join("begun"), sshd.dir().join("gate"));
    let wait = format!(
        "touch {}; until test -e {}; do sleep 0.05; done",
        begun.display(),
        gate.display()
    );
    let first = post(&app, instance, &wait).await;
    wait_for_file(&begun).await;
    let second = post(&app, instance, "true").await;
    let path = format!("/wsexec/instances/{instance}");
    let set = |state: &'static str| {
        let (client, path) = (app.client(), path.clone());
        async move {
            client
                .put(&path, &serde_json::json!({"state": state}))
                .await
                .status
        }
    };
    assert_eq!(set("DEACTIVE").await, 200);
    std::fs::write(&gate, "").unwrap();
    assert_eq!(app.wait_ended(first).await["state"], "DONE");
    let waiting = app.wait_until(second, |_| true).await;
    assert_eq!(waiting["state"], "INIT");
    assert_eq!(
        waiting["reason"],
        format!("Waits until instance {instance} is ACTIVE again.")
    );
    assert_eq!(set("ACTIVE").await, 200);
    assert_eq!(app.wait_ended(second).await["state"], "DONE");
}
