// Uploads files to Towline, through any number of breaks. No page is needed here: it runs wherever there are WebSocket
// and Blob. What goes over the wire is in docs/protocol.md, "What the smallest client does".

import { Broken, Connection, Refused } from "./connection.js";

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;

/**
 * Sends one file at a time, over one connection as long as that holds.
 *
 * `url` is that of `/ws`. `credentials` are sent first, if there are any: `token`, and of a request link `visitor`.
 * `digestOf(file)` is a promise of the file's SHA-256. `pause(ms)` is a promise that may be kept early, when there is
 * reason to try again at once.
 */
export class Client {
  #connection = null;

  constructor({ url, credentials = null, digestOf, pause = (ms) => new Promise((over) => setTimeout(over, ms)) }) {
    Object.assign(this, { url, credentials, digestOf, pause });
  }

  /**
   * Upload a file and return its entry, as a listing shows it. Rejects with Refused when the server says a final no, or
   * with what reading the file says. `progress(bytes)` hears how much is safe on the server's disk; `waiting(error)`,
   * before each pause, why it is not going on.
   */
  async upload(file, { name = file.name, progress = () => {}, waiting = () => {} } = {}) {
    const header = { type: "upload", name, size: file.size, if_exists: "rename" };
    if (file.type) header.content_type = file.type;
    if (file.lastModified) header.modified = new Date(file.lastModified).toISOString();
    let held = {}; // what the header says beside that: from the first `ready` on, upload_id and lease
    let digest = this.#digested(file);
    let startedOver = false;
    let failures = 0;
    for (;;) {
      const found = (ready) => (held = { upload_id: ready.upload_id, lease: ready.lease });
      const moved = (bytes, isNews) => {
        if (isNews) failures = 0;
        progress(bytes);
      };
      try {
        return await this.#attempt({ ...header, ...held }, file, digest, found, moved);
      } catch (error) {
        this.close();
        if (!startedOver && isLost(error, held)) {
          held = error.code === "digest_mismatch" ? { resume: false } : {};
          digest = this.#digested(file);
          startedOver = true;
        } else if (isPassing(error)) {
          waiting(error);
          await this.pause(pauseAfter(failures++));
        } else throw error;
      }
    }
  }

  /** Let go of the connection; the next upload opens another. */
  close() {
    this.#connection?.close();
    this.#connection = null;
  }

  async #attempt(header, file, digest, found, moved) {
    this.#connection ??= await Connection.open(this.url, this.credentials);
    this.#connection.send(header);
    let answer = await this.#connection.hear("ready", "complete");
    if (answer.type === "ready") {
      found(answer);
      answer = await new Transfer(this.#connection, file, digest, answer, moved).run();
    }
    if (answer.file.digest !== (await digest)) {
      throw new Refused({ code: "wrong_file", message: `what the server has is not this file: ${answer.file.digest}` });
    }
    moved(file.size, true);
    return answer.file;
  }

  #digested(file) {
    const digest = this.digestOf(file);
    digest.catch(() => {}); // who waits for it hears of it
    return digest;
  }
}

/** The bytes of one file on one connection, from `ready` to `complete`. */
class Transfer {
  #wake = () => {};
  #over = false;

  constructor(connection, file, digest, ready, moved) {
    Object.assign(this, { connection, file, digest, moved, chunkSize: ready.chunk_size, window: ready.window });
    this.durable = this.position = ready.offset;
    moved(this.durable, false);
  }

  async run() {
    const complete = this.#listen();
    complete.catch(() => {});
    try {
      await Promise.race([complete, this.#send()]);
      return await complete;
    } finally {
      this.#over = true;
      this.#wake();
    }
  }

  async #listen() {
    for (;;) {
      const message = await this.connection.hear("ack", "complete", "missing");
      if (message.type === "complete") return message;
      if (message.type === "missing") throw new Broken("the server's disk has lost bytes: they are sent again");
      this.durable = message.offset;
      this.window = message.window ?? this.window;
      this.moved(this.durable, true);
      this.#wake();
    }
  }

  async #send() {
    while (this.position < this.file.size && !this.#over) {
      const chunk = await this.file.slice(this.position, this.position + this.chunkSize).arrayBuffer();
      await this.#room(chunk.byteLength);
      if (this.#over) return;
      this.connection.send(chunk);
      this.position += chunk.byteLength;
    }
    const digest = await this.digest;
    if (!this.#over) this.connection.send({ type: "eof", digest });
  }

  // No more than the window may be on its way without an ack.
  async #room(bytes) {
    while (!this.#over && this.position + bytes - this.durable > this.window) {
      await new Promise((wake) => (this.#wake = wake));
    }
  }
}

// The source has changed since it was sent, or the upload has expired: it is worth one fresh start.
function isLost(error, held) {
  return error.code === "digest_mismatch" || (error.code === "not_found" && "upload_id" in held);
}

function isPassing(error) {
  return error instanceof Broken || (error instanceof Refused && (error.retryable || "missing" in error.facts));
}

function pauseAfter(failures) {
  return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures) * (0.5 + Math.random() / 2);
}
