// SPDX-License-Identifier: Apache-2.0
// The official `openai` package, unmodified and with its defaults, for test_npm.py.
//
// stdin: {"package": folder of the package, "baseURL": …, "jobs": {NAME: {"call": "chat.completions.create", "args": […], "client": {…}}}}
// stdout: {NAME: {"value" | "chunks" | "error", "headers", "ms"}}; all jobs run at the same time.
//
// Of a job: "client" adds options of the client, "abort_after": N aborts a stream after N chunks, "abort_ms" a request after that time,
// "finish": waits for that method of what the call returned ("finalChatCompletion") in place of what it returned.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const order = JSON.parse(readFileSync(0, "utf8"));
const { default: OpenAI } = await import(pathToFileURL(createRequire(order.package + "/").resolve("openai")));

function told(e) {
  return { class: e?.constructor?.name, message: e?.message, status: e?.status, code: e?.code, type: e?.type, param: e?.param,
    request_id: e?.requestID, error: e?.error, headers: e?.headers ? Object.fromEntries(e.headers) : undefined };
}

async function run(job) {
  const began = performance.now();
  const out = { chunks: undefined };
  try {
    const client = new OpenAI({ apiKey: "sk-client", baseURL: order.baseURL, ...job.client });
    const names = job.call.split(".");
    const method = names.pop();
    const resource = names.reduce((at, name) => at[name], client);
    const args = [...job.args];
    let aborting;
    if (job.abort_ms !== undefined) {
      aborting = new AbortController();
      args[1] = { ...args[1], signal: aborting.signal };
      setTimeout(() => aborting.abort(), job.abort_ms);
    }
    const asked = resource[method](...args);
    if (job.finish) {
      out.value = await asked[job.finish]();
    } else if (typeof asked.withResponse === "function") {
      const { data, response, request_id } = await asked.withResponse();
      out.headers = Object.fromEntries(response.headers);
      out.request_id = request_id;
      if (data?.controller instanceof AbortController) {
        out.chunks = [];
        for await (const chunk of data) {
          out.chunks.push(chunk);
          if (out.chunks.length === job.abort_after) data.controller.abort();
        }
      } else if (Array.isArray(data?.data) && data.object === "list" && job.call === "models.list") {
        out.value = [];
        for await (const model of data) out.value.push(model);
      } else {
        out.value = data;
      }
    } else {
      out.value = await asked;
    }
  } catch (e) {
    out.error = told(e);
  }
  out.ms = performance.now() - began;
  return out;
}

const names = Object.keys(order.jobs);
const results = await Promise.all(names.map((name) => run(order.jobs[name])));
process.stdout.write(JSON.stringify(Object.fromEntries(names.map((name, i) => [name, results[i]]))));
