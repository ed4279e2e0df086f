// Rows of the list: files and folders.

import { copy } from "./clipboard.js";
import { element } from "./elements.js";
import { icon } from "./icons.js";
import { announce, notice } from "./notices.js";
import { shareButton } from "./sharing.js";
import { lastSegment } from "./view.js";
import { digitsInWords, shortTime, sizeInWords, timeInWords } from "./wording.js";

/** The row of a folder, which `view` leads to. */
export function folderEntry(folder, view) {
  const link = element("a", { href: view.address }, element("span", { className: "name" }, lastSegment(folder)));
  const name = element("th", { scope: "row" }, element("div", { className: "named" }, icon("folder"), link));
  const body = element("tbody", { className: "folder" }, element("tr", {}, name, ...[1, 2, 3].map(() => element("td"))));
  body.dataset.folder = folder;
  return body;
}

/**
 * The row of a file. `below` is the folder whose name is left out; `remove(button, event)`, if there is one, deletes it;
 * `mayShare`: it can get a link for people without a token.
 */
export function fileEntry(file, { below, remove, mayShare }) {
  const shown = file.name.slice(below.length);
  const last = lastSegment(shown);
  const path = element("span", { className: "path" }, shown.slice(0, shown.length - last.length));
  const link = element("a", { href: file.url, download: "", title: "Download" }, path, element("span", { className: "name" }, last));
  const body = element("tbody", { className: "file" });
  const actions = [
    action("link", "Copy link", file, (button) => copyLink(file, button)),
    action("details", "Details", file, (button) => toggleDetails(body, button, () => details(file, mayShare))),
    ...(remove ? [action("delete", "Delete", file, remove)] : []),
  ];
  actions[1].ariaExpanded = "false";
  const row = element(
    "tr",
    {},
    element("th", { scope: "row" }, element("div", { className: "named" }, icon("file"), link)),
    element("td", { className: "size" }, sizeInWords(file.size)),
    element("td", { className: "time" }, moment(file.created, shortTime)),
    element("td", { className: "actions" }, element("div", {}, ...actions)),
  );
  body.append(row);
  return body;
}

function action(picture, label, file, act) {
  const button = element("button", { type: "button", className: `action ${picture}`, title: label }, icon(picture));
  button.ariaLabel = `${label}: ${lastSegment(file.name)}`;
  button.onclick = (event) => act(button, event);
  return button;
}

function moment(time, inWords) {
  return element("time", { dateTime: time, title: timeInWords(time) }, inWords(time));
}

async function copyLink(file, button) {
  const link = new URL(file.url, location.href).href;
  if (await copy(link)) confirmCopied(button, "The link is copied");
  else notice(`This browser lets no page copy. The link is ${link}`, { seconds: 60 });
}

async function copyDigest(file, button) {
  if (await copy(file.digest)) confirmCopied(button, "The digest is copied");
  else notice("This browser lets no page copy: select the digest, and copy it");
}

const COPIED_MS = 2_000;

function confirmCopied(button, sentence) {
  const before = button.querySelector("svg");
  announce(sentence);
  if (before.dataset.of === "copied") return;
  before.replaceWith(icon("copied"));
  button.classList.add("done");
  setTimeout(() => {
    button.classList.remove("done");
    button.querySelector("svg").replaceWith(before);
  }, COPIED_MS);
}

function toggleDetails(body, button, make) {
  const facts = body.querySelector(".facts");
  if (facts) facts.remove();
  else body.append(element("tr", { className: "facts" }, element("td", { colSpan: 4 }, make())));
  button.ariaExpanded = String(!facts);
}

function details(file, mayShare) {
  const copying = element("button", { type: "button", className: "action", title: "Copy digest" }, icon("copy"));
  copying.ariaLabel = `Copy the digest of ${lastSegment(file.name)}`;
  copying.onclick = () => copyDigest(file, copying);
  const digest = element("span", { className: "digest" }, element("code", {}, file.digest), copying);
  const facts = [
    ["Name", file.name],
    ["Digest", digest],
    ["Size", digitsInWords(file.size)],
    ["Type", file.content_type],
    ["Arrived", moment(file.created, timeInWords)],
    ...(file.modified ? [["Changed", moment(file.modified, timeInWords)]] : []),
    ["Owner", file.owner],
    ...Object.entries(file.metadata),
    ...(mayShare ? [["Share", shareButton(file)]] : []),
  ];
  return element("dl", {}, ...facts.flatMap(([term, fact]) => [element("dt", {}, term), element("dd", {}, fact)]));
}
