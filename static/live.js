// What the pages add where there is JavaScript: local times, and a task's output as it comes.
// Every page is complete without it.
"use strict";

// ---- Times: the exact instant stays in `datetime` and in the title.

// In the language of the page, as the reader's own region writes it.
const language = document.documentElement.lang;
const region = navigator.languages.find((tag) => tag.split("-")[0] === language) ?? language;
const localTime = new Intl.DateTimeFormat(region, { dateStyle: "medium", timeStyle: "medium" });
const localHour = new Intl.DateTimeFormat(region, { timeStyle: "short" });

function localizeTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const instant = new Date(time.dateTime);
    if (Number.isNaN(instant.getTime())) continue;
    time.title = time.dataset.form === "hour" ? time.dateTime : time.textContent;
    time.textContent = (time.dataset.form === "hour" ? localHour : localTime).format(instant);
  }
}

// ---- One pane of output: rows that the server draws, in an element of bounded size.

const MOST = 5000; // rows of one pane in the page; the oldest go first
const PAGE = 500; // rows that go at once
const NEAR = 300; // pixels from an end at which what is behind it is fetched

class Pane {
  constructor(stream) {
    this.stream = stream;
    this.pre = stream.querySelector("pre.output");
    this.earlier = stream.querySelector(".earlier");
    this.later = stream.querySelector(".later");
    this.total = stream.querySelector(".total");
    this.rows = this.pre.querySelectorAll(".l").length;
    this.fetching = false;
    this.follows = this.later.hidden && !("asked" in this.pre.dataset) && !this.target();
    // Only the reader's own scrolling decides whether the end is followed.
    this.pre.addEventListener("scroll", () => {
      const rest = this.pre.scrollHeight - this.pre.scrollTop - this.pre.clientHeight;
      this.follows = rest < 24 && this.later.hidden;
      if (this.pre.scrollTop < NEAR) this.more(this.earlier, "prev");
      else if (rest < NEAR) this.more(this.later, "next");
    });
    this.toEnd();
  }

  target() {
    const row = location.hash && document.getElementById(location.hash.slice(1));
    return row && this.pre.contains(row);
  }

  toEnd() {
    if (this.follows) this.pre.scrollTop = this.pre.scrollHeight;
  }

  // Rows that came. One that is there already is replaced: more came of it.
  add({ from, total, cut, html }) {
    if (cut) {
      this.pre.replaceChildren();
      this.rows = 0;
      this.begin(from, true);
    }
    const fresh = document.createElement("template");
    fresh.innerHTML = html;
    for (const row of [...fresh.content.children]) {
      const known = document.getElementById(row.id);
      if (known) known.replaceWith(row);
      else this.append(row, from);
    }
    while (this.rows > MOST && this.pre.children.length > 1) {
      this.rows -= this.pre.firstElementChild.childElementCount;
      this.pre.firstElementChild.remove();
      this.begin(this.pre.firstElementChild.dataset.from, true);
    }
    this.total.textContent = bytes(total);
    this.toEnd();
  }

  append(row, from) {
    let page = this.pre.lastElementChild;
    if (!page || page.childElementCount >= PAGE) {
      page = document.createElement("span");
      page.className = "page";
      page.dataset.from = from;
      // The text node that the template leaves would keep the pane from being empty.
      if (!this.pre.firstElementChild) this.pre.replaceChildren();
      this.pre.append(page);
    }
    page.append(row);
    this.rows += 1;
  }

  // Where the rows begin, and whether there are more before them.
  begin(place, more) {
    this.earlier.hidden = !more;
    const link = this.earlier.querySelector("a");
    const address = new URL(link.href);
    address.searchParams.set("before", place);
    link.href = address;
  }

