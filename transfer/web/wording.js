// Figures as people read them.

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];
const TIME = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const THIS_YEAR = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "numeric", minute: "2-digit" });
const TODAY = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const DIGITS = new Intl.NumberFormat();

/** A number of bytes: `3.1 MB`. */
export function sizeInWords(bytes) {
  let unit = 0;
  while (bytes >= 999.95 && unit < UNITS.length - 1) {
    bytes /= 1000;
    unit += 1;
  }
  return `${unit ? bytes.toFixed(1) : bytes} ${UNITS[unit]}`;
}

/** A number of bytes to the last one: `3,145,728 bytes`. */
export function digitsInWords(bytes) {
  return `${DIGITS.format(bytes)} ${bytes === 1 ? "byte" : "bytes"}`;
}

/** A time of the protocol, where the reader is. */
export function timeInWords(time) {
  return TIME.format(new Date(time));
}

/** The same in a list: the nearer it is, the more exact. */
export function shortTime(time) {
  const [then, now] = [new Date(time), new Date()];
  if (then.toDateString() === now.toDateString()) return TODAY.format(then);
  return (then.getFullYear() === now.getFullYear() ? THIS_YEAR : DAY).format(then);
}
