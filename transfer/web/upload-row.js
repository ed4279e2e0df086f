// The row of a file that is to be sent.

import { element, show } from "./elements.js";
import { Pace } from "./pace.js";
import { standingOf } from "./standing.js";
import { sizeInWords } from "./wording.js";

/**
 * One file's row. `act(row, label)` hears which of its buttons was pressed. `handle` is a way to its file, `trouble`
 * what is wrong with one that was chosen, `isLeaving` that it is cancelled unless the person takes it back, `wantsLogin` that it
 * goes on by itself when they have logged in, and `isDropped` that only the server's answer is waited for.
 */
export class UploadRow {
  handle = null;
  trouble = "";
  isLeaving = false;
  wantsLogin = false;
  isDropped = false;
  pace = new Pace();

  constructor(task, act) {
    Object.assign(this, { task, act });
  }

  /** Whether nothing more comes of it. */
  get isOver() {
    return this.task.state === "done";
  }

  /** Its element, made when it is wanted. */
  get element() {
    return (this.made ??= this.#make());
  }

  /** How it stands, in words, and what can be done: see standing.js. */
  standing(now) {
    return standingOf(this, now);
  }

  /** Show how it stands. */
  render(now) {
    const { task } = this;
    if (task.state === "sending") this.pace.mark(task.durable, now);
    else this.pace.forget();
    if (!this.made) return;
    const { phase, text, main, other } = this.standing(now);
    this.made.className = phase;
    this.#drawSize(task);
    this.bar.value = task.state === "done" ? this.bar.max : task.durable;
    show(phase !== "done", this.bar);
    if (this.state.textContent !== text) this.state.textContent = text;
    this.#label(this.main, main);
    this.#label(this.other, other);
  }

  #make() {
    const { name } = this.task;
    this.bar = element("progress", { value: 0, ariaLabel: `${name}: how much has arrived` });
    this.size = element("span", { className: "size" });
    this.state = element("span", { className: "state" });
    this.main = this.#button();
    this.other = this.#button();
    return element(
      "li",
      {},
      element("span", { className: "name", dir: "auto" }, name),
      this.size,
      this.bar,
      this.state,
      element("span", { className: "actions" }, this.main, this.other),
    );
  }

  // The file may be chosen again, and be another one then.
  #drawSize({ size, durable }) {
    this.bar.max = size || Math.max(1, durable);
    const text = size === null ? "" : sizeInWords(size);
    if (this.size.textContent !== text) this.size.textContent = text;
  }

  #button() {
    const button = element("button", { type: "button", className: "quiet" });
    button.onclick = () => this.act(this, button.textContent);
    return button;
  }

  // A button that stays where it is keeps the focus, whatever it is for now.
  #label(button, label) {
    show(label !== null, button);
    if (label === null || button.textContent === label) return;
    button.textContent = label;
    button.ariaLabel = `${label}: ${this.task.name}`;
  }
}
