"use strict";
const answer = document.getElementById("answer"), seen = document.getElementById("seen");
let latest = 0;

function row(table, words) {
  const cells = table.insertRow();
  for (const word of words) cells.insertCell().textContent = word;
}

function show(said) {
  answer.replaceChildren();
  const line = answer.appendChild(document.createElement("p"));
  if (said.error) {
    line.textContent = said.error.message + " " + said.error.hint;
    return;
  }
  const share = (said.probability * 100).toFixed(1) + "%";
  line.className = "best";
  line.textContent = said.reason ? said.reason + "; the nearest is " + said.class + " (" + share + ")"
    : said.class + " (" + share + ")";
  const table = answer.appendChild(document.createElement("table"));
  for (const [name, probability] of Object.entries(said.probabilities).sort((a, b) => b[1] - a[1]))
    row(table, [name, (probability * 100).toFixed(1) + "%"]);
  if (said.hint) answer.appendChild(document.createElement("p")).textContent = said.hint;
}

async function classify(file) {
  const mine = ++latest;
  URL.revokeObjectURL(seen.src);
  seen.src = URL.createObjectURL(file);
  seen.hidden = false;
  answer.textContent = "…";
  let said;
  try {
    said = await (await fetch("predict", { method: "POST", body: file })).json();
  } catch {
    said = { error: { message: "The server does not answer.", hint: "Check that it is still running." } };
  }
  if (mine === latest) show(said);
}

document.querySelector("input").addEventListener("change", (event) => {
  if (event.target.files[0]) classify(event.target.files[0]);
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  if (event.dataTransfer.files[0]) classify(event.dataTransfer.files[0]);
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files[0]) classify(event.clipboardData.files[0]);
});
