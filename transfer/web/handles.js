// Ways to files that outlive the page, kept in this browser by the upload that they are for.

const KEPT_MS = 30 * 24 * 3_600_000;

/** Keep the handle of an upload's file. */
export async function keepHandle(uploadId, handle) {
  await inStore("readwrite", (store) => store.put({ handle, kept: Date.now() }, uploadId));
}

/** Forget it: there is nothing to go on with. */
export async function forgetHandle(uploadId) {
  await inStore("readwrite", (store) => store.delete(uploadId));
}

/** The handles of these uploads, as far as there are some. */
export async function handlesOf(uploadIds) {
  const found = new Map();
  await inStore("readonly", (store) => {
    for (const uploadId of uploadIds) {
      store.get(uploadId).onsuccess = ({ target: { result } }) => result && found.set(uploadId, result.handle);
    }
  });
  return found;
}

/** Forget those that nobody has used for a month. */
export async function forgetOldHandles() {
  await inStore("readwrite", (store) => {
    store.openCursor().onsuccess = ({ target: { result: cursor } }) => {
      if (cursor && Date.now() - cursor.value.kept > KEPT_MS) cursor.delete();
      cursor?.continue();
    };
  });
}

/** Do something with what is kept; null where the browser keeps nothing: then people choose files again. */
async function inStore(mode, act) {
  try {
    const database = await opened();
    try {
      const transaction = database.transaction("handles", mode);
      const asked = act(transaction.objectStore("handles"));
      await new Promise((over, failed) => {
        transaction.oncomplete = over;
        transaction.onabort = () => failed(transaction.error);
      });
      return asked?.result ?? null;
    } finally {
      database.close();
    }
  } catch (error) {
    console.info(`no ways to files are kept here: ${error}`);
    return null;
  }
}

function opened() {
  return new Promise((over, failed) => {
    const asked = indexedDB.open("towline", 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore("handles");
    asked.onsuccess = () => over(asked.result);
    asked.onerror = () => failed(asked.error);
  });
}
