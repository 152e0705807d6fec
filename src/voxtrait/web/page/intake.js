/** Files that are dropped, pasted or selected; from folders, only files with an audio extension. */

// the same extensions as `voxtrait FOLDER`
const AUDIO = /\.(wav|mp3|flac|ogg|oga|opus|m4a|mp4|webm|aac|aiff?|au|caf|wma|mka|mkv|mov|amr)$/i;

const named = (file, name) => ({ file, name: name || file.name });

/** The audio files of a folder, sorted by name, and the number of other files. */
function sifted(files) {
  const audio = files.filter(({ name }) => AUDIO.test(name) && !/(^|\/)\./.test(name));
  const order = new Intl.Collator("en", { numeric: true });
  audio.sort((a, b) => order.compare(a.name, b.name));
  return { files: audio, skipped: files.length - audio.length };
}

async function walk(entry, found) {
  if (entry.isFile) {
    const file = await new Promise((done) => entry.file(done, () => done(null)));
    if (file) found.push(named(file, entry.fullPath.replace(/^\//, "")));
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((done) => reader.readEntries(done, () => done([]))); // at most 100 at a time
    if (!some.length) return;
    for (const one of some) await walk(one, found);
  }
}

/** Files and folders of a drop or a paste: `{ files, skipped }`. */
async function given(transfer) {
  // read the entries before the first await: afterwards the browser clears the transfer
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const entries = items.map((item) => item.webkitGetAsEntry?.() ?? null);
  if (!entries.some((entry) => entry?.isDirectory)) return { files: [...transfer.files].map((file) => named(file)), skipped: 0 };
  const loose = [];
  const inside = [];
  for (const entry of entries) await walk(entry, entry.isDirectory ? inside : loose);
  const { files, skipped } = sifted(inside);
  return { files: [...loose, ...files], skipped };
}

/** Call `take({ files, skipped })` with new files, and `over(true)` while files are dragged over the page. */
export function intake({ chooser, folderChooser, take, over }) {
  chooser.addEventListener("change", () => {
    const files = [...chooser.files].map((file) => named(file));
    chooser.value = ""; // so that the same file can be selected again
    if (files.length) take({ files, skipped: 0 });
  });
  folderChooser.addEventListener("change", () => {
    const files = [...folderChooser.files].map((file) => named(file, file.webkitRelativePath));
    folderChooser.value = "";
    take(sifted(files));
  });
  let depth = 0; // number of nested elements that the drag has entered
  const carries = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  const listen = (name, then) => document.addEventListener(name, (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    then(event);
  });
  listen("dragenter", () => over(++depth > 0));
  listen("dragleave", () => over((depth = Math.max(0, depth - 1)) > 0));
  listen("dragover", (event) => (event.dataTransfer.dropEffect = "copy"));
  listen("drop", async (event) => {
    over((depth = 0) > 0);
    take(await given(event.dataTransfer));
  });
  document.addEventListener("paste", async (event) => {
    if (!event.clipboardData?.files.length) return;
    event.preventDefault();
    take(await given(event.clipboardData));
  });
}
