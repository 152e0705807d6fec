/** The question for a token, where the server wants one. */
import { say } from "./language.js";

const find = (id) => document.getElementById(id);

/** Returns the typed token, or null; `refused` is true if the last one was wrong. */
export function askForToken(refused) {
  const dialog = find("token-dialog");
  find("token-note").textContent = say(refused ? "token.wrong" : "token.text");
  find("token").value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((done) => {
    dialog.addEventListener("close", () => done(dialog.returnValue === "go" ? find("token").value.trim() || null : null), { once: true });
  });
}

find("token-form").addEventListener("submit", (event) => {
  event.preventDefault(); // the page sends no forms
  find("token-dialog").close("go");
});
