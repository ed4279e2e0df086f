// The bytes of one operation: a stretch of a file, from where the server is to its end.

import { Broken } from "./connection.js";
import { bytesOf } from "./reading.js";

/** Sends `[ready.offset, end)` of a file. `moved(offset)` hears of each ack. */
export class Stretch {
  #wake = () => {};
  #isOver = false;
  #isHashing = false;

  constructor(operation, file, ready, { end = file.size, moved }) {
    Object.assign(this, { operation, file, end, moved, chunkSize: ready.chunk_size, window: ready.window });
    this.durable = this.position = ready.offset;
  }

  /** Send a range; resolves when all of it is durable. */
  async fill() {
    await this.#race(this.#listen((message) => message.type === "ack" && message.offset >= this.end), this.#send());
    this.operation.end();
  }

  /** Send to the end of the file and say its digest, when that is known; resolves to the file's entry. */
  async finish(digest) {
    const sent = this.#send().then(() => this.#say(digest));
    return (await this.#race(this.#listen((message) => message.type === "complete"), sent)).file;
  }

  // What is heard decides; that all was sent decides nothing, and that something cannot be sent ends both.
  async #race(heard, sent) {
    heard.catch(() => {});
    try {
      await Promise.race([heard, sent]);
      return await heard;
    } finally {
      this.#isOver = true;
      this.#wake();
    }
  }

  async #listen(isLast) {
    for (;;) {
      const message = await this.operation.hear("ack", "complete", "missing");
      if (message.type === "missing") throw new Broken("the server's disk has lost bytes: they are sent again");
      if (message.type === "ack") this.#acked(message);
      if (isLast(message)) return message;
    }
  }

  #acked(ack) {
    this.durable = ack.offset;
    this.window = ack.window ?? this.window;
    this.moved(this.durable);
    this.#rest();
    this.#wake();
  }

  // While all is there and the digest is not known yet, the server has nothing to say.
  #rest() {
    this.operation.isPatient = this.#isHashing && this.durable === this.end;
  }

  async #send() {
    while (this.position < this.end && !this.#isOver) {
      const chunk = await bytesOf(this.file.slice(this.position, Math.min(this.position + this.chunkSize, this.end)));
      await this.#room(chunk.byteLength);
      if (this.#isOver) return;
      this.operation.send(chunk);
      this.position += chunk.byteLength;
    }
  }

  async #say(digest) {
    this.#isHashing = true;
    this.#rest();
    const known = await digest;
    this.#isHashing = false;
    this.#rest();
    if (!this.#isOver) this.operation.send({ type: "eof", digest: known });
  }

  // No more than the window may be on its way without an ack.
  async #room(bytes) {
    while (!this.#isOver && this.position + bytes - this.durable > this.window) {
      await new Promise((wake) => (this.#wake = wake));
    }
  }
}
