// Many files over a few connections.

import { ask } from "./api.js";
import { Refused } from "./connection.js";
import { Lane } from "./lane.js";
import { NEVER, pause, pauseAfter } from "./patience.js";
import { Task } from "./task.js";

const LONGEST_PAUSE_MS = 30_000;

/**
 * `url` is that of the server's `/ws`: without one, of the server that this module came from. `token` says who calls,
 * and `visitor`, with that of a request link, which visitor; without a token the browser's cookie does. `longestPause`
 * (milliseconds) is the most between two attempts.
 */
export class Queue {
  #small = new Set();
  #large = new Set();
  #lanes;
  #credentials;

  constructor({ url = ownServer(), token, visitor, connections = 3, longestPause = LONGEST_PAUSE_MS } = {}) {
    Object.assign(this, { url: String(url), longestPause });
    this.#credentials = token ? { token, ...(visitor && { visitor }) } : null;
    const terms = { url: this.url, credentials: this.#credentials, longestPause };
    const lane = (_, place) => new Lane(this, { ...terms, prefersSmall: place === 0 });
    this.#lanes = Array.from({ length: connections }, lane);
  }

  /**
   * Send a file: a File, or a Blob and a `name`. Further options: `ifExists` (`rename`, `replace` or `error`),
   * `metadata` (an object of strings), `resume` (false: go on with no upload of this name), `changed(task)`, which
   * hears of every change, and for an upload that is there already `uploadId` and its `durable` bytes. Without a file,
   * but with a `size`, the task waits until it is resumed with one.
   */
  add(file, options = {}) {
    const task = new Task(this, file, options);
    if (file) this.enqueue(task);
    return task;
  }

  /** The caller's unfinished uploads, as `GET /uploads` has them. Rejects with Refused, or with TypeError when no
   * answer came. */
  async unfinished() {
    return (await this.#ask("/uploads")).uploads;
  }

  /** Drop an unfinished upload, however long the network is gone. Rejects with Refused. */
  async drop(uploadId) {
    for (let failures = 0; ; failures += 1) {
      try {
        return await this.#ask(`/uploads/${encodeURIComponent(uploadId)}`, { method: "DELETE" });
      } catch (error) {
        if (error.code === "not_found") return null;
        if (error instanceof Refused && !error.retryable) throw error;
        await pause(pauseAfter(failures, this.longestPause), NEVER);
      }
    }
  }

  /** Open the connections anew: there is reason to think that they are dead. */
  reconnect() {
    for (const lane of this.#lanes) lane.reconnect();
  }

  #ask(path, options = {}) {
    const url = new URL(path, this.url.replace(/^ws/, "http"));
    if (this.#credentials === null) return ask(url, options);
    const { token, visitor } = this.#credentials;
    const headers = { authorization: `Bearer ${token}`, ...(visitor && { "towline-visitor": visitor }) };
    return ask(url, { ...options, headers, credentials: "omit" });
  }

  // --------------------------------------------------------------------------------------------- for tasks and lanes

  enqueue(task) {
    (task.isSmall ? this.#small : this.#large).add(task);
    for (const lane of this.#lanes) lane.wake();
  }

  withdraw(task) {
    this.#small.delete(task);
    this.#large.delete(task);
  }

  /** What a lane does next, null when there is nothing. One lane keeps to the small files as long as there are some, so
   * that they do not wait for large ones, nor large ones for them. */
  take({ prefersSmall }) {
    const [first, second] = prefersSmall ? [this.#small, this.#large] : [this.#large, this.#small];
    return taken(first) ?? taken(second);
  }

  /** The same in the midst of small files: a small one, null when the lane has something else to do. */
  takeSmall({ prefersSmall }) {
    return prefersSmall || this.#large.size === 0 ? taken(this.#small) : null;
  }
}

function taken(tasks) {
  for (const task of tasks) {
    tasks.delete(task);
    return task;
  }
  return null;
}

function ownServer() {
  const url = new URL("/ws", import.meta.url);
  url.protocol = url.protocol.replace("http", "ws");
  return url.href;
}
