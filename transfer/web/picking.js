// What people choose or drop: files, and folders with all that is in them, each as `{ name, file, handle }`, or with an
// `error` in place of the file. A name has `/` between its segments. A handle, where the browser has some, is a way to
// the file that outlives the page.

/** What was chosen in an input. */
export function chosenIn(input) {
  const found = [...input.files].map((file) => ({ name: file.webkitRelativePath || file.name, file }));
  input.value = ""; // so that the same file can be chosen again
  return found;
}

/** Let people choose files with the browser's own dialogue, which gives handles; null where it has none. */
export function handlePicker(isFolder) {
  if (isFolder) return window.showDirectoryPicker ? pickFolder : null;
  return window.showOpenFilePicker ? pickFiles : null;
}

/** What was dropped. To be called while the event is handled; what is in folders is looked for later. */
export function dropped(transfer) {
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const waysIn = items.map((item) => ({
    handle: item.getAsFileSystemHandle?.().catch(() => null), // what is no file of a disk has none
    entry: item.webkitGetAsEntry?.(),
    file: item.getAsFile(),
  }));
  return allIn(waysIn);
}

/** The file that a handle leads to, when the person says yes. Rejects when it is not there, or they say no. */
export async function fileOf(handle) {
  const asked = { mode: "read" };
  const before = await handle.queryPermission(asked);
  const answer = before === "granted" ? before : await handle.requestPermission(asked);
  if (answer !== "granted") throw new Error("the browser may not read the file");
  return handle.getFile();
}

async function* pickFiles() {
  const handles = await unlessLeft(window.showOpenFilePicker({ multiple: true }));
  for (const handle of handles) yield* inHandle(handle, handle.name);
}

async function* pickFolder() {
  for (const handle of await unlessLeft(window.showDirectoryPicker())) yield* inHandle(handle, handle.name);
}

/** What a dialogue gave; nothing when it was left. */
async function unlessLeft(asking) {
  try {
    return [await asking].flat();
  } catch (error) {
    if (error.name === "AbortError") return [];
    throw error;
  }
}

async function* allIn(waysIn) {
  for (const { handle, entry, file } of waysIn) {
    const known = await handle;
    if (known) yield* inHandle(known, known.name);
    else if (entry) yield* inEntry(entry, entry.name);
    else if (file) yield { name: file.name, file };
  }
}

async function* inHandle(handle, name) {
  try {
    if (handle.kind === "file") yield { name, file: await handle.getFile(), handle };
    else for await (const child of handle.values()) yield* inHandle(child, `${name}/${child.name}`);
  } catch (error) {
    yield { name, error };
  }
}

async function* inEntry(entry, name) {
  try {
    if (entry.isFile) yield { name, file: await new Promise((found, failed) => entry.file(found, failed)) };
    else for await (const child of childrenOf(entry)) yield* inEntry(child, `${name}/${child.name}`);
  } catch (error) {
    yield { name, error };
  }
}

async function* childrenOf(folder) {
  const reader = folder.createReader();
  for (;;) {
    const some = await new Promise((found, failed) => reader.readEntries(found, failed)); // a hundred, or none any more
    if (!some.length) return;
    yield* some;
  }
}
