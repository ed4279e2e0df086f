// One file of a queue, and how it stands with it.

import { Sending } from "./sending.js";

const SMALL_BYTES = 1 << 20; // docs/protocol.md, Small files
const ACTIVE = new Set(["connecting", "checking", "sending", "finishing", "waiting"]);
const OVER = new Set(["done", "cancelled"]);
export const CANCELLED = new Error("it was cancelled");

/**
 * `state` is one of
 *
 * - `queued`: its turn is to come; `connecting`, `checking` (what is there, with the file), `sending`, `finishing`;
 *   `waiting`: for what `error` says, and then it goes on by itself
 * - `paused`; `failed`, for what `error` says; `lacking`: somebody has to choose the file
 * - `done`: `entry` is what a listing shows; `cancelled`
 *
 * `durable` counts the bytes that are safe on the server's disk, `checked` those that were compared. `changed(task)`
 * hears of every change.
 */
export class Task {
  state = "queued";
  durable = 0;
  checked = 0;
  entry = null;
  error = null;
  /** All of it was sent, and the server has not answered yet: it may arrive though it is stopped. */
  isOnItsWay = false;
  #queue;
  #options;
  #sending = null;
  #stop = new AbortController();

  constructor(queue, file, { name = file?.name, size = file?.size, durable = 0, uploadId = null, ...options }) {
    if (!name) throw new TypeError("a file without a name: give `name`");
    const { changed = () => {} } = options;
    Object.assign(this, { file, name, size, durable, uploadId, changed });
    this.#queue = queue;
    this.#options = options;
    if (!file) this.state = "lacking";
  }

  /** Whether somebody is at it. */
  get isActive() {
    return ACTIVE.has(this.state);
  }

  /** Whether it goes as one message, and is not worth resuming. */
  get isSmall() {
    return this.size <= SMALL_BYTES && this.uploadId === null;
  }

  /** Stop, and keep what is there. */
  pause() {
    if (this.state === "queued" || this.isActive) this.#halt("paused");
  }

  /** Go on, with this file where another one is meant: one that was chosen again, or read anew. Who has taken the
   * upload over meanwhile loses it. `mustMatch`: only with a file that has something in common with what is there. */
  resume(file = this.file, { mustMatch = false } = {}) {
    if (this.state === "queued" || this.isActive || OVER.has(this.state)) return;
    if (!file) {
      this.#become("lacking");
      return;
    }
    if (file !== this.file || this.state === "failed") this.#letGo(); // what is known of the file may be what was wrong
    Object.assign(this, { file, size: file.size, error: null });
    this.#options.mustMatch = mustMatch;
    this.#sending?.takeOver();
    this.#become("queued");
    this.#queue.enqueue(this);
  }

  /** Stop. What is there is dropped: at once where the server may not have told of it yet, else by `drop`. */
  cancel() {
    if (this.state === "done") return;
    this.#halt("cancelled", CANCELLED);
  }

  /** Stop, and do nothing more for it: what is there stays there. */
  leave() {
    this.pause();
    this.#letGo();
  }

  /** It was not the right file, for this reason: somebody has to choose another one. */
  lack(error) {
    this.#letGo();
    this.#update({ file: null, error, state: "lacking" });
  }

  /** Drop what is there of a cancelled one; resolves when the server has. Rejects with Refused. */
  async drop() {
    this.#letGo();
    if (this.uploadId !== null) await this.#queue.drop(this.uploadId);
    this.uploadId = null;
  }

  // ---------------------------------------------------------------------------------------- for the lane that has it

  /** Somebody is at it now; the signal says when they are to leave it. */
  begin() {
    this.#stop = new AbortController();
    this.#become("connecting");
    return this.#stop.signal;
  }

  /** The header of its upload. */
  get header() {
    const { ifExists = "rename", metadata, resume } = this.#options;
    const header = { type: "upload", name: this.name, size: this.file.size, if_exists: ifExists, metadata, resume };
    if (this.file.type) header.content_type = this.file.type;
    if (this.file.lastModified) header.modified = new Date(this.file.lastModified).toISOString();
    return header;
  }

  /** What is known of it on its way; `news()` hears when it gets further. */
  sending(news) {
    const report = {
      found: (uploadId) => this.#update({ uploadId }),
      checked: (bytes) => this.#update({ checked: bytes, ...this.#if("checking") }),
      moved: (bytes) => {
        if (bytes > this.durable) news();
        this.#update({ durable: bytes, ...this.#if(bytes === this.size ? "finishing" : "sending") });
      },
    };
    const { uploadId, header } = this;
    this.#sending ??= new Sending(this.file, header, { uploadId, mustMatch: this.#options.mustMatch, report });
    return this.#sending;
  }

  wait(error) {
    this.#become("waiting", { error });
  }

  finish(entry) {
    this.#queue.withdraw(this);
    this.#letGo();
    this.#become("done", { entry, durable: this.size, error: null });
  }

  /** It was stopped, and nothing more is to be heard of it. */
  stopped() {
    this.isOnItsWay = false;
    this.changed(this);
  }

  fail(error) {
    this.#become("failed", { error });
  }

  // -----------------------------------------------------------------------------------------------------------------

  #halt(state, reason) {
    this.#queue.withdraw(this);
    this.#become(state);
    this.#stop.abort(reason);
  }

  #letGo() {
    this.#sending?.end();
    this.#sending = null;
  }

  // What a lane still reports when it was told to leave it changes no state.
  #if(state) {
    return this.isActive ? { state } : {};
  }

  #become(state, news = {}) {
    this.#update({ state, ...news });
  }

  #update(news) {
    if (Object.keys(news).every((field) => this[field] === news[field])) return;
    Object.assign(this, news);
    this.changed(this);
  }
}
