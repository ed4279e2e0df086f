// The pictures of buttons and rows, drawn as lines. They say nothing that words beside them do not say.

const SVG = "http://www.w3.org/2000/svg";
const LINES = {
  copied: "M5 13l4 4L19 7",
  copy: "M9 11a2 2 0 0 1 2-2h7a2 2 0 0 1 2 2v7a2 2 0 0 1-2 2h-7a2 2 0 0 1-2-2zM5 15a1 1 0 0 1-1-1V6a2 2 0 0 1 2-2h8a1 1 0 0 1 1 1",
  details: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 11v5M12 8h.01",
  delete: "M4 7h16M10 11v6M14 11v6M6 7l1 12a2 2 0 0 0 2 2h6a2 2 0 0 0 2-2l1-12M9 7V5a1 1 0 0 1 1-1h4a1 1 0 0 1 1 1v2",
  down: "M12 5v14M6 13l6 6 6-6",
  file: "M14 3H7a2 2 0 0 0-2 2v14a2 2 0 0 0 2 2h10a2 2 0 0 0 2-2V8zM14 3v5h5",
  folder: "M3 7a2 2 0 0 1 2-2h4l2 2.5h8a2 2 0 0 1 2 2V17a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2z",
  link: "M10 14a4 4 0 0 0 6 .4l3-3a4 4 0 0 0-5.7-5.7L12 7M14 10a4 4 0 0 0-6-.4l-3 3a4 4 0 0 0 5.7 5.7L12 17",
  next: "M9 6l6 6-6 6",
  up: "M12 19V5M6 11l6-6 6 6",
};

/** A new picture; its colour is that of the text around it. */
export function icon(name) {
  const picture = document.createElementNS(SVG, "svg");
  const line = document.createElementNS(SVG, "path");
  const attributes = { class: "icon", "data-of": name, viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" };
  for (const [attribute, value] of Object.entries(attributes)) picture.setAttribute(attribute, value);
  line.setAttribute("d", LINES[name]);
  picture.append(line);
  return picture;
}
