// The page of the service: pictures in, bars out. No library, no inline code, nothing from elsewhere.

const byId = (id) => document.getElementById(id);
const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;
const percent = (share) => `${(100 * share).toFixed(1)}\u00a0%`;

let key = "";
let model = null;
const files = new WeakMap(); // The picture of each answer.

class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function ask(path, options = {}) {
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch {
    throw new Refused(0, "The service does not answer. Is it still running?");
  }
  if (response.ok) return response;
  const said = await response.json().catch(() => ({ message: response.statusText }));
  throw new Refused(response.status, said.message);
}

function tell(message, wrong = false) {
  byId("status").textContent = message;
  byId("status").classList.toggle("wrong", wrong);
}

async function introduce() {
  try {
    model = await (await ask("api/model")).json();
  } catch (error) {
    byId("key-form").hidden = error.status !== 401;
    byId("about").textContent = "";
    tell(error.status === 401 && !key ? "" : error.message, true);
    return;
  }
  byId("key-form").hidden = true;
  tell("");
  const [low, high] = model.test.interval_95;
  const many = model.classes.length;
  const names = model.classes.slice(0, 20).join(", ") + (many > 20 ? ", …" : "");
  byId("about").textContent =
    `${model.study} knows ${many} classes: ${names}. It was right on ${percent(model.test.accuracy)} ` +
    `of ${model.test.n} test pictures (95 % interval ${percent(low)} to ${percent(high)}).` +
    (model.unsure_beyond === null ? ` ${model.unsure_beyond_because}` : "");
  byId("explaining").hidden = model.unexplained !== null;
  if (model.unexplained !== null) byId("about").textContent += ` ${sentence(model.unexplained)}`;
}

async function look(files) {
  const pictures = [...files];
  if (!pictures.length) return;
  if (!model) await introduce();
  if (!model) return;
  let last = null;
  const problems = [];
  for (const [i, file] of pictures.entries()) {
    tell(pictures.length > 1 ? `Looking at picture ${i + 1} of ${pictures.length} …` : "Looking …");
    try {
      last = await answer(file);
    } catch (error) {
      problems.push(error.message);
    }
  }
  tell(problems.join(" "), problems.length > 0);
  if (last) last.focus({ preventScroll: true });
  if (last) last.scrollIntoView({ block: "nearest" });
}

async function answer(file) {
  if (file.size > model.most_bytes - 4096) {
    const most = Math.floor(model.most_bytes / 2 ** 20);
    throw new Refused(413, `'${file.name}': a picture may have ${most} MiB, but has ${Math.ceil(file.size / 2 ** 20)}`);
  }
  const said = await predict(file, byId("explain").checked);
  const card = byId("answer").content.firstElementChild.cloneNode(true);
  files.set(card, file);
  show(card, file, said);
  byId("answers").prepend(card);
  if (model.pictures) await compare(card, file);
  return card;
}

async function predict(file, explained) {
  const body = new FormData();
  body.append("image", file, file.name);
  const address = `api/predict?top=5${explained ? "&explain=1" : ""}`;
  return (await (await ask(address, { method: "POST", body })).json()).predictions[0];
}

const DOUBTS = {
  probability: (said) =>
    `${percent(said.probability)} is below the threshold of ${percent(model.unsure_below)}. ${model.unsure_because}`,
  distance: (said) =>
    `The picture is unlike those it learned from (distance ${said.distance.toPrecision(3)}, ` +
    `limit ${model.unsure_beyond.toPrecision(3)}). ${model.unsure_beyond_because}`,
};

function show(card, file, said) {
  const image = card.querySelector(".shown");
  image.src = URL.createObjectURL(file);
  image.alt = `The picture ${file.name}`;
  card.querySelector("h2").textContent = said.unsure ? `Perhaps: ${said.class}` : said.class;
  card.querySelector(".file").textContent = file.name;
  if (said.unsure) {
    const warning = card.querySelector(".unsure");
    warning.textContent =
      `The model is unsure. ${said.unsure_by.map((one) => DOUBTS[one](said)).join(" ")} ` +
      `It always names a class it knows, whatever the picture shows.`;
    warning.hidden = false;
  }
  card.querySelector(".bars").append(...said.top.map(bar));
  if (said.overlay) overlay(card, said);
}

function overlay(card, said) {
  const figure = card.querySelector(".looks");
  const bytes = Uint8Array.from(atob(said.overlay), (letter) => letter.charCodeAt(0));
  const image = document.createElement("img");
  image.src = URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" }));
  image.alt = `Where the model sees ${said.class}`;
  figure.querySelector("figcaption").textContent =
    `Where the model sees ${said.class}: yellow most, dark blue least.`;
  figure.prepend(image);
  figure.hidden = false;
}

// Answers that are there already are explained, too, or not any more.
async function explain() {
  const wanted = byId("explain").checked;
  for (const card of byId("answers").children) {
    const figure = card.querySelector(".looks");
    if (!wanted || figure.querySelector("img")) figure.hidden = !wanted;
    else overlay(card, await predict(files.get(card), true));
  }
}

function bar({ class: name, probability }) {
  const row = document.createElement("li");
  const [label, track, fill, value] = ["span", "span", "span", "span"].map((tag) => document.createElement(tag));
  label.textContent = name;
  track.className = "track";
  track.ariaHidden = "true";
  fill.className = "fill";
  fill.style.width = `${100 * probability}%`;
  track.append(fill);
  value.className = "value";
  value.textContent = percent(probability);
  row.append(label, track, value);
  return row;
}

async function compare(card, file) {
  const body = new FormData();
  body.append("image", file, file.name);
  const { neighbours } = await (await ask("api/similar?count=6", { method: "POST", body })).json();
  const section = card.querySelector(".similar");
  section.hidden = false;
  const list = section.querySelector("ul");
  for (const near of neighbours) {
    const item = document.createElement("li");
    const image = document.createElement("img");
    const words = document.createElement("span");
    image.alt = near.path;
    words.textContent = `${near.class}, ${near.similarity.toFixed(2)}`;
    item.append(image, words);
    list.append(item);
    // By fetch, since an image's own request could not send the key.
    ask(`api/pictures/${near.picture}`)
      .then((response) => response.blob())
      .then((blob) => (image.src = URL.createObjectURL(blob)))
      .catch(() => image.remove());
  }
}

for (const id of ["pick", "camera"]) {
  byId(id).addEventListener("change", (event) => {
    look(event.target.files);
    event.target.value = "";
  });
}

for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    byId("drop").classList.toggle("over", name === "dragover");
    if (name === "drop") dropped(event.dataTransfer.files);
  });
}

function dropped(files) {
  if (files.length) look(files);
  else tell("Only picture files can be dropped here: save the picture first.", true);
}

document.addEventListener("paste", (event) => {
  if (event.target === byId("key")) return;
  const { files } = event.clipboardData;
  if (files.length) look(files);
  else tell("There is no picture in the clipboard.", true);
});

byId("explain").addEventListener("change", () => explain().catch((error) => tell(error.message, true)));

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  key = byId("key").value.trim();
  introduce();
});

introduce();
