// The rows of all files that are to be sent, found by task and by name, and drawn when they have changed.

import { Overall } from "./overall.js";
import { RowList } from "./row-list.js";
import { UploadRow } from "./upload-row.js";

const LOOK_MS = 150;

/** `act(row, label)` hears what is pressed in a row, `actOnAll(label)` what is pressed for all, and
 * `progressed(share, secondsLeft)` how it gets on with all. */
export class Rows {
  #rows = new Map(); // by their tasks
  #named = new Map();
  #list;
  #overall;
  #refuge;
  #changed = new Set();
  #timer = null;

  constructor({ list, overall, choose }, { act, actOnAll, progressed }) {
    this.#list = new RowList(list);
    this.#overall = new Overall(overall, { act: actOnAll, progressed });
    this.#refuge = choose;
    this.act = act;
  }

  /** The row of a task. */
  of(task) {
    return this.#rows.get(task);
  }

  /** The rows of a name: there is more than one when different files have it. */
  named(name) {
    return this.#named.get(name) ?? [];
  }

  /** All of them, as they are now. */
  get all() {
    return [...this.#rows.values()];
  }

  add(task, handle = null) {
    const row = new UploadRow(task, this.act);
    row.handle = handle;
    this.#rows.set(task, row);
    this.#named.set(task.name, [...this.named(task.name), row]);
    this.#list.add(row);
    this.look(row);
  }

  remove(row) {
    const { name } = row.task;
    this.#rows.delete(row.task);
    const others = this.named(name).filter((other) => other !== row);
    this.#named.set(name, others);
    this.#list.remove(row, this.#refuge);
    this.look(row);
  }

  /** It has changed: it is drawn soon. */
  look(row) {
    this.#changed.add(row);
    this.#timer ??= setTimeout(() => this.#draw(), 0);
  }

  // A few times a second, as long as something moves: the pace of what does not move is told, too.
  #draw() {
    const now = performance.now();
    const isMore = this.#list.fill(now);
    for (const row of this.#changed) row.render(now);
    this.#overall.render(this.all, this.#list.hiddenCount, now);
    this.#changed = new Set(this.all.filter((row) => row.task.isActive));
    this.#timer = setTimeout(() => this.#continue(), isMore ? 0 : LOOK_MS);
  }

  #continue() {
    this.#timer = null;
    if (this.#changed.size) this.#draw();
  }
}
