/**
 * Predicts gender and age of WAV files in Node: node predict.mjs MODEL FILE.wav…
 *
 * MODEL is the folder of `voxtrait bundle export BUNDLE --to onnx MODEL`. Needs the packages voxtrait-web and
 * onnxruntime-web. Prints one JSON object a file.
 */

import { readFile } from "node:fs/promises";

import * as ort from "onnxruntime-web";
import { load } from "voxtrait-web";

/** Reads a WAV file of 16-bit or 32-bit float samples: { channels, rate }. */
function decodeWav(file) {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  let format = null;
  for (let at = 12; at + 8 <= view.byteLength; at += 8 + view.getUint32(at + 4, true) + (view.getUint32(at + 4, true) % 2)) {
    const kind = file.toString("latin1", at, at + 4);
    if (kind === "fmt ") {
      const [code, bits] = [view.getUint16(at + 8, true), view.getUint16(at + 22, true)];
      const number = code === 0xfffe ? view.getUint16(at + 32, true) : code; // 1 for integers, 3 for floats
      format = { number, count: view.getUint16(at + 10, true), rate: view.getUint32(at + 12, true), bits };
    } else if (kind === "data" && format) {
      const { number, count, rate, bits } = format;
      const sample = { "1/16": (place) => view.getInt16(place, true) / 32768, "3/32": (place) => view.getFloat32(place, true) }[`${number}/${bits}`];
      if (!sample) throw new Error(`Got samples of ${bits} bits, format ${number}. Expected 16-bit integers or 32-bit floats.`);
      const length = Math.floor(Math.min(view.getUint32(at + 4, true), view.byteLength - at - 8) / (count * (bits / 8)));
      const channels = Array.from({ length: count }, (_, channel) =>
        Float32Array.from({ length }, (_, frame) => sample(at + 8 + (frame * count + channel) * (bits / 8))),
      );
      return { channels, rate };
    }
  }
  throw new Error("This is not a WAV file.");
}

const [folder, ...files] = process.argv.slice(2);
ort.env.wasm.numThreads = 1;
const model = await load(folder, { ort, session: { logSeverityLevel: 3 } });
for (const path of files) {
  const { channels, rate } = decodeWav(await readFile(path));
  const { embedding, ...prediction } = await model.predict(channels, rate);
  console.log(JSON.stringify({ path, ...prediction }));
}
