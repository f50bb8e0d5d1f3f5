// The page: it checks itself, takes a picture, and shows the answer.
const byId = id => document.getElementById(id);

function say(state, text) {
  document.body.dataset.state = state;
  byId("status").textContent = text;
}

function percent(share) {
  if (share > 0.999) return "over 99.9%";
  return share < 0.001 ? "under 0.1%" : `${(100 * share).toFixed(1)}%`;
}

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function wordsFor(model, answer) {
  const name = model.shown[answer.best], share = percent(answer.probabilities[answer.best]);
  if (answer.reason === "none of these") {
    return ["None of these", `This picture is unlike those that the model learned from. The nearest class is ${name} (${share}).`];
  }
  if (answer.reason === "not sure") {
    const limit = percent(model.limits.confidence);
    return ["Not sure", `${name} is the most probable, with ${share}. This model answers only if the probability is at least ${limit}.`];
  }
  return [name, `The probability is ${share}.`];
}

const SHOWN = 5; // classes

function showAnswer(model, answer, picture) {
  const section = byId("answer"), [said, why] = wordsFor(model, answer);
  section.hidden = false;
  if (answer.reason) section.dataset.doubt = answer.reason;
  else delete section.dataset.doubt;
  byId("said").textContent = said;
  byId("why").textContent = [why, answer.hint].filter(Boolean).join(" ");
  const order = answer.probabilities.map((share, place) => [share, place]).sort(([one], [other]) => other - one);
  byId("bars").replaceChildren(...order.slice(0, SHOWN).map(([share, place], rank) => {
    // Two classes have a color each; of more, the most probable has one.
    const color = model.shown.length === 2 ? ["first", "second"][place] : rank ? "" : "second";
    const bar = element("i", { className: color }), track = element("div", { className: "bar" }, bar);
    bar.style.width = `${100 * share}%`;
    if (!rank && model.limits?.confidence > 0) {
      const mark = element("b", { title: `This model answers only if the probability is at least ${percent(model.limits.confidence)}.` });
      mark.style.left = `${100 * model.limits.confidence}%`;
      track.append(mark);
    }
    return element("li", {}, element("bdi", { textContent: model.shown[place] }), element("span", { textContent: percent(share) }), track);
  }));
  const { width, height, channels, data } = picture, pixels = new ImageData(width, height);
  for (let at = 0; at < width * height; at++) {
    for (let k = 0; k < 3; k++) pixels.data[4 * at + k] = data[channels * at + (channels === 3 ? k : 0)];
    pixels.data[4 * at + 3] = 255;
  }
  const canvas = byId("seen");
  [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  byId("size").textContent = `What the model sees: ${width} × ${height} pixels`;
}

async function showGiven(blob) {
  const canvas = byId("given");
  canvas.parentElement.hidden = true;
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob);
  } catch {
    return; // of a kind that is decoded here, and not by the browser
  }
  const scale = Math.min(1, 448 / Math.max(bitmap.width, bitmap.height));
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height].map(side => Math.max(1, Math.round(side * scale)));
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  canvas.parentElement.hidden = false;
}

async function answerFile(model, blob) {
  const picture = seenBy(model, await decoded(new Uint8Array(await blob.arrayBuffer()), model.range));
  await new Promise(done => setTimeout(done)); // let the page draw
  return { answer: model.answer(picture), picture };
}

function readModel() {
  const about = JSON.parse(byId("model").textContent), text = atob(byId("numbers").textContent);
  return new Model(about, Uint8Array.from(text, letter => letter.charCodeAt(0)));
}

async function start() {
  const model = readModel();
  let apart;
  try {
    apart = await checked(model);
  } catch (error) {
    apart = Infinity;
    console.error(error);
  }
  if (!(apart <= MOST_APART)) {
    byId("check").textContent = "failed";
    say("wrong", "In this browser, the page does not answer as the model does, so it gives no answers. Try another browser, or export the model again.");
    return;
  }
  byId("check").textContent = `${model.golden.length} made-up pictures answered; the largest difference from the model is ${apart.toExponential(0)}`;
  let latest = 0;
  const give = async files => {
    if (!files.length) return;
    const turn = ++latest;
    say("busy", "Looking …");
    try {
      const { answer, picture } = await answerFile(model, files[0]);
      await showGiven(files[0]);
      if (turn !== latest) return;
      say("answered", files.length > 1 ? `This is the first of ${files.length} pictures; the page takes one at a time.` : "Another one?");
      showAnswer(model, answer, picture);
    } catch (error) {
      if (turn !== latest) return;
      byId("answer").hidden = true;
      if (!(error instanceof Refused)) console.error(error);
      say("wrong", error instanceof Refused ? [error.message, error.hint].filter(Boolean).join(" ") : "This picture could not be classified. Try another one.");
    }
  };
  for (const [button, input] of [["choose", "file"], ["shoot", "camera"]]) {
    byId(button).disabled = false;
    byId(button).addEventListener("click", () => byId(input).click());
    byId(input).addEventListener("change", async () => {
      await give([...byId(input).files]);
      byId(input).value = ""; // so that the same file can be chosen again
    });
  }
  addEventListener("paste", event => give([...event.clipboardData.files]));
  addEventListener("dragover", event => {
    event.preventDefault();
    document.body.classList.add("over");
  });
  addEventListener("dragleave", event => event.relatedTarget || document.body.classList.remove("over"));
  addEventListener("drop", event => {
    event.preventDefault();
    document.body.classList.remove("over");
    give([...event.dataTransfer.files]);
  });
  // For scripts: the answer to a file, or to the pixels that the model takes, row by row.
  window.sevensteps = Object.freeze({
    answer: async blob => (await answerFile(model, blob)).answer,
    pixels: async blob => (await answerFile(model, blob)).picture,
    answerPixels: data => model.answer({ channels: model.input[0], height: model.input[1], width: model.input[2], data }),
  });
  say("ready", "Choose, drop or paste a picture.");
}

start();
