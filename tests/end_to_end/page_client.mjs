// Runs the page's own client (transfer/web/client.js) where there is no page:
//   echo '{"url": …, "credentials": …}' | node --experimental-websocket page_client.mjs FOLDER FILE…
// FOLDER has the modules. What happens is printed, an object a line.
import { openAsBlob, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { pathToFileURL } from "node:url";

const [folder, ...paths] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(join(folder, name)));
const { Client } = await load("client.js");
const { digestOf } = await load("sha256.js");

const options = JSON.parse(readFileSync(0, "utf8")); // a token has no place in a command
const say = (fields) => console.log(JSON.stringify(fields));
const client = new Client({ ...options, digestOf, pause: (milliseconds) => pause(Math.min(milliseconds, 20)) });
for (const path of paths) {
  const file = await openAsBlob(path);
  file.lastModified = statSync(path).mtimeMs;
  const progress = (durable) => say({ durable });
  const waiting = (error) => say({ waiting: error.message });
  try {
    say({ complete: await client.upload(file, { name: basename(path), progress, waiting }) });
  } catch (error) {
    say({ refused: error.code, message: error.message });
  }
}
client.close();
