// A Towline client written from docs/protocol.md alone, on nothing but Node itself. Node 20 wants the option:
//   node --experimental-websocket second_client.mjs http://127.0.0.1:8000 FILE [NAME]
import { createHash } from "node:crypto";
import { on } from "node:events";
import { createReadStream, statSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";

const [server, path, name = path.split("/").pop()] = process.argv.slice(2);
let upload = {}; // what the header says beside name and size: from the first `ready` on, upload_id and lease

async function attempt(socket) {
  const messages = on(socket, "message", { close: ["close"] });
  async function next(type) { // the next message of this type; others are passed over, errors and a break are thrown
    const { done, value } = await messages.next();
    const message = done ? { type: "close" } : JSON.parse(value[0].data);
    if (["error", "missing", "close"].includes(message.type)) throw message;
    return message.type === type || message.type === "complete" ? message : next(type);
  }
  await new Promise((opened, closed) => Object.assign(socket, { onopen: opened, onclose: closed }));
  socket.send(JSON.stringify({ type: "upload", name, size: statSync(path).size, ...upload }));
  let answer = await next("ready"); // or `complete`, when all was there before the last break
  if (answer.upload_id) upload = { upload_id: answer.upload_id, lease: answer.lease, resume: upload.resume };
  let { offset = answer.file?.size, window, chunk_size } = answer, acked = offset, position = 0;
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: chunk_size })) {
    const unsent = chunk.subarray(Math.max(0, offset - position)); // what is durable already is only hashed
    position += chunk.length;
    hash.update(chunk);
    while (unsent.length && position - acked > window) ({ offset: acked, window = window } = await next("ack"));
    if (unsent.length) socket.send(unsent);
  }
  const digest = "sha256:" + hash.digest("hex");
  if (answer.type === "ready") socket.send(JSON.stringify({ type: "eof", digest }));
  if (answer.type === "ready") answer = await next("complete");
  if (answer.file.digest !== digest) throw { code: "wrong_file", message: `the server has ${answer.file.digest}` };
  return { offset, sent: position - offset, digest };
}

for (let result; !result; ) {
  const socket = new WebSocket(server.replace(/^http/, "ws") + "/ws", "towline.v1");
  try {
    result = await attempt(socket);
    console.log(JSON.stringify(result));
  } catch (error) {
    if (error.code === "digest_mismatch" && upload.resume !== false) upload = { resume: false }; // start over, once
    else if (error.type === "error" && !error.retryable && !error.missing) throw new Error(error.message);
    else if (!error.type) throw error;
    else await pause(500);
  } finally {
    socket.close();
  }
}
