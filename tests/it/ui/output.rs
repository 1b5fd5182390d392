//! A task's output on its page, without JavaScript.

use super::visitor::Visitor;
use crate::harness::app::App;
use crate::harness::sshd::{self, Sshd};
use serde_json::json;

struct Place {
    _sshd: Sshd,
    app: App,
    instance: i64,
    visitor: Visitor,
}

impl Place {
    async fn new() -> Self {
        let sshd = Sshd::start();
        let app = App::builder().identity(sshd.identity()).start().await;
        let instance = app.declare("127.0.0.1", sshd.port()).await;
        let visitor = Visitor::logged_in(&app).await;
        Self {
            _sshd: sshd,
            app,
            instance,
            visitor,
        }
    }

    async fn run(&self, script: &str) -> String {
        let task = self.app.run(self.instance, &sshd::user(), script).await;
        format!("/tasks/{}", task["id"])
    }
}

/// The part of a page that is one pane.
fn pane<'a>(page: &'a str, name: &str) -> &'a str {
    let begin = format!("<pre tabindex=\"0\" class=\"output\" id=\"{name}\"");
    let rest = page.split_once(&begin).expect("the pane is there").1;
    let rest = rest.split_once('>').expect("its tag ends").1;
    rest.split_once("</pre>").expect("it ends").0
}

/// The text of a part of a page.
fn text(html: &str) -> String {
    let mut text = String::new();
    for part in html.split('<') {
        text.push_str(part.split_once('>').map_or(part, |it| it.1));
    }
    text.trim_start_matches('\n').to_owned()
}

/// The numbers of the lines that a pane shows.
fn numbers(pane: &str) -> Vec<u64> {
    let numbers = pane.split("data-n=\"").skip(1);
    let numbers = numbers.map(|it| it.split('"').next().expect("an end").parse());
    numbers.map(|it| it.expect("a number")).collect()
}

/// The address of the first link that says this.
fn link(page: &str, says: &str) -> String {
    let end = page.find(&format!(">{says}<")).expect("the link is there");
    let begin = page[..end].rfind("href=\"").expect("it leads somewhere") + 6;
    let address = page[begin..end].split('"').next().expect("an end");
    let address = address.replace("&amp;", "&").replace("&#38;", "&");
    address.split('#').next().expect("an address").to_owned()
}

#[tokio::test]
async fn both_streams_are_shown_apart_or_in_the_order_they_came_and_the_browser_remembers() {
    let place = Place::new().await;
    let path = place
        .run("echo one; sleep 0.2; echo two >&2; sleep 0.2; echo three; sleep 0.2; printf four; sleep 1; printf five >&2; sleep 1; echo six")
        .await;
    let apart = place.visitor.read(&path).await;
    assert_eq!(text(pane(&apart, "stdout")), "one\nthree\nfoursix\n");
    assert_eq!(text(pane(&apart, "stderr")), "two\nfive\n");
    let reply = place
        .visitor
        .get(&format!("{path}{}", link(&apart, "Together")))
        .await;
    let cookie = reply.header("set-cookie");
    assert!(
        cookie.starts_with("__Host-wsexec-output=together.wrap; Path=/; Secure; HttpOnly"),
        "{cookie}"
    );
    let together = reply.text();
    let shown = pane(&together, "output");
    assert_eq!(text(shown), "one\ntwo\nthree\nfour\nfive\nsix\n");
    // A line keeps its number and its name in both, and has it once.
    assert_eq!(numbers(shown), [1, 1, 2, 3, 2]);
    assert!(shown.contains("id=\"e2\"") && shown.contains("class=\"l e\""));
    let wide = place.visitor.read(&format!("{path}?wrap=off")).await;
    assert!(wide.contains("class=\"apart nowrap\""));
}

#[tokio::test]
async fn colours_are_classes_that_go_on_over_lines_and_nothing_else_has_an_effect() {
    let place = Place::new().await;
    let script = r"printf '\033[1;31mred\nstill\033[0m plain\n\033]8;;http://evil.invalid/\033\\text\033]8;;\033\\\n\033[38;2;0;0;255mblue\033[m\033[2J\033[H.\n\377\000\n'";
    let page = place.visitor.read(&place.run(script).await).await;
    let shown = pane(&page, "stdout");
    for part in [
        "<span class=\"f1 b\">red</span>\n",
        "<span class=\"f1 b\">still</span> plain\n",
        "></a>text\n",
        "<span class=\"f21\">blue</span>.\n",
        "></a>\u{fffd}\u{2400}\n",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains("evil") && !page.contains("style="));
    let style = page.split('"').find(|it| it.starts_with("/static/app."));
    let style = place.visitor.read(style.expect("a style sheet")).await;
    assert!(style.contains(".f21{color:light-dark(#") && style.contains(".k196{background:#"));
}

