// Runs the page's own client (transfer/web/client.js) where there is no page:
//   node --experimental-websocket page_client.mjs FOLDER FILE…
// FOLDER has the modules. The first line of the input has the options: {"url": …, "token": …, "connections": 1}. Each
// further one says what to do with a file, once its connection is there: {"pause": "a.bin"}. What happens is printed, an
// object a line.
import { openAsBlob, statSync } from "node:fs";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [folder, ...paths] = process.argv.slice(2);
const { Queue, upload } = await import(pathToFileURL(join(folder, "client.js")));

const say = (fields) => console.log(JSON.stringify(fields));
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { alone, uploadId, mustMatch, pauseAt, ...options } = JSON.parse((await lines.next()).value); // a token has no place in a command
options.longestPause = 20;

async function opened(path) {
  const file = await openAsBlob(path);
  file.lastModified = statSync(path).mtimeMs;
  return file;
}

function told({ name, state, durable, error, entry }) {
  if (state === "done") return { complete: entry };
  if (state === "failed") return { refused: error.code, message: error.message };
  if (state === "waiting") return { waiting: error.message };
  return state === "sending" ? { name, state, durable } : { name, state };
}

/** Each file by the function that sends one, which is told to stop by a line of input. */
async function sendAlone(path) {
  const stopping = new AbortController();
  lines.next().then(({ value }) => value && stopping.abort(new Error(value)));
  const onProgress = (durable) => say({ durable });
  const onWaiting = (error) => say({ waiting: error.message });
  const { signal } = stopping;
  const sent = upload(await opened(path), { ...options, uploadId, name: basename(path), signal, onProgress, onWaiting });
  await sent.then((complete) => say({ complete }), (error) => say({ refused: error.code, message: error.message }));
}

/** Say how it stands; who is told to, pauses at once when it stands so for the first time. */
function hear(task) {
  say(told(task));
  if (task.state !== pauseAt || paused.has(task)) return;
  paused.add(task);
  task.pause();
}
const paused = new Set();

/** All of them by a queue. */
async function sendTogether() {
  const queue = new Queue({ connections: 1, ...options });
  const tasks = new Map();
  for (const path of paths) {
    const name = basename(path);
    tasks.set(name, queue.add(await opened(path), { name, uploadId, mustMatch, changed: hear }));
  }
  for await (const line of lines) {
    const [[what, name]] = Object.entries(JSON.parse(line));
    await tasks.get(name)[what]();
    say({ [what]: name });
  }
}

if (alone) for (const path of paths) await sendAlone(path);
else await sendTogether();
