// Files on their way out. The server hears of it when there is no way back any more: when the time is over, or the page
// is left, or sends something else of that name. So undoing needs no network, and a browser that crashes has deleted
// nothing.

import { explained } from "./advice.js";
import { ask } from "./api.js";
import { announce, notice } from "./notices.js";
import { lastSegment } from "./view.js";

export const UNDO_SECONDS = 8;

/** `changed()` hears that a listing looks different now, `gone(file)` of a deletion, `failed(error)` of one that failed. */
export class Deletions {
  #waiting = new Map(); // from the name of a file to what ends its waiting
  #sending = new Map(); // from the name of a file to the promise that the server has answered

  constructor({ changed, gone, failed }) {
    Object.assign(this, { changed, gone, failed });
    window.addEventListener("pagehide", () => this.flush());
    document.addEventListener("keydown", (event) => this.#hear(event));
  }

  /** Whether a listing leaves this name out. */
  has(name) {
    return this.#waiting.has(name) || this.#sending.has(name);
  }

  /** Delete a file a few seconds from now. Returns the button that undoes it; `over(isUndone)` hears when that had the
   * focus and is no more. */
  begin(file, over) {
    const undo = () => {
      this.#end(file.name);
      announce(`${lastSegment(file.name)} is back`);
      this.changed();
      over(true);
    };
    const send = () => {
      const hasFocus = document.activeElement === button;
      this.#send(file);
      if (hasFocus) over(false);
    };
    const told = { seconds: UNDO_SECONDS, undo, ended: send };
    const { close, button } = notice(`${lastSegment(file.name)} is deleted`, told);
    this.#waiting.set(file.name, { file, close, undo });
    this.changed();
    return button;
  }

  /** Somebody has sent a file of this name meanwhile, which nobody meant to delete. */
  spare(name) {
    if (!this.#waiting.has(name)) return;
    this.#end(name);
    this.#tellSpared(name);
    this.changed();
  }

  /** This page is about to send a file of this name: what is on its way out goes first. A promise; null when there is
   * nothing. */
  makeRoom(name) {
    const inItsWay = (there) => collide(keyOf(there), keyOf(name));
    for (const [there, { file }] of this.#waiting) if (inItsWay(there)) this.#send(file);
    const answers = [...this.#sending].filter(([there]) => inItsWay(there)).map(([, answer]) => answer);
    return answers.length ? Promise.all(answers) : null;
  }

  /** Have all that waits deleted now, whatever becomes of the page. Resolves when the server has answered. */
  async flush() {
    await Promise.all([...this.#waiting.values()].map(({ file }) => this.#send(file)));
  }

  #end(name) {
    this.#waiting.get(name).close();
    this.#waiting.delete(name);
  }

  #send(file) {
    this.#end(file.name);
    const answer = this.#ask(file);
    this.#sending.set(file.name, answer);
    return answer;
  }

  async #ask(file) {
    const headers = { "If-Match": `"${file.digest}"` }; // what took its place meanwhile stays
    try {
      await ask(file.url, { method: "DELETE", headers, keepalive: true });
      this.gone(file);
    } catch (error) {
      if (error.code === "not_found") this.gone(file);
      else if (error.code === "precondition_failed") this.#tellSpared(file.name);
      else this.#complain(file, error);
    } finally {
      this.#sending.delete(file.name);
      this.changed();
    }
  }

  #tellSpared(name) {
    notice(`${lastSegment(name)} is not deleted: it was replaced meanwhile`);
  }

  #complain(file, error) {
    notice(`${lastSegment(file.name)} was not deleted. ${explained(error)}`, { isTrouble: true, seconds: 15 });
    this.failed(error);
  }

  // As everywhere: Ctrl or Cmd and Z, but in a field that has its own.
  #hear(event) {
    const asks = (event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === "z";
    if (!asks || event.target.closest("input, textarea") || !this.#waiting.size) return;
    event.preventDefault();
    [...this.#waiting.values()].at(-1).undo();
  }
}

// Names that differ in upper and lower case alone are one name to the server.
function keyOf(name) {
  return name.normalize("NFC").toLowerCase();
}

function collide(one, other) {
  return one === other || one.startsWith(`${other}/`) || other.startsWith(`${one}/`);
}
