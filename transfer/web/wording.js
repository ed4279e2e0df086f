// Figures as people read them.

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];
const TIME = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** A number of bytes: `3.1 MB`. */
export function sizeInWords(bytes) {
  let unit = 0;
  while (bytes >= 999.95 && unit < UNITS.length - 1) {
    bytes /= 1000;
    unit += 1;
  }
  return `${unit ? bytes.toFixed(1) : bytes} ${UNITS[unit]}`;
}

/** A time of the protocol, where the reader is. */
export function timeInWords(time) {
  return TIME.format(new Date(time));
}
