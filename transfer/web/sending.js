// One file on its way, over as many connections as it takes. What is known of it outlives each of them: the upload, the
// lease, the digest once it is computed, and that what the server had before is of this file.

import { Refused } from "./connection.js";
import * as hashing from "./hashing.js";
import { Stretch } from "./stretch.js";

/**
 * Sends `file` as `header` says. `uploadId` names the upload that it goes on with, if that is known; with `mustMatch` a
 * file of which nothing is as the server has it is refused. `report` hears: `found(uploadId)`, `checked(bytes)`
 * while what is there is compared, and `moved(durableBytes)`.
 */
export class Sending {
  #held; // what further headers say: from the first `ready` on `upload_id` and `lease`
  #digest = null;
  #comparison = null; // of the leaves that an earlier page, or another program, has sent
  #changed = null; // what they did not have as it is now, and is still to be sent once more
  #there = 0; // bytes that the server had when that was found
  #leafSize = 1;
  #isRepaired = false;
  #startedOver = false;
  #over = new AbortController();

  constructor(file, header, { uploadId = null, mustMatch = false, report }) {
    Object.assign(this, { file, header, mustMatch, report });
    this.#held = uploadId ? { upload_id: uploadId } : {};
  }

  /** Take the upload from whoever has it now; else who took it from here keeps it. */
  takeOver() {
    const { lease, ...held } = this.#held;
    this.#held = held;
  }

  /** Compute nothing more. */
  end() {
    this.#over.abort();
  }

  /** Go on, on this connection, to the end; resolves to the file's entry. Rejects with Broken or Refused: after Broken,
   * and after what is `retryable`, it may be tried again. */
  async attempt(connection) {
    for (;;) {
      try {
        const entry = await this.#proceed(connection);
        if (entry) return entry;
      } catch (error) {
        if (error.code === "digest_mismatch" && !this.#isRepaired) await this.#repair(connection, error.facts);
        else if (isLost(error, this.#held) && !this.#startedOver) this.#startOver(error);
        else throw error;
      }
    }
  }

  /** One header, and what follows; null when the next one finds more. */
  async #proceed(connection) {
    const operation = connection.begin({ ...this.header, ...this.#held });
    const answer = await operation.hear("ready", "complete");
    this.#digest ??= this.#begun();
    if (answer.type === "complete") return this.#verified(answer.file);
    this.#held = { upload_id: answer.upload_id, lease: answer.lease };
    this.report.found(answer.upload_id);
    this.#changed ??= await this.#compared(answer);
    if (this.#changed.length) return this.#rewrite(connection);
    if (answer.missing) return this.#fillHoles(connection, answer);
    return this.#verified(await this.#sendRest(operation, answer));
  }

  async #sendRest(operation, ready) {
    const { moved } = this.report;
    moved(ready.offset);
    return new Stretch(operation, this.file, ready, { moved }).finish(this.#digest);
  }

  /** The ranges, of what was there before, that this file has otherwise. */
  async #compared({ offset, leaves, leaf_size: leafSize }) {
    [this.#there, this.#leafSize] = [offset, leafSize];
    if (offset === 0) return [];
    this.report.checked(0);
    const { compared, same, ranges } = await this.#compare({ leafSize, leaves, end: offset });
    if (this.mustMatch && compared && !same) throw new Refused({ code: "other_file", message: OTHER_FILE });
    return ranges;
  }

  // It outlives the connection that it was begun on: a large file takes longer than a server waits.
  #compare(known) {
    const heard = (bytes) => this.report.checked(bytes);
    if (this.#comparison) return this.#comparison;
    const comparison = (this.#comparison = hashing.compareLeaves(this.file, known, { signal: this.#over.signal, heard }));
    comparison.catch(() => this.#comparison === comparison && (this.#comparison = null)); // as with the digest
    return comparison;
  }

  /** The server has all, and something of it is otherwise: what it is, its leaves tell. */
  async #repair(connection, { leaves, leaf_size: leafSize }) {
    this.#isRepaired = true;
    if (leaves === undefined) return;
    [this.#there, this.#leafSize] = [this.file.size, leafSize];
    this.#comparison = null;
    this.#changed = (await this.#compare({ leafSize, leaves, end: this.file.size })).ranges;
    await this.#rewrite(connection);
  }

  // After a break it goes on in the leaf that it was in.
  async #rewrite(connection) {
    while (this.#changed.length) {
      const range = this.#changed[0];
      const moved = (position) => this.#rewritten(range, position);
      moved(range[0]);
      await this.#fill(connection, range, { rewrite: true, moved });
      this.#changed.shift();
    }
    return null;
  }

  #rewritten(range, position) {
    range[0] = position - (position % this.#leafSize);
    const left = this.#changed.reduce((sum, [start, end]) => sum + end - start, 0); // of this the server has no bytes
    this.report.moved(this.#there - left + position - range[0]);
  }

  async #fillHoles(connection, { offset, missing }) {
    const moved = () => this.report.moved(offset);
    moved();
    for (const hole of missing) await this.#fill(connection, hole, { moved });
    return null;
  }

  async #fill(connection, [start, end], { rewrite = false, moved }) {
    const header = { type: "upload", name: this.header.name, range: [start, end], rewrite, ...this.#held };
    const operation = connection.begin(header);
    await new Stretch(operation, this.file, await operation.hear("ready"), { end, moved }).fill();
  }

  async #verified(entry) {
    if (entry.digest === (await this.#digest)) return entry;
    throw new Refused({ code: "other_file", message: `what the server has is not this file: ${entry.digest}` });
  }

  #startOver(error) {
    this.#startedOver = true;
    this.#held = error.code === "digest_mismatch" ? { resume: false } : {};
    this.#digest = this.#comparison = this.#changed = null;
  }

  #begun() {
    const digest = hashing.digestOf(this.file, { signal: this.#over.signal });
    digest.catch(() => this.#digest === digest && (this.#digest = null)); // the next attempt reads the file anew
    return digest;
  }
}

const OTHER_FILE = "this is not the file that was begun: nothing that was sent of it is the same; choose that one";

// What was sent is not of this file, and it is not known where; or the upload has expired. It is worth one fresh start.
function isLost(error, held) {
  return error.code === "digest_mismatch" || (error.code === "not_found" && "upload_id" in held);
}