#[tokio::test]
async fn any_line_has_an_address_and_the_way_leads_to_earlier_and_later_ones() {
    let place = Place::new().await;
    let path = place.run("seq 1000000").await;
    let page = place.visitor.read(&path).await;
    let last = numbers(pane(&page, "stdout"));
    assert_eq!(
        (last.first(), last.last()),
        (Some(&999_501), Some(&1_000_000))
    );
    assert!(
        page.contains("rel=\"next\"") && page.len() < 150_000,
        "{}",
        page.len()
    );

    let page = place.visitor.read(&format!("{path}?line=123456")).await;
    let shown = pane(&page, "stdout");
    assert!(shown.contains("class=\"l here\" id=\"o123456\"><a href=\"?line=123456#o123456\""));
    let around = numbers(shown);
    assert_eq!((around[0], around[around.len() - 1]), (123_356, 123_855));
    assert!(shown.contains("></a>123456\n"));

    let earlier = place
        .visitor
        .read(&format!("{path}{}", link(&page, "Earlier lines")))
        .await;
    let before = numbers(pane(&earlier, "stdout"));
    assert_eq!((before[0], before[before.len() - 1]), (122_856, 123_355));
    let later = place
        .visitor
        .read(&format!("{path}{}", link(&page, "Later lines")))
        .await;
    let behind = numbers(pane(&later, "stdout"));
    assert_eq!((behind[0], behind[behind.len() - 1]), (123_856, 124_355));
    let begin = place
        .visitor
        .read(&format!("{path}{}", link(&page, "The beginning")))
        .await;
    assert_eq!(numbers(pane(&begin, "stdout"))[0], 1);

    let none = place.visitor.read(&format!("{path}?line=1000002")).await;
    assert!(
        none.contains("There is no line 1000002 of stdout"),
        "{none}"
    );
    for odd in [
        "line=x",
        "line=0",
        "line=99999999999999999999",
        "before=x",
        "after=9-9-9",
        "before=99999999999-9999999",
        "of=x&line=-1",
        "from=1&q=7",
    ] {
        assert_eq!(
            place.visitor.get(&format!("{path}?{odd}")).await.status,
            200,
            "{odd}"
        );
    }
}

#[tokio::test]
async fn lines_keep_their_numbers_behind_what_was_left_out() {
    let sshd = Sshd::start();
    let app = App::builder()
        .identity(sshd.identity())
        .config("[engine]\noutput_limit = 65536\n")
        .start()
        .await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    let visitor = Visitor::logged_in(&app).await;
    let task = app.run(instance, &sshd::user(), "seq 200000").await;
    let path = format!("/tasks/{}", task["id"]);
    let page = visitor.read(&path).await;
    assert_eq!(numbers(pane(&page, "stdout")).last(), Some(&200_000));
    let page = visitor.read(&format!("{path}?line=199000")).await;
    assert!(pane(&page, "stdout").contains("id=\"o199000\"><a href=\"?line=199000#o199000\""));
    assert!(pane(&page, "stdout").contains("></a>199000\n"));
    let page = visitor.read(&format!("{path}?line=100000")).await;
    assert!(page.contains("Line 100000 of stdout is not kept"), "{page}");
    assert!(pane(&page, "stdout").contains("bytes are left out here]"));
}

