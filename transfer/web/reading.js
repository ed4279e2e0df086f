// Reads files, and says in words when one cannot be read.

/** The bytes of a Blob. Rejects when the file has changed, or gone, since it was chosen. */
export async function bytesOf(blob) {
  try {
    return await blob.arrayBuffer();
  } catch (error) {
    throw new Error("the file cannot be read: it was changed or moved meanwhile, or is no file; choose it again", {
      cause: error,
    });
  }
}
