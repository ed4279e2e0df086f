// Small files, one after another on one connection without waiting for the answers: docs/protocol.md, Small files.

import { Refused } from "./connection.js";
import { wholeOf } from "./hashing.js";

const WINDOW_BYTES = 4 << 20;
const MOST_UNANSWERED = 256;

/** Sends small files on a connection. `settled(task, answer)` hears of each: its entry, or why not. */
export class Batch {
  #bytes = 0;
  #count = 0;
  #failure = null;
  #wake = () => {};

  constructor(connection, settled) {
    Object.assign(this, { connection, settled });
  }

  /** Send one, as soon as there is room, unless `signal` says before that it is not wanted. Returns whether it is on its
   * way. Rejects when the connection has ended, with Broken or Refused. */
  async send(task, signal) {
    const { file, header } = task;
    await this.#until(() => this.#count < MOST_UNANSWERED && this.#bytes + file.size <= WINDOW_BYTES);
    if (signal.aborted) return false;
    let whole;
    try {
      whole = await wholeOf(file);
    } catch (error) {
      this.settled(task, { error });
      return true;
    }
    if (signal.aborted) return false;
    task.isOnItsWay = true;
    this.#follow(task, this.#sent(header, whole), file.size, whole.digest);
    return true;
  }

  /** Wait for all answers. Rejects when the connection has ended before. */
  async end() {
    await this.#until(() => this.#count === 0);
  }

  #sent(header, { bytes, digest }) {
    const operation = this.connection.begin({ ...header, size: bytes.byteLength, offset: 0 });
    if (bytes.byteLength) operation.send(bytes);
    operation.send({ type: "eof", digest });
    return operation;
  }

  async #follow(task, operation, size, digest) {
    this.#count += 1;
    this.#bytes += size;
    try {
      const { file: entry } = await operation.hear("complete");
      if (entry.digest !== digest) throw new Refused({ code: "other_file", message: "the server has another content" });
      this.settled(task, { entry });
    } catch (error) {
      if (error instanceof Refused && !error.retryable && error.code !== "closed") this.settled(task, { error });
      else this.#failure ??= error;
    } finally {
      task.isOnItsWay = false;
      this.#count -= 1;
      this.#bytes -= size;
      this.#wake();
    }
  }

  async #until(isSo) {
    while (!isSo() && !this.#failure) await new Promise((wake) => (this.#wake = wake));
    if (this.#failure) throw this.#failure;
  }
}