#[tokio::test]
async fn a_search_counts_names_its_lines_and_leads_from_one_to_the_next() {
    let place = Place::new().await;
    let script =
        r"seq 3000 | sed 's/^\(.*00\)$/\1 needLE <b>/'; printf 'nee\033[31mdle\033[0m\n' >&2";
    let path = place.run(script).await;
    let page = place.visitor.read(&format!("{path}?q=Needle")).await;
    assert!(page.contains("31 lines have “<bdi>Needle</bdi>”"), "{page}");
    assert!(
        page.contains("stdout 100</a> <code>100 <mark>needLE</mark> &lt;b&gt;</code>"),
        "{page}"
    );
    assert!(
        page.contains("<mark>nee</mark><span class=\"f1\"><mark>dle</mark></span>"),
        "{page}"
    );
    assert!(!page.contains("<b>"));
    let next = link(&page, "Next");
    assert_eq!(next, "?of=stdout&line=100&q=Needle");
    let page = place.visitor.read(&format!("{path}{next}")).await;
    assert!(pane(&page, "stdout").contains("class=\"l here\" id=\"o100\""));
    assert!(!page.contains(">Previous<"));
    let next = link(&page, "Next");
    assert_eq!(next, "?of=stdout&line=200&q=Needle");
    let page = place
        .visitor
        .read(&format!("{path}?of=stdout&line=3000&q=Needle"))
        .await;
    assert_eq!(link(&page, "Next"), "?of=stderr&line=1&q=Needle");
    let none = place.visitor.read(&format!("{path}?q=%3Cscript%3E")).await;
    assert!(none.contains("0 lines have"));
    assert_eq!(
        place
            .visitor
            .get(&format!("{path}?q={}", "x".repeat(2000)))
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn a_search_looks_through_a_bounded_part_at_a_time() {
    let sshd = Sshd::start();
    let app = App::builder()
        .identity(sshd.identity())
        .config("[engine]\noutput_limit = 67108864\n")
        .start()
        .await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    let visitor = Visitor::logged_in(&app).await;
    let script =
        "echo needle; head -c 40000000 /dev/zero | tr '\\0' x | fold -w 4000; echo; echo needle";
    let task = app.run(instance, &sshd::user(), script).await;
    let path = format!("/tasks/{}", task["id"]);
    let page = visitor.read(&format!("{path}?q=needle")).await;
    assert!(page.contains("At least 1 line has"), "{page}");
    let page = visitor
        .read(&format!("{path}{}", link(&page, "Search the next part")))
        .await;
    assert!(
        page.contains("1 line has") && page.contains(", in this part"),
        "{page}"
    );
    assert!(page.contains(">End the search<") && !page.contains("Search the next part"));
    assert!(page.contains("stdout 10002</a>"), "{page}");
}

#[tokio::test]
async fn hostile_output_stays_bounded_and_does_nothing() {
    let place = Place::new().await;
    for (script, most) in [
        ("head -c 1048576 /dev/zero | tr '\\0' '<'", 400_000),
        ("yes '' | head -n 1000000", 150_000),
        (
            "i=0; while test $i -lt 20000; do printf '\\033[38;5;%dm\\033[48;5;%dmx' $((i%256)) $((i*7%256)); i=$((i+1)); done",
            1_000_000,
        ),
        (
            "printf '\\033]0;'; head -c 300000 /dev/zero | tr '\\0' y; echo; echo after",
            400_000,
        ),
        (
            "yes \"$(printf '</pre><script>alert(1)</script>\\033[31m&\"')\" | head -n 100000",
            400_000,
        ),
        ("head -c 2000000 /dev/urandom", 1_500_000),
    ] {
        let path = place.run(script).await;
        for query in ["", "?view=together", "?line=1", "?q=y"] {
            let page = place.visitor.read(&format!("{path}{query}")).await;
            assert!(page.len() < most, "{} bytes: {script} {query}", page.len());
            assert!(
                !page.contains("<script>alert") && !page.contains('\u{1b}'),
                "{script}"
            );
            assert_eq!(page.matches("</pre>").count(), page.matches("<pre").count());
        }
    }
    let path = place
        .run("printf '\\033]0;hidden? \\n visible'; echo")
        .await;
    let page = place.visitor.read(&path).await;
    assert!(
        page.contains("␛]0;hidden? \n"),
        "what never ends is shown: {page}"
    );
}

#[tokio::test]
async fn a_run_is_compared_with_the_last_good_one_of_the_same_script() {
    let place = Place::new().await;
    let file = place.app.path("outcome");
    let script = format!(
        "echo same; cat {}; test \"$(cat {0})\" = good",
        file.display()
    );
    std::fs::write(&file, "good").unwrap();
    let good = place.run(&script).await;
    let other = place.run("echo same; exit 0").await;
    std::fs::write(&file, "<bad>").unwrap();
    let bad = place.run(&script).await;
    let id = good.rsplit('/').next().unwrap();
    let page = place.visitor.read(&bad).await;
    let offer = link(&page, &format!("Compare with the last good run, task {id}"));
    assert_eq!(offer, format!("{bad}/diff?with={id}"));
    let page = place.visitor.read(&offer).await;
    for part in [
        "<h2>Script</h2>\n<p class=\"hint\">The same</p>",
        "- good",
        "+ &#60;bad&#62;",
        "  same",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("<bad>"));
    assert!(
        place
            .visitor
            .read(&other)
            .await
            .contains("Compare with another run")
    );
    let page = place
        .visitor
        .read(&format!(
            "{bad}/diff?with={}",
            other.rsplit('/').next().unwrap()
        ))
        .await;
    assert!(page.contains("<span class=\"l gone\">"), "{page}");
    assert_eq!(
        place
            .visitor
            .get(&format!("{bad}/diff?with=999"))
            .await
            .status,
        404
    );
    assert!(
        place
            .visitor
            .read(&format!("{bad}/diff?with=x"))
            .await
            .contains("not the number of a task")
    );
    assert_eq!(place.visitor.get(&format!("{bad}/diff")).await.status, 200);
}

#[tokio::test]
async fn an_amended_stream_is_shown_as_amended_with_numbers() {
    let place = Place::new().await;
    let path = place.run("echo ran; echo err >&2").await;
    let id = path.rsplit('/').next().unwrap();
    let client = place.app.client();
    let amend = json!({"stdout": "put\nin its\nplace"});
    client.put(&format!("/wsexec/tasks/{id}"), &amend).await;
    let page = place
        .visitor
        .read(&format!("{path}?view=together&line=2"))
        .await;
    assert_eq!(text(pane(&page, "stdout")), "put\nin its\nplace\n");
    assert!(pane(&page, "stdout").contains("class=\"l here\" id=\"o2\""));
    assert_eq!(text(pane(&page, "stderr")), "err\n");
    assert!(!page.contains(">Together<"));
}
