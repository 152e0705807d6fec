/**
 * Opens the site in Firefox, and predicts files: node firefox.mjs FIREFOX ADDRESS FILES. Prints a line of JSON: the
 * predictions, and the text of the page's card of the last file. Then waits until its input is closed, reloads the page,
 * and prints the same again. `wrong` has errors, and requests to other addresses.
 */

import { once } from "node:events";

import puppeteer from "puppeteer-core";

const [executablePath, address, ...files] = process.argv.slice(2);
const browser = await puppeteer.launch({ browser: "firefox", executablePath, headless: true });
try {
  const page = await browser.newPage();
  const wrong = [];
  page.on("console", (said) => said.type() === "error" && wrong.push(said.text()));
  page.on("pageerror", (error) => wrong.push(error.message));
  page.on("request", (request) => new RegExp(`^(blob:|data:|${address})`).test(request.url()) || wrong.push(request.url()));
  await page.goto(address);
  await used(page, wrong);
  await page.evaluate(() => navigator.serviceWorker.ready.then(() => true));
  await once(process.stdin.resume(), "end");
  await page.reload();
  await used(page, wrong);
} finally {
  await browser.close();
}

/** Predicts the files on the opened page, and prints what was found. */
async function used(page, wrong) {
  await page.waitForSelector("body[data-ready=yes]");
  const input = await page.$("#files");
  await input.uploadFile(files.at(-1));
  await page.waitForSelector("#single .card.ok");
  const card = await page.$eval("#single .card", (one) => one.innerText);
  const private_ = await page.$eval("#private", (one) => one.textContent);
  // an input that the page does not know gives access to the files, and the page's own module predicts them
  await page.evaluate(() => document.body.append(Object.assign(document.createElement("input"), { type: "file", id: "more", multiple: true })));
  await (await page.$("#more")).uploadFile(...files);
  const answers = await page.evaluate(async () => {
    const { predict } = await import("./static/connection.js");
    const found = [];
    for (const file of document.getElementById("more").files) found.push(await predict(file, file.name));
    return found;
  });
  console.log(JSON.stringify({ answers, card, private: private_, wrong }));
}
