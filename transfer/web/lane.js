// One connection of a queue: it takes one large file after another, or small ones in a row, through any number of
// breaks.

import { Batch } from "./batch.js";
import { Broken, Connection, Refused } from "./connection.js";
import { NEVER, pause, pauseAfter, unless } from "./patience.js";
import { CANCELLED } from "./task.js";

/** Works while `source` has tasks: `take(lane)`, and `takeSmall(lane)` in the midst of small ones. */
export class Lane {
  #connection = null;
  #isAtWork = false;
  #failures = 0;

  constructor(source, { url, credentials, longestPause, prefersSmall }) {
    Object.assign(this, { source, url, credentials, longestPause, prefersSmall });
  }

  /** There may be something to do. */
  wake() {
    if (!this.#isAtWork) this.#work();
  }

  /** Let go of the connection, which may be dead; what was on it goes on over another one. */
  reconnect() {
    this.#connection?.close();
  }

  async #work() {
    this.#isAtWork = true;
    for (let task; (task = this.source.take(this)); ) {
      if (task.isSmall) await this.#sendSmall(task);
      else await this.#send(task);
    }
    this.#isAtWork = false;
    this.#letGo();
  }

  async #send(task) {
    const signal = task.begin();
    if (signal.aborted) return; // by who heard that it begins
    const sending = task.sending(() => (this.#failures = 0));
    const leave = () => {
      if (signal.reason === CANCELLED) this.#connection?.send({ type: "cancel" }); // before its id is known, too
      this.#letGo();
    };
    signal.addEventListener("abort", leave);
    const attempt = (connection) => sending.attempt(connection);
    try {
      task.finish(await this.#persist(attempt, (error) => task.wait(error), signal));
    } catch (error) {
      if (!signal.aborted) task.fail(error);
    } finally {
      signal.removeEventListener("abort", leave);
    }
  }

  async #sendSmall(first) {
    const unanswered = new Map([[first, first.begin()]]);
    const settled = (task, { entry, error }) => {
      const isLeft = unanswered.get(task)?.aborted;
      unanswered.delete(task);
      if (entry) this.#failures = 0;
      if (entry) task.finish(entry);
      else if (isLeft) task.stopped();
      else task.fail(error);
    };
    const waiting = (error) => {
      for (const [task, signal] of unanswered) if (!signal.aborted) task.wait(error);
    };
    try {
      await this.#persist((connection) => this.#sendInARow(connection, unanswered, settled), waiting, NEVER);
    } catch (error) {
      for (const task of unanswered.keys()) settled(task, { error });
    }
  }

  async #sendInARow(connection, unanswered, settled) {
    const batch = new Batch(connection, settled);
    for (const [task, signal] of unanswered) {
      if (signal.aborted || !(await batch.send(task, signal))) this.#leave(task, unanswered);
    }
    for (let task; (task = this.source.takeSmall(this)); ) {
      const signal = task.begin();
      unanswered.set(task, signal);
      if (!(await batch.send(task, signal))) this.#leave(task, unanswered);
    }
    await batch.end();
  }

  #leave(task, unanswered) {
    unanswered.delete(task);
    task.stopped();
  }

  // Try until it is done, or a final no comes; `waiting(error)` hears of each pause.
  async #persist(attempt, waiting, signal) {
    for (;;) {
      try {
        return await unless(signal, attempt(await this.#connected()));
      } catch (error) {
        this.#letGo();
        signal.throwIfAborted();
        if (!isPassing(error)) throw error;
        waiting(error);
        await pause(pauseAfter(this.#failures++, this.longestPause), signal);
        signal.throwIfAborted();
      }
    }
  }

  async #connected() {
    if (this.#connection === null) {
      const connection = (this.#connection = new Connection(this.url));
      await connection.enter(this.credentials);
    }
    return this.#connection;
  }

  #letGo() {
    this.#connection?.close();
    this.#connection = null;
  }
}

function isPassing(error) {
  return error instanceof Broken || (error instanceof Refused && (error.retryable || "missing" in error.facts));
}
