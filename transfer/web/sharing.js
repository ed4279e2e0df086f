// Links for people who have no token.

import { explained } from "./advice.js";
import { ask } from "./api.js";
import { copy } from "./clipboard.js";
import { element } from "./elements.js";
import { notice } from "./notices.js";

const DAYS = 7;
const DAY_SECONDS = 86_400;

/** A button that makes a link to a file, by which anybody downloads it, and copies that. */
export function shareButton(file) {
  const button = element("button", { type: "button", className: "quiet" }, "Copy a link that needs no token");
  button.onclick = () => share(file);
  const hint = `It is good for ${DAYS} days, and for as long as this file is here.`;
  return element("span", { className: "share" }, button, element("span", {}, hint));
}

async function share(file) {
  try {
    const made = await ask("/shares", { method: "POST", body: { name: file.name, lasts: DAYS * DAY_SECONDS } });
    const link = new URL(made.url, location.href).href;
    if (await copy(link)) notice("The link is copied. Whoever has it can download the file.");
    else notice(`The link is ${link}`, { seconds: 60 });
  } catch (error) {
    notice(`There is no link. ${explained(error)}`, { isTrouble: true, seconds: 15 });
  }
}
