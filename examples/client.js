/**
 * Sends files to a voxtrait server: node examples/client.js [--server URL] [--token TOKEN] FILE…
 *
 * `voxtrait.predict` and `voxtrait.live` use only fetch, FormData and WebSocket, so they run in browsers and in Node 18
 * (`live`: 22) or newer. In a browser, the page must come from the voxtrait server, which refuses requests from other
 * sites.
 */

/**
 * Returns the prediction for a File or Blob. If the server is busy, tries again after the time that it requests. If the
 * server refuses the file, throws an Error with `code` and `status`.
 */
async function predict(file, { server = "http://127.0.0.1:8000", token = null, name = file.name ?? "clip", tries = 8 } = {}) {
  for (let tried = 1; ; tried += 1) {
    const form = new FormData();
    form.append("file", file, name);
    const response = await fetch(new URL("/v1/predict", server), {
      method: "POST",
      body: form,
      headers: token ? { Authorization: `Bearer ${token}` } : {},
    });
    const said = await response.json();
    if (response.ok) return said;
    if (![429, 503].includes(response.status) || tried === tries) {
      throw Object.assign(new Error(said.error.message), { code: said.error.code, status: response.status });
    }
    await new Promise((done) => setTimeout(done, 1000 * Number(response.headers.get("Retry-After") ?? 1)));
  }
}

/**
 * Returns the final prediction for a live signal. `blocks` yields Float32Arrays of at most a second each. `onEstimate` is
 * called with the current estimate after every second of audio.
 */
function live(blocks, samplingRate, { server = "http://127.0.0.1:8000", token = null, onEstimate = () => {} } = {}) {
  return new Promise((done, failed) => {
    const address = new URL("/v1/live", server);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = token ? new WebSocket(address, ["voxtrait", `token.${token}`]) : new WebSocket(address);
    socket.onopen = async () => {
      socket.send(JSON.stringify({ sampling_rate: samplingRate }));
      for await (const block of blocks) socket.send(block);
      socket.send(JSON.stringify({ end: true }));
    };
    socket.onmessage = ({ data }) => {
      const said = JSON.parse(data);
      if (said.type === "estimate") onEstimate(said.estimate);
      if (said.type === "final") done(said.prediction);
      if (said.type === "error") failed(Object.assign(new Error(said.error.message), { code: said.error.code }));
    };
    socket.onclose = () => failed(new Error("the connection was closed before the prediction"));
  });
}

async function main() {
  const [{ readFile }, { basename }, { parseArgs }] = await Promise.all([
    import("node:fs/promises"), import("node:path"), import("node:util"),
  ]);
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { server: { type: "string", default: "http://127.0.0.1:8000" }, token: { type: "string" } },
  });
  for (const path of positionals) {
    try {
      console.log(JSON.stringify(await predict(new Blob([await readFile(path)]), { ...values, name: basename(path) })));
    } catch (error) {
      console.log(JSON.stringify({ path: basename(path), error: { code: error.code, message: error.message } }));
      process.exitCode = 1;
    }
  }
}

globalThis.voxtrait = { predict, live };
if (typeof process !== "undefined" && /[\\/]client\.js$/.test(process.argv[1] ?? "")) main();
