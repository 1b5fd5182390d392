//! What looks at a page: axe-core for barriers, a ruler for what does not fit, and a camera.

use crate::harness::browser::Browser;
use crate::harness::npm;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The widths of a desk's and a phone's window, in CSS pixels, and in which scheme.
const VIEWS: [(u32, bool); 4] = [(1280, false), (1280, true), (390, false), (390, true)];
/// What needs no more room than this needs no scrolling in two directions (WCAG 2.2, 1.4.10).
const NARROWEST: u32 = 320;

/// What is asked of axe where the page is laid out anew, and where it has other colours.
const ALL: &str = "type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']";
const LAYOUT: &str =
    "type: 'rule', values: ['target-size', 'color-contrast', 'scrollable-region-focusable']";
const COLOURS: &str = "type: 'rule', values: ['color-contrast', 'link-in-text-block']";

/// Everything that can be folded is unfolded for axe and for the ruler.
const UNFOLD: &str = "for (const it of document.querySelectorAll('details:not([open])')) { it.open = true; it.dataset.folded = ''; }";
const FOLD: &str = "for (const it of document.querySelectorAll('[data-folded]')) { it.open = false; delete it.dataset.folded; }";

/// What stands out to the right, and is not in a box that scrolls by itself.
const TOO_WIDE: &str = "
const boxed = it => { for (let at = it.parentElement; at; at = at.parentElement) { if (getComputedStyle(at).overflowX !== 'visible') return true; } return false; };
const wide = [...document.querySelectorAll('body *')].filter(it => it.checkVisibility() && it.getBoundingClientRect().right > innerWidth + 1 && !boxed(it));
const overflow = document.documentElement.scrollWidth > innerWidth + 1;
return wide.slice(0, 5).map(it => it.outerHTML.slice(0, 160)).concat(overflow ? ['the page: ' + document.documentElement.scrollWidth] : []);";

/// Heads that do not stand over their column, at a desk.
const ASKEW: &str = "
const left = it => Math.round(it.getBoundingClientRect().left);
return [...document.querySelectorAll('table')].filter(it => it.checkVisibility() && it.tHead && it.tBodies[0]?.rows.length).flatMap(it => {
  const heads = [...it.tHead.rows[0].cells].map(left), cells = [...it.tBodies[0].rows[0].cells].map(left);
  return heads.length === cells.length && heads.every((head, n) => Math.abs(head - cells[n]) < 2) ? [] : ['heads at ' + heads + ' over cells at ' + cells + ': ' + it.outerHTML.slice(0, 160)];
});";

/// Looks at the pages of a browser.
pub struct Eye<'a> {
    browser: &'a Browser,
    language: &'static str,
    pictures: PathBuf,
    /// The barriers, each with where it is.
    pub found: Vec<String>,
}

impl<'a> Eye<'a> {
    /// None where axe-core cannot be had, which is said on stderr.
    pub async fn of(browser: &'a Browser, language: &'static str) -> Option<Self> {
        let modules = npm::packages(
            "tests/it/ui/every_page/axe",
            "axe",
            "whether pages have barriers is",
        )?;
        let axe = std::fs::read_to_string(modules.join("node_modules/axe-core/axe.min.js"));
        browser
            .before_each_page(&axe.expect("axe-core is installed"))
            .await;
        let pictures = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .with_file_name("screenshots")
            .join(language);
        std::fs::create_dir_all(&pictures).expect("a directory for pictures");
        Some(Self {
            browser,
            language,
            pictures,
            found: Vec::new(),
        })
    }

    /// Looks at the page that is open, in every view.
    pub async fn looks(&mut self, name: &str) {
        for (width, dark) in VIEWS {
            self.browser.look(width, dark).await;
            let scheme = if dark { "dark" } else { "light" };
            let place = format!("{} {name} {width} {scheme}", self.language);
            let rules = match (width, dark) {
                (1280, false) => Some(ALL),
                (_, false) => Some(LAYOUT),
                (1280, true) => Some(COLOURS),
                (_, true) => None,
            };
            if let Some(rules) = rules {
                self.ask(&place, rules).await;
            }
            if (width, dark) == (1280, false) {
                self.measure(&place, ASKEW).await;
            }
            // In the other language the words are what may not fit.
            if self.language == "en" || !dark {
                let file = self.pictures.join(format!("{name}-{width}-{scheme}.png"));
                std::fs::write(file, self.browser.picture().await).expect("a picture");
            }
        }
        self.browser.look(NARROWEST, false).await;
        self.measure(&format!("{} {name} {NARROWEST}", self.language), TOO_WIDE)
            .await;
        self.browser.look_forced().await;
        self.ask(&format!("{} {name} forced colours", self.language), COLOURS)
            .await;
        self.browser.look(1280, false).await;
    }

    async fn ask(&mut self, place: &str, rules: &str) {
        let script = format!(
            "{UNFOLD} return axe.run(document, {{runOnly: {{{rules}}}, rules: {{'target-size': {{enabled: true}}}}, resultTypes: ['violations']}}).then(it => {{ {FOLD} return it.violations.flatMap(rule => rule.nodes.map(node => rule.id + ': ' + node.target.join(' ') + ' ' + node.html.slice(0, 160) + ' ' + (node.failureSummary ?? '').split('\\n').slice(1).join(';'))); }})"
        );
        let said = self.browser.eval(&script).await;
        self.add(place, &said);
    }

    async fn measure(&mut self, place: &str, ruler: &str) {
        let said = self.browser.eval(&format!("{UNFOLD} {ruler}")).await;
        self.browser.eval(FOLD).await;
        self.add(place, &said);
    }

    fn add(&mut self, place: &str, said: &Value) {
        let said = said.as_array().expect("a list");
        let said = said.iter().filter_map(Value::as_str);
        self.found.extend(said.map(|it| format!("{place}: {it}")));
    }

    /// Puts barriers into the page that is open, and makes sure that they are seen.
    pub async fn sees_barriers(&mut self) {
        let barriers = "document.querySelector('main').insertAdjacentHTML('beforeend', '<img src=\"/\"><p id=\"long\">x</p><table class=\"charts\"><thead><tr><th>askew</th><th>b</th></tr></thead><tbody><tr><td>c</td><td>d</td></tr></tbody></table>'); document.getElementById('long').style.width = '400px';";
        self.browser.eval(barriers).await;
        let before = std::mem::take(&mut self.found);
        self.measure("", ASKEW).await;
        self.browser.look(NARROWEST, false).await;
        self.ask("", ALL).await;
        self.measure("", TOO_WIDE).await;
        let seen = std::mem::replace(&mut self.found, before);
        for barrier in ["image-alt", "id=\"long\"", "askew"] {
            assert!(
                seen.iter().any(|it| it.contains(barrier)),
                "{barrier} is not seen: {seen:?}"
            );
        }
    }
}
