// What a page has for sending files, before there are any.

import { element } from "./elements.js";

/** Fills a section; returns the elements that something is to be done with. */
export function controls(section) {
  const pick = hiddenInput("pick", "Files to send", { multiple: true });
  const pickFolder = hiddenInput("pick-folder", "A folder to send", { multiple: true, webkitdirectory: true });
  const pickAgain = hiddenInput("pick-again", "The same file again");
  const choose = element("button", { type: "button", id: "choose" }, "Choose files");
  const isFolderKnown = "webkitdirectory" in pickFolder;
  const asFolder = { type: "button", id: "choose-folder", className: "quiet", hidden: !isFolderKnown };
  const chooseFolder = element("button", asFolder, "Choose a folder");
  const hint = element("span", { className: "hint" }, "or drop files and folders anywhere on this page");
  const overall = element("div", { id: "overall", hidden: true });
  const list = element("ul", { id: "sent", ariaLabel: "Files that are sent" });
  const picking = element("div", { className: "picking" }, choose, chooseFolder, hint, pick, pickFolder, pickAgain);
  section.append(picking, overall, list);
  return { choose, chooseFolder, pick, pickFolder, pickAgain, overall, list };
}

// People use the buttons.
function hiddenInput(id, ariaLabel, properties) {
  return element("input", { type: "file", id, hidden: true, ariaLabel, ...properties });
}
