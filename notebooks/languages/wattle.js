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

function once(method, path, data, onReply) {
  const { headers, ...where } = way();
  return new Promise((resolve, reject) => {
    const asked = http.request({ ...where, method, path, headers: { ...headers, "Content-Type": "application/json" } },
      (reply) => onReply(reply, resolve, reject));
    asked.on("error", reject);
    asked.end(data === undefined ? undefined : JSON.stringify(data));
  });
}

// A coordinator that was killed has a successor within seconds: who finds nobody at the door tries again.
const AWAY = new Set(["ECONNREFUSED", "ECONNRESET", "ENOENT", "EPIPE", "starting", "unreachable"]), PATIENCE = 20000, PAUSE = 200;

async function send(method, path, data, onReply) {
  for (const end = Date.now() + PATIENCE; ;) {
    try { return await once(method, path, data, onReply); }
    catch (error) { if (!AWAY.has(error.code) || Date.now() > end) throw error; }
    await new Promise((again) => setTimeout(again, PAUSE));
  }
}

function text(reply, done) {
  const pieces = [];
  reply.on("data", (piece) => pieces.push(piece));
  reply.on("end", () => done(Buffer.concat(pieces).toString()));
}

// Every refusal is {code, message, hint}.
function refusal(told) {
  const { code, message, hint } = JSON.parse(told);
  return Object.assign(new Error(`${message} (${hint})`), { code });
}

function call(method, path, data) {
  return send(method, path, data, (reply, resolve, reject) => text(reply, (told) => {
    if (reply.statusCode < 300) resolve(told ? JSON.parse(told) : null);
    else reject(refusal(told));
  }));
}

// Server-sent events, one after the other, to the end; after a change of coordinators they are asked for anew.
async function follow(path, each) {
  let ended = false;
  while (!ended) {
    ended = await send("GET", path, undefined, (reply, resolve, reject) => {
      if (reply.statusCode !== 200) return text(reply, (told) => reject(refusal(told)));
      let rest = "", chain = Promise.resolve();
      reply.setEncoding("utf8");
      reply.on("data", (piece) => {
        rest += piece;
        for (let at; (at = rest.indexOf("\n\n")) >= 0; rest = rest.slice(at + 2)) {
          const lines = rest.slice(0, at).split("\n");
          const field = (name) => (lines.find((line) => line.startsWith(`${name}: `)) || "").slice(name.length + 2);
          if (field("event") === "end") chain.then(() => resolve(true), reject);
          else if (!field("event") && field("data")) chain = chain.then(() => each(JSON.parse(field("data"))));
        }
      });
      reply.on("close", () => chain.then(() => resolve(false), reject));
    });
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
