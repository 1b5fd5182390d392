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

// ---- Text in which nothing hides; the server's filter `visible` does the same.

const CONTROL = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

function picture(character) {
  const code = character.charCodeAt(0);
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  if (code < 0xa0) return "\ufffd";
  return `[U+${code.toString(16).toUpperCase().padStart(4, "0")}]`;
}

function visible(text) {
  return text.replace(/\r\n/g, "\n").replace(CONTROL, picture);
}

// ---- One stream of a task, in an element of bounded size.

const MOST = 1024 * 1024; // characters of one stream in the page; the oldest go first
const CHUNK = 16 * 1024; // characters of one text node, so that the oldest can go in pieces

class Output {
  constructor(pre, shown) {
    this.pre = pre;
    this.earlier = pre.parentElement.querySelector(".earlier");
    this.total = pre.parentElement.querySelector(".total");
    this.shown = shown; // the offset in the stream, in bytes, of what follows
    this.size = pre.textContent.length;
    this.waiting = [];
    this.waitingSize = 0;
    this.carry = "";
    this.follows = true;
    this.timer = 0;
    // Only the reader's own scrolling decides whether the end is followed.
    pre.addEventListener("scroll", () => {
      this.follows = pre.scrollHeight - pre.scrollTop - pre.clientHeight < 24;
    });
    pre.scrollTop = pre.scrollHeight;
  }

  // A carriage return at the end waits for the line feed that may follow.
  add(text) {
    const whole = this.carry + text;
    this.carry = whole.endsWith("\r") ? "\r" : "";
    this.push(document.createTextNode(visible(whole.slice(0, whole.length - this.carry.length))));
  }

  gap(bytes) {
    const mark = document.createElement("span");
    mark.className = "gap";
    mark.textContent = this.pre.dataset.gap.replace("BYTES", bytes);
    this.push(mark);
  }

  push(node) {
    if (node.textContent === "") return;
    this.waiting.push(node);
    this.waitingSize += node.textContent.length;
    while (this.waitingSize > MOST && this.waiting.length > 1) {
      this.waitingSize -= this.waiting.shift().textContent.length;
      this.cut();
    }
    if (!this.timer) this.timer = setTimeout(() => this.flush(), 50);
  }

  flush() {
    clearTimeout(this.timer);
    this.timer = 0;
    for (const node of this.waiting) {
      const last = this.pre.lastChild;
      const joins = node.nodeType === Node.TEXT_NODE && last && last.nodeType === Node.TEXT_NODE;
      if (joins && last.length + node.length <= CHUNK) last.appendData(node.data);
      else this.pre.append(node);
    }
    this.size += this.waitingSize;
    this.waiting = [];
    this.waitingSize = 0;
    while (this.size > MOST && this.pre.childNodes.length > 1) {
      this.size -= this.pre.firstChild.textContent.length;
      this.pre.firstChild.remove();
      this.cut();
    }
    if (this.total) this.total.textContent = bytes(this.shown);
    if (this.follows) this.pre.scrollTop = this.pre.scrollHeight;
  }

  end() {
    if (this.carry) this.push(document.createTextNode(visible(this.carry)));
    this.carry = "";
    this.flush();
  }

  cut() {
    this.earlier.hidden = false;
  }
}

function bytes(count) {
  if (count === 1) return "1 byte";
  if (count < 1024) return `${count} bytes`;
  const units = ["KiB", "MiB", "GiB"];
  let unit = -1;
  for (; count >= 1024 && unit < 2; unit += 1) count /= 1024;
  return `${(Math.floor(count * 10) / 10).toFixed(1)} ${units[unit]}`;
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
    const [stdout, stderr] = this.id.split("-").map(Number);
    this.streams = {
      stdout: new Output(document.getElementById("stdout"), stdout),
      stderr: new Output(document.getElementById("stderr"), stderr),
    };
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
      if (response.status === 200) return await this.take(eventsOf(response, alive));
      if (response.status === 204) this.finish("over");
      else if (response.status === 401) toLogin();
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
      this.output(type, data, id);
      if (first) this.refresh();
    }
    return came;
  }

  // What the page shows already is not shown again, whatever the server repeats.
  output(type, data, id) {
    const told = /^(\d+)-(\d+)$/.exec(id ?? "");
    const name = type === "gap" ? data.stream : type;
    const stream = this.streams[name];
    if (!stream || !told) return;
    if (data.offset >= stream.shown) {
      if (type === "gap") stream.gap(data.length);
      else stream.add(data.text);
      stream.shown = Number(told[name === "stdout" ? 1 : 2]);
    }
    this.id = id;
  }

  finish(how) {
    this.over = true;
    for (const stream of Object.values(this.streams)) stream.end();
    this.say(how);
    if (how === "over") this.refresh();
  }

  // The server words the state; this puts its words in place.
  async refresh() {
    try {
      const response = await fetch(`${location.pathname}?output=none`, { cache: "no-store" });
      if (response.redirected) toLogin();
      if (!response.ok) return;
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const fresh = page.getElementById("facts");
      if (!fresh || fresh.dataset.state === undefined) return;
      const focused = this.facts.contains(document.activeElement) ? document.activeElement.id : "";
      localizeTimes(fresh);
      const facts = document.adoptNode(fresh);
      this.facts.replaceWith(facts);
      this.facts = facts;
      if (focused) (document.getElementById(focused) ?? facts).focus({ preventScroll: true });
    } catch {
      // The next one may get through.
    }
  }
}

function toLogin() {
  location.assign(`/login?next=${encodeURIComponent(location.pathname)}`);
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
for (const pre of document.querySelectorAll("pre.output")) pre.scrollTop = pre.scrollHeight;
const output = document.getElementById("output");
if (output && document.getElementById("live")) new Live(output).run();
