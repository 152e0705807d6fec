/** The dialog that asks for the token, if the server requires one. */
import { say } from "./language.js";

const find = (id) => document.getElementById(id);

/** Returns the entered token, or null; `refused`: the last token was rejected. */
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
  event.preventDefault(); // forms are forbidden by the security policy
  find("token-dialog").close("go");
});
