// Text for the clipboard, also where a page may not use that: browsers let only pages over TLS, or of this machine.

import { element } from "./elements.js";

/** Copy this text. Returns whether it worked. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copySelected(text);
  }
}

function copySelected(text) {
  const field = element("textarea", { className: "heard", value: text, readOnly: true, ariaLabel: "copied text" });
  const focused = document.activeElement;
  document.body.append(field);
  field.select();
  try {
    return document.execCommand("copy");
  } finally {
    field.remove();
    focused?.focus();
  }
}
