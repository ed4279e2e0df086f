// Elements of a page. Text from outside becomes text, never markup: nothing here, or anywhere, parses HTML.

/** A new element with these properties and children; text among the children stays text. */
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** The element of the page with this id. */
export function byId(id) {
  return document.getElementById(id);
}

/** Show these elements, or hide them. */
export function show(visible, ...elements) {
  for (const one of elements) one.hidden = !visible;
}

/** Make these the children of `parent`. Those that stay are not touched, and so keep the focus. */
export function reconcile(parent, children) {
  const staying = new Set(children);
  for (const child of [...parent.children]) if (!staying.has(child)) child.remove();
  children.forEach((child, place) => {
    if (parent.children[place] !== child) parent.insertBefore(child, parent.children[place] ?? null);
  });
}
