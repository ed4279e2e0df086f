// Tells those who listen to the page what has become of files, without chattering.

import { announce } from "./notices.js";

const QUIET_MS = 3_000;
const SOON_SECONDS = 5;

/** Says at most one sentence every few seconds: of a single file its own, of several how many they are. */
export class Telling {
  #arrived = [];
  #failed = [];
  #standing = new Map(); // from what a sentence is about to the last one
  #cutOff = new Set(); // tasks that wait for the network
  #quarters = 0;
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

  /** It stands otherwise with a task: of many that wait for the network, and go on, one sentence tells. */
  changed(task) {
    const wasCutOff = this.#cutOff.size > 0;
    if (task.state === "waiting") this.#cutOff.add(task);
    else this.#cutOff.delete(task);
    if (wasCutOff === this.#cutOff.size > 0) return;
    if (!wasCutOff) this.#note("network", "sending waits for the network");
    else if (task.isActive) this.#note("network", "sending goes on");
  }

  /** So much of all has arrived, and the rest takes so many seconds; what is soon over tells of itself. */
  progressed(share, secondsLeft) {
    const quarters = Math.floor(4 * share);
    const isNews = quarters > this.#quarters && quarters < 4 && secondsLeft > SOON_SECONDS;
    if (isNews) this.#note("share", `${25 * quarters} % of what is sent has arrived`);
    if (isNews || quarters < this.#quarters) this.#quarters = quarters;
  }

  #note(about, sentence) {
    this.#standing.set(about, sentence);
    this.#soon();
  }

  #soon() {
    if (this.#timer === null) this.#say();
  }

  #say() {
    const both = [together(this.#arrived, "have arrived"), together(this.#failed, "were not sent")];
    const sentences = [...both, ...this.#standing.values()].filter(Boolean);
    this.#standing.clear();
    this.#arrived = [];
    this.#failed = [];
    this.#timer = sentences.length ? setTimeout(() => this.#say(), QUIET_MS) : null;
    if (sentences.length) announce(sentences.join("; "));
  }
}

function together(sentences, what) {
  return sentences.length > 1 ? `${sentences.length} files ${what}` : sentences[0];
}