  // Fetches what is before or behind the rows, as the link to it does.
  async more(hint, rel) {
    if (this.fetching || hint.hidden || this.rows > MOST - PAGE) return;
    this.fetching = true;
    try {
      const response = await fetch(hint.querySelector("a").href, { cache: "no-store" });
      if (response.redirected) return location.assign(toLogin());
      if (!response.ok) return;
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const stream = page.querySelector(`[data-pane="${this.stream.dataset.pane}"]`);
      const rows = stream?.querySelector(".page");
      if (!rows) return;
      const height = this.pre.scrollHeight;
      const top = this.pre.scrollTop;
      this.rows += rows.childElementCount;
      if (rel === "prev") this.pre.prepend(document.adoptNode(rows));
      else this.pre.append(document.adoptNode(rows));
      if (rel === "prev") this.pre.scrollTop = top + this.pre.scrollHeight - height;
      const fresh = stream.querySelector(rel === "prev" ? ".earlier" : ".later");
      hint.hidden = fresh.hidden;
      hint.querySelector("a").href = fresh.querySelector("a").getAttribute("href");
    } catch {
      // The link is still there.
    } finally {
      this.fetching = false;
    }
  }
}

// A row's number is a link to it: where the row is here already, nothing is loaded.
document.addEventListener("click", (event) => {
  const link = event.target.closest?.(".l > a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  for (const row of document.querySelectorAll(".here")) row.classList.remove("here");
  link.parentElement.classList.add("here");
  history.replaceState(null, "", link.href);
});

// As the server says it (src/ui/filters.rs), so that what it wrote and what comes look alike.
const SIZES = {
  en: { one: "1 byte", many: "bytes", letter: "B", point: "." },
  fr: { one: "1 octet", many: "octets", letter: "o", point: "," },
};

function bytes(count) {
  const words = SIZES[language] ?? SIZES.en;
  if (count === 1) return words.one;
  if (count < 1024) return `${count} ${words.many}`;
  const units = ["Ki", "Mi", "Gi"];
  let unit = -1;
  for (; count >= 1024 && unit < 2; unit += 1) count /= 1024;
  const tenths = (Math.floor(count * 10) / 10).toFixed(1).replace(".", words.point);
  return `${tenths} ${units[unit]}${words.letter}`;
}

// ---- Server-sent events over fetch. EventSource cannot say where to begin, and gives up for good
// on a 503; this begins after what the page already shows, and comes back after a restart.

async function* eventsOf(response, alive) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    alive();
    const blocks = (buffer + value).split("\n\n");
    buffer = blocks.pop();
    for (const block of blocks) {
      const event = { type: "message", id: null, data: [] };
      for (const line of block.split("\n")) {
        const [, field, text] = /^([^:]*):? ?(.*)$/s.exec(line);
        if (field === "event") event.type = text;
        else if (field === "id") event.id = text;
        else if (field === "data") event.data.push(text);
      }
      if (event.data.length) yield { ...event, data: JSON.parse(event.data.join("\n")) };
    }
  }
}

const SILENCE = 45_000; // the server says something each 15 s
const SLOWEST = 10_000;

class Live {
  constructor(section) {
    this.section = section;
    this.status = document.getElementById("live");
    this.facts = document.getElementById("facts");
    this.id = section.dataset.from;
    this.panes = {};
    for (const stream of section.querySelectorAll(".stream")) {
      this.panes[stream.dataset.pane] = new Pane(stream);
    }
    this.over = false;
  }

  say(what) {
    this.status.hidden = false;
    this.status.className = `live ${what}`;
    this.status.textContent = this.status.dataset[what];
  }

  async run() {
    const watch = setInterval(() => {
      if (this.over) clearInterval(watch);
      else if (!document.hidden) this.refresh();
    }, 5_000);
    // Where only a part is shown, nothing is put behind it.
    if (!this.section.dataset.events) return;
    for (let wait = 500; !this.over; wait = Math.min(wait * 1.6, SLOWEST)) {
      try {
        if (await this.follow()) wait = 500;
      } catch {
        // The connection broke, or the server is not there now.
      }
      if (this.over) return;
      this.say("again");
      await new Promise((next) => setTimeout(next, wait * (0.75 + Math.random() / 2)));
    }
  }

