// All files that are to be sent together: how many have arrived, how fast they get on, and what can be done with all.

import { element, show } from "./elements.js";
import { Pace, paceInWords } from "./pace.js";
import { sizeInWords } from "./wording.js";

const COUNT = new Intl.NumberFormat();

/** Fills an element. `act(label)` hears which of its buttons was pressed, and `progressed(share, secondsLeft)` how much of all
 * is there while some is sent. */
export class Overall {
  #pace = new Pace();
  #buttons = new Map();

  constructor(place, { act, progressed }) {
    Object.assign(this, { place, progressed });
    this.bar = element("progress", { ariaLabel: "All files: how much has arrived", value: 0 });
    this.sum = element("p", { className: "sum" });
    const actions = element("div", { className: "actions", role: "group", ariaLabel: "All files" });
    for (const label of ["Pause all", "Resume all", "Try all again", "Cancel all", "Remove finished"]) {
      const button = element("button", { type: "button", className: "quiet", hidden: true }, label);
      button.onclick = () => {
        act(label);
        if (button.hidden) actions.querySelector("button:not([hidden])")?.focus();
      };
      this.#buttons.set(label, button);
      actions.append(button);
    }
    place.append(this.sum, this.bar, actions);
  }

  /** Show how it stands with these rows, of which so many are not shown by themselves. */
  render(rows, hiddenCount, now) {
    show(rows.length > 1, this.place); // a single file says all this itself
    const sum = sumOf(rows);
    if (sum.sending) this.#pace.mark(sum.durable, now);
    else this.#pace.forget();
    this.bar.max = sum.size || 1;
    this.bar.value = sum.size ? sum.durable : 0;
    const speed = this.#pace.speed(now);
    if (sum.sending && speed) this.progressed(sum.durable / sum.size, (sum.size - sum.durable) / speed);
    const text = inWords(sum, hiddenCount, speed);
    if (this.sum.textContent !== text) this.sum.textContent = text;
    this.#offer("Pause all", sum.going + sum.queued > 1);
    this.#offer("Resume all", sum.resumable > 1);
    this.#offer("Try all again", sum.failed > 1);
    this.#offer("Cancel all", rows.length - sum.done - sum.lacking > 1); // of this page
    this.#offer("Remove finished", sum.done > 0);
  }

  #offer(label, isPossible) {
    show(isPossible, this.#buttons.get(label));
  }
}

function sumOf(rows) {
  const counts = { done: 0, failed: 0, paused: 0, queued: 0, lacking: 0, going: 0, sending: 0, resumable: 0 };
  const sum = { ...counts, count: rows.length, size: 0, durable: 0 };
  for (const { task, handle, wantsLogin, isLeaving } of rows) {
    sum.size += task.size ?? task.durable;
    sum.durable += task.durable;
    if (task.state === "sending" || task.state === "finishing") sum.sending += 1;
    if (task.isActive) sum.going += 1;
    else if (task.state in sum) sum[task.state] += 1; // queued, paused, failed, done, lacking
    const canGoOn = task.state === "paused" || (task.state === "lacking" && handle);
    if (canGoOn && !wantsLogin && !isLeaving) sum.resumable += 1;
  }
  return sum;
}

function inWords(sum, hiddenCount, speed) {
  const pace = paceInWords(speed, sum.size - sum.durable, sizeInWords);
  const parts = [`${COUNT.format(sum.done)} of ${COUNT.format(sum.count)} ${sum.count === 1 ? "file" : "files"}`];
  parts.push(`${sizeInWords(sum.durable)} of ${sizeInWords(sum.size)}${pace}`);
  if (sum.paused + sum.lacking) parts.push(`${COUNT.format(sum.paused + sum.lacking)} paused`);
  if (sum.failed) parts.push(`${COUNT.format(sum.failed)} not sent`);
  if (hiddenCount) parts.push(`${COUNT.format(hiddenCount)} not shown yet`);
  return parts.join(" · ");
}
