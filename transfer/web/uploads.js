// The part of a page that takes files: picked or dropped, sent one after another, each with its progress.

import { reason, wantsLogin } from "./api.js";
import { Client } from "./client.js";
import { Broken } from "./connection.js";
import { byId, element, show } from "./elements.js";
import { digestOf } from "./hashing.js";
import { sizeInWords } from "./wording.js";

/** Fills `#uploads` of a page. `done(entry)` hears of each file that has arrived, `refused(error)` of a lacking token. */
export class Uploads {
  #client;
  #queue = [];
  #sending = false;
  #items = [];

  constructor({ credentials = null, done = () => {}, refused = () => {} }) {
    const url = new URL("/ws", location.href);
    url.protocol = url.protocol.replace("http", "ws");
    this.#client = new Client({ url: url.href, credentials, digestOf, pause: untilOnline });
    Object.assign(this, { done, refused });
    this.#listen();
  }

  /** Take what was refused for want of a token up again. */
  goOn() {
    for (const item of this.#items) if (item.wantsLogin) this.#enqueue(item);
  }

  #listen() {
    const [zone, input] = [byId("uploads"), byId("pick")];
    input.onchange = () => {
      this.#add(input.files);
      input.value = ""; // so that the same file can be picked again
    };
    const hover = (over) => (event) => {
      event.preventDefault();
      zone.classList.toggle("over", over);
    };
    zone.ondragenter = zone.ondragover = hover(true);
    zone.ondragleave = hover(false);
    zone.ondrop = (event) => {
      hover(false)(event);
      this.#add(dropped(event.dataTransfer));
    };
    // A file that misses the zone must not take the page's place.
    document.ondragover = document.ondrop = (event) => event.preventDefault();
    window.addEventListener("beforeunload", (event) => {
      if (this.#sending) event.preventDefault();
    });
  }

  #add(files) {
    for (const file of files) {
      const item = new Item(file, () => this.#enqueue(item));
      this.#items.push(item);
      byId("sent").append(item.row);
      if (file.isFolder) item.fail("a folder cannot be sent: choose the files in it");
      else this.#enqueue(item);
    }
  }

  #enqueue(item) {
    item.wait("waiting for its turn");
    this.#queue.push(item);
    if (!this.#sending) this.#work();
  }

  async #work() {
    this.#sending = true;
    while (this.#queue.length) await this.#send(this.#queue.shift());
    this.#client.close();
    this.#sending = false;
  }

  async #send(item) {
    item.begin();
    try {
      const entry = await this.#client.upload(item.file, {
        progress: (bytes) => item.progress(bytes),
        waiting: (error) => item.wait(error instanceof Broken ? "waiting for the network" : `waiting: ${error.message}`),
      });
      item.finish();
      announce(`${item.file.name} has arrived`);
      this.done(entry);
    } catch (error) {
      item.fail(reason(error), wantsLogin(error));
      announce(`${item.file.name} was not sent: ${reason(error)}`);
      if (wantsLogin(error)) this.refused(error);
    }
  }
}

/** One file's row. */
class Item {
  wantsLogin = false;

  constructor(file, again) {
    this.file = file;
    this.bar = element("progress", { max: file.size || 1, value: 0, ariaLabel: `${file.name}: how much has arrived` });
    this.state = element("span", { className: "state" });
    this.again = element("button", { type: "button", onclick: again, hidden: true }, "Try again");
    const name = element("span", { className: "name" }, file.name);
    this.row = element("li", {}, name, this.bar, this.state, this.again);
  }

  begin() {
    this.wantsLogin = false;
    this.wait("connecting");
  }

  progress(bytes) {
    this.bar.value = bytes;
    this.#say(`${sizeInWords(bytes)} of ${sizeInWords(this.file.size)}`, "going");
  }

  wait(text) {
    this.#say(`${text}…`, "going");
  }

  finish() {
    this.bar.value = this.bar.max;
    this.#say(`done, ${sizeInWords(this.file.size)}`, "done");
  }

  fail(text, wantsLogin = false) {
    this.wantsLogin = wantsLogin;
    this.#say(text, "failed");
    show(!this.file.isFolder, this.again);
  }

  #say(text, phase) {
    this.state.textContent = text;
    this.row.className = phase;
    show(false, this.again);
  }
}

/** Tell those who listen to the page. */
function announce(sentence) {
  byId("news").textContent = sentence;
}

/** What was dropped. A folder looks like a file that cannot be read; it is named, and not sent. */
function dropped(transfer) {
  const items = [...transfer.items].filter((item) => item.kind === "file");
  return items.map((item) => {
    const file = item.getAsFile();
    return item.webkitGetAsEntry?.()?.isDirectory ? { name: file.name, size: 0, isFolder: true } : file;
  });
}

/** A pause, which ends early when the network comes back. */
function untilOnline(milliseconds) {
  return new Promise((over) => {
    const end = () => {
      clearTimeout(timer);
      window.removeEventListener("online", end);
      over();
    };
    const timer = setTimeout(end, milliseconds);
    window.addEventListener("online", end);
  });
}