  // One connection; true where something came.
  async follow() {
    const stop = new AbortController();
    let silence = setTimeout(() => stop.abort(), SILENCE);
    const alive = () => {
      clearTimeout(silence);
      silence = setTimeout(() => stop.abort(), SILENCE);
    };
    try {
      const response = await fetch(this.section.dataset.events, {
        headers: { Accept: "text/event-stream", "Last-Event-ID": this.id },
        cache: "no-store",
        signal: stop.signal,
      });
      if (response.redirected || response.status === 401) this.finish("ended");
      else if (response.status === 200) return await this.take(eventsOf(response, alive));
      else if (response.status === 204) this.finish("over");
      else if (response.status === 404) this.finish("gone");
      else if (response.status === 403) this.finish("refused");
      return false;
    } finally {
      clearTimeout(silence);
      stop.abort();
    }
  }

  async take(events) {
    this.say("live");
    let came = false;
    for await (const { type, id, data } of events) {
      const first = !came;
      came = true;
      if (type === "end") {
        this.finish("over");
        return true;
      }
      if (type === "rows") this.panes[data.pane]?.add(data);
      this.id = id;
      if (first) this.refresh();
    }
    return came;
  }

  finish(how) {
    if (this.over && how === "over") return;
    this.over = true;
    this.say(how);
    if (how === "over") {
      for (const { pre } of Object.values(this.panes)) pre.dataset.empty = pre.dataset.none;
      this.refresh();
    }
    // Nothing can be done to it any more.
    if (how === "gone") this.facts.querySelector(".actions")?.remove();
    if (how === "ended") this.status.replaceChildren(linkTo(toLogin(), this.status.textContent));
  }

  // The server words the state; this puts its words in place.
  async refresh() {
    try {
      const response = await fetch(`${location.pathname}?output=none`, { cache: "no-store" });
      if (response.redirected) return this.finish("ended");
      if (response.status === 404) return this.finish("gone");
      if (!response.ok) return;
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const fresh = page.getElementById("facts");
      if (!fresh || fresh.dataset.state === undefined) return;
      const focused = this.facts.contains(document.activeElement) ? document.activeElement.id : "";
      localizeTimes(fresh);
      if (fresh.isEqualNode(this.facts)) return;
      const facts = document.adoptNode(fresh);
      this.facts.replaceWith(facts);
      this.facts = facts;
      if (focused) (document.getElementById(focused) ?? facts).focus({ preventScroll: true });
    } catch {
      // The next one may get through.
    }
  }
}

// The way to log in and come back here.
function toLogin() {
  return `/login?next=${encodeURIComponent(location.pathname + location.search)}`;
}

function linkTo(address, text) {
  const link = document.createElement("a");
  link.href = address;
  link.textContent = text;
  return link;
}

// ---- All of a page at once, in a list where things are picked.

for (const all of document.querySelectorAll("input[data-all]")) {
  const boxes = [...all.form.querySelectorAll("input[name=id]")];
  const show = () => {
    const picked = boxes.filter((box) => box.checked).length;
    all.checked = picked > 0 && picked === boxes.length;
    all.indeterminate = picked > 0 && picked < boxes.length;
  };
  all.closest("label").hidden = false;
  all.addEventListener("change", () => {
    for (const box of boxes) box.checked = all.checked;
  });
  all.form.addEventListener("change", show);
  // Also after the Back button, which brings ticks back.
  addEventListener("pageshow", show);
}

localizeTimes(document);
const output = document.getElementById("output");
if (output) {
  const live = new Live(output);
  if (live.status) live.run();
}

// ---- A search that found nothing so far looks further by itself.

const onward = document.querySelector("nav.pages a[rel=next]");
if (onward && document.querySelector("#further")) location.replace(onward.href);
