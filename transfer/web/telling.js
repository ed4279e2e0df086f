// Tells those who listen to the page what has become of files, without chattering.

import { announce } from "./notices.js";

const QUIET_MS = 3_000;

/** Says at most one sentence every few seconds: of a single file its own, of several how many they are. */
export class Telling {
  #arrived = [];
  #failed = [];
  #timer = null;

  /** `newName` is what the server has called it, where that is another name. */
  arrived(name, newName = null) {
    this.#arrived.push(`${name} has arrived${newName ? ` as ${newName}` : ""}`);
    this.#soon();
  }

  failed(name, why) {
    this.#failed.push(`${name} was not sent: ${why}`);
    this.#soon();
  }

  #soon() {
    if (this.#timer === null) this.#say();
  }

  #say() {
    const both = [together(this.#arrived, "have arrived"), together(this.#failed, "were not sent")];
    const sentences = both.filter(Boolean);
    this.#arrived = [];
    this.#failed = [];
    this.#timer = sentences.length ? setTimeout(() => this.#say(), QUIET_MS) : null;
    if (sentences.length) announce(sentences.join("; "));
  }
}

function together(sentences, what) {
  return sentences.length > 1 ? `${sentences.length} files ${what}` : sentences[0];
}
