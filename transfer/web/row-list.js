// A list of any number of rows, of which the page shows as many as it can bear.

const MOST_SHOWN = 1_000;
const AT_ONCE = 100;

/** Rows in a list element: the first thousand; those that are over make room for those that are still to come. */
export class RowList {
  #shown = new Set();
  #next = new Set();

  constructor(list) {
    this.list = list;
  }

  /** How many are not shown. */
  get hiddenCount() {
    return this.#next.size;
  }

  add(row) {
    this.#next.add(row);
  }

  /** Take a row away; the focus goes to the one after it, to the one before, or to `refuge`. */
  remove(row, refuge) {
    this.#next.delete(row);
    if (!this.#shown.delete(row)) return;
    const near = row.element.nextElementSibling ?? row.element.previousElementSibling;
    const hadFocus = row.element.contains(document.activeElement);
    row.element.remove();
    if (hadFocus) (near?.querySelector("button:not([hidden])") ?? refuge).focus();
  }

  /** Show some of those that are not shown yet; returns whether there are more for which there is room. */
  fill(now) {
    const some = [];
    for (const row of this.#next) {
      if (some.length === AT_ONCE || !this.#isRoom(some.length)) break;
      this.#next.delete(row);
      this.#shown.add(row);
      some.push(row.element);
      row.render(now);
    }
    this.list.append(...some);
    return some.length === AT_ONCE && this.#next.size > 0;
  }

  #isRoom() {
    if (this.#shown.size < MOST_SHOWN) return true;
    for (const row of this.#shown) {
      if (!row.isOver || row.element.contains(document.activeElement)) continue;
      this.#shown.delete(row);
      row.element.remove();
      return true;
    }
    return false;
  }
}
