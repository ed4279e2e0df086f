// Files and folders that are dragged over a page.

import { dropped } from "./picking.js";

/** Take what is dropped anywhere on the page, while `isOpen()`. The page's root has the class `over` meanwhile. */
export function listenForDrops({ isOpen, take }) {
  const over = (isOver) => (event) => {
    event.preventDefault(); // or a file takes the page's place
    document.documentElement.classList.toggle("over", isOver && isOpen() && hasFiles(event));
  };
  document.ondragenter = document.ondragover = over(true);
  document.ondragleave = (event) => event.relatedTarget === null && over(false)(event);
  document.ondrop = (event) => {
    over(false)(event);
    if (isOpen() && hasFiles(event)) take(dropped(event.dataTransfer));
  };
}

function hasFiles(event) {
  return event.dataTransfer?.types.includes("Files") ?? false;
}
