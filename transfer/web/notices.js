// What just happened, at the foot of the page, and for a while a way to take it back.

import { byId, element } from "./elements.js";

/** Tell those who listen to the page. */
export function announce(sentence) {
  byId("news").textContent = sentence;
}

/** Show a sentence for so many seconds, after which `ended()` hears of it, or until `close` is called. Returns `close`, and
 * the button of `undo` if there is one. */
export function notice(text, { seconds = 6, undo = null, ended = () => {}, isTrouble = false } = {}) {
  const row = element("li", { className: isTrouble ? "trouble" : "" }, element("span", {}, text));
  const close = () => {
    clearTimeout(timer);
    row.remove();
  };
  const timer = setTimeout(() => {
    ended();
    close();
  }, seconds * 1_000);
  const button = undo && undoing(undo);
  if (undo) row.append(button, timeLeft(seconds));
  byId("notices").append(row);
  announce(text);
  return { close, button };
}

function undoing(undo) {
  const button = element("button", { type: "button", title: "Undo (Ctrl+Z)", onclick: undo }, "Undo");
  button.setAttribute("aria-keyshortcuts", "Control+Z");
  return button;
}

function timeLeft(seconds) {
  const line = element("span", { className: "left" });
  line.style.animationDuration = `${seconds}s`;
  return line;
}
