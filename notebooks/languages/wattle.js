// Wattle for a Node worker, with nothing but http: publish, listen, ask, serve, put, progress. docs/bus.md tells the routes.
"use strict";
const fs = require("fs");
const http = require("http");

const env = process.env;
const door = JSON.parse(fs.readFileSync(env.WATTLE_CONNECTION)).http;
const run = `${env.WATTLE_WORKFLOW_NAME}@${env.WATTLE_RUN}`;
const me = env.WATTLE_WORKER_NAME;

// Where the coordinator listens: a Unix socket, or a port and its token in a file.
function way() {
  if (door.socket) return { socketPath: door.socket };
  const { port, token } = JSON.parse(fs.readFileSync(door.door));
  return { host: "127.0.0.1", port, headers: { Authorization: `token ${token}` } };
}

function send(method, path, data, onReply) {
  const { headers, ...where } = way();
  return new Promise((resolve, reject) => {
    const asked = http.request({ ...where, method, path, headers: { ...headers, "Content-Type": "application/json" } },
      (reply) => onReply(reply, resolve, reject));
    asked.on("error", reject);
    asked.end(data === undefined ? undefined : JSON.stringify(data));
  });
}

function call(method, path, data) {
  return send(method, path, data, (reply, resolve, reject) => {
    const pieces = [];
    reply.on("data", (piece) => pieces.push(piece));
    reply.on("end", () => {
      const text = Buffer.concat(pieces).toString();
      if (reply.statusCode < 300) return resolve(text ? JSON.parse(text) : null);
      const told = JSON.parse(text);
      reject(Object.assign(new Error(`${told.message} (${told.hint})`), { code: told.code }));
    });
  });
}

// Server-sent events, one after the other. Resolves when the stream has ended; a coordinator that is replaced is asked anew.
async function follow(path, each) {
  for (;;) {
    const ended = await send("GET", path, undefined, (reply, resolve, reject) => {
      if (reply.statusCode !== 200) return reject(new Error(`${path}: ${reply.statusCode}`));
      let text = "", chain = Promise.resolve();
      reply.setEncoding("utf8");
      reply.on("data", (piece) => {
        text += piece;
        for (let at; (at = text.indexOf("\n\n")) >= 0; text = text.slice(at + 2)) {
          const lines = text.slice(0, at).split("\n");
          const event = (lines.find((line) => line.startsWith("event: ")) || "event: message").slice(7);
          const data = lines.find((line) => line.startsWith("data: "));
          if (event === "end") { chain.then(() => resolve(true), reject); }
          else if (event === "message" && data) { chain = chain.then(() => each(JSON.parse(data.slice(6)))); chain.catch(reject); }
        }
      });
      reply.on("close", () => chain.then(() => resolve(false), reject));
    });
    if (ended) return;
    await new Promise((again) => setTimeout(again, 200));
  }
}

const service = (address) => `/api/wattle/services/${run}/${address}`;
const own = (rest) => `/api/workers/${run}/${me}/${rest}`;

module.exports = {
  input: (port) => env[`WATTLE_INPUT_${port.toUpperCase()}`],
  publish: (name, data) => call("PUT", service(`${me}/${name}`), data),
  end: (name) => call("DELETE", service(`${me}/${name}`)),
  ask: (address, data = null, seconds = 5) => call("POST", `${service(address)}?timeout=${seconds}`, data),
  listen: (address, each) => follow(service(address), (told) => ("listening" in told ? undefined : each(told.data, told))),
  serve: (name, answer) => follow(`${service(`${me}/${name}`)}?serve=true`, async (asked) => {
    if ("serving" in asked) return;
    const path = `/api/wattle/answers/${asked.id}`;
    try { await call("PUT", path, (await answer(asked.data)) ?? null); }
    catch (error) { await call("POST", path, { message: String(error.message || error) }); }
  }),
  put: (port, value) => call("PUT", own(`outputs/${port}`), { value, attempt: Number(env.WATTLE_ATTEMPT) }),
  progress: (fraction, text = "") => call("PUT", own("progress"), { fraction, text }),
};
