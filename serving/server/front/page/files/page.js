// The page itself: what the reader chooses, asks and sees.

const MOST_SHOWN = 20_000; // characters of a call; the copy has all of them
const KEYS = document.documentElement.dataset.keys === "asked";
if (KEYS) byId("request").prepend(byId("key-template").content);
const server = new Server();
const state = { models: [], grpc: null, model: null, asked: null, calls: {}, copied: {}, running: null };

function typedKey() {
  return KEYS ? byId("key").value.trim() : "";
}

// Of the version: {} for the newest, {label} or {version}.
function choice() {
  const [kind, value] = byId("version").value.split(/:(.*)/s);
  return kind ? { [kind]: value } : {};
}

function texts() {
  const given = [byId("text").value];
  return byId("pair-field").hidden ? given : [...given, byId("pair").value];
}

// Starts something that a later start ends: its signal, and whether it still counts.
function begin() {
  state.running?.abort();
  state.running = new AbortController();
  return state.running.signal;
}

function busy(is) {
  byId("send").setAttribute("aria-disabled", String(is));
  byId("send").textContent = is ? "Asking\u2026" : "Ask the model";
  byId("result").setAttribute("aria-busy", String(is));
}

// Runs the work of a button. An error is shown, unless a later start has taken over.
async function attempt(work) {
  const signal = begin();
  busy(true);
  try {
    await work(signal);
  } catch (error) {
    if (!signal.aborted) showProblem(error);
  } finally {
    if (!signal.aborted) busy(false);
  }
}

function showProblem(error) {
  const title = error instanceof Failure ? error.title : "The page could not show the answer";
  const problem = byId("problem");
  problem.replaceChildren(element("strong", {}, title), shortened(error.message, 2000));
  problem.hidden = false;
  byId("waiting").hidden = byId("answer").hidden = byId("words").hidden = true;
  if (error.status === 401 && KEYS) byId("key").focus();
}

function clearAnswer() {
  byId("problem").hidden = byId("answer").hidden = byId("words").hidden = true;
  byId("waiting").hidden = false;
  state.asked = null;
}

async function connect(signal) {
  server.key = typedKey();
  if (KEYS && !server.key) throw new Failure("An API key is needed", "This server asks for one: enter it.", 401);
  const { models, grpc } = await server.models(signal);
  Object.assign(state, { models, grpc });
  if (!models.length) throw new Failure("There is no model", `${KEYS ? "This key may query" : "The server has"} none.`);
  setOptions(byId("model"), models.map(({ name }) => [name, shortened(name, 80)]));
  byId("model-field").hidden = models.length < 2;
  await choose(signal);
}

// Learns what the chosen model is like.
async function choose(signal) {
  const name = byId("model").value;
  clearAnswer();
  Object.assign(state, { model: null });
  byId("title").textContent = shortened(name, 120);
  document.title = `${shortened(name, 60)} \u2013 Transom`;
  byId("about").textContent = "\u00a0";
  showCalls();
  await Promise.all([listVersions(name, signal), describe(signal)]);
}

async function listVersions(name, signal) {
  const labels = state.models.find((one) => one.name === name)?.labels ?? [];
  const versions = await server.versions(name, signal).catch(() => []);
  if (signal.aborted) return;
  const options = [["", "the newest"], ...labels.map((label) => [`label:${label}`, shortened(label, 60)])];
  options.push(...versions.map((version) => [`version:${version}`, version]));
  setOptions(byId("version"), options);
  byId("version-field").hidden = labels.length === 0 && versions.length < 2;
}

async function describe(signal) {
  const model = await server.describe(byId("model").value, choice(), signal);
  if (signal.aborted) return model;
  state.model = model;
  byId("pair-field").hidden = model.texts < 2;
  byId("text-label").textContent = model.texts < 2 ? "Text" : "First text";
  byId("about").textContent = [kindOf(model), `version ${model.version}`].join(" \u00b7 ");
  showCalls();
  return model;
}

function kindOf({ type, labels, texts }) {
  const reads = texts > 1 ? "Reads two texts" : "Reads a text";
  if (type === "regression") return `${reads}, answers with a number`;
  const several = type === "multi_label" ? "any number" : "one";
  return labels ? `${reads}, answers with ${several} of ${counted(labels.length, "label")}` : reads;
}

async function predict(signal) {
  // Another key may query other models.
  if (!state.models.length || typedKey() !== server.key) await connect(signal);
  const asked = texts().map(wellFormed);
  // Asked twice at most: a version may go between the two requests.
  for (let tries = 2; ; tries -= 1) {
    const model = await describe(signal);
    const instance = model.texts > 1 ? { text: asked[0], text_pair: asked[1] ?? "" } : asked[0];
    const body = JSON.stringify({ instances: [instance] });
    try {
      const start = performance.now();
      const found = await server.ask(`${pathOf(model.name, { version: model.version })}:predict`, { body, signal });
      const took = performance.now() - start;
      state.asked = asked.slice(0, model.texts);
      const prediction = found.predictions?.[0];
      if (prediction === undefined) throw new Failure("The answer holds no prediction", "Is this TF Serving's API?");
      showAnswer(model, prediction, took);
      explain(model, prediction, signal);
      return;
    } catch (error) {
      if (error.status !== 404 || tries === 1) throw error;
    }
  }
}

function showAnswer(model, prediction, took) {
  const { text, rest } = answerOf(model, prediction);
  byId("label").replaceChildren(...text);
  byId("scores").replaceChildren(...rest);
  byId("status").textContent = `Answer: ${byId("label").textContent}`;
  byId("latency").replaceChildren("Round trip ", element("strong", {}, duration(took)), ", measured in this browser.");
  byId("problem").hidden = byId("waiting").hidden = byId("words").hidden = true;
  byId("answer").hidden = false;
  markOutdated();
}

// Only now: it costs as much as dozens of predictions, which must not count as the answer's time.
async function explain(model, prediction, signal) {
  const say = (text) => byId("marked").replaceChildren(element("p", { class: "muted" }, text));
  byId("words").hidden = false;
  if (!model.explains) {
    say("This model was exported without attributions: it cannot say which words made the answer.");
    return;
  }
  say("Asking which words made the answer\u2026");
  const [text, pair] = state.asked;
  const inputs = model.texts > 1 ? { text: [text], text_pair: [pair] } : { text: [text] };
  const body = JSON.stringify({ signature_name: "attributions", inputs });
  try {
    const path = `${pathOf(model.name, { version: model.version })}:predict`;
    const { outputs } = await server.ask(path, { body, signal });
    const row = Object.fromEntries(Object.entries(outputs).map(([name, values]) => [name, values[0]]));
    const words = weightedWords(row, model.texts);
    if (signal.aborted) return;
    const meaning = element("p", { class: "muted" }, meaningOf(model, prediction));
    byId("marked").replaceChildren(...markedWords(words), meaning, wordTable(model, words));
    byId("status").textContent = "The words that made the answer are marked";
  } catch (error) {
    if (signal.aborted) return;
    say(`No words: ${error.title ?? "the page could not show them"}. ${shortened(error.message, 500)}`);
  }
}

function markOutdated() {
  const same = (asked) => texts().every((text, index) => wellFormed(text) === asked[index]);
  byId("outdated").hidden = state.asked === null || same(state.asked);
}

function showCalls() {
  const { model, grpc } = state;
  byId("calls").hidden = model === null;
  if (model === null) return;
  const given = { texts: texts().slice(0, model.texts), model: model.name, choice: choice(), keys: KEYS };
  const url = new URL(`${pathOf(model.name, given.choice)}:predict`, BASE).href;
  state.calls.curl = curlCall({ ...given, url });
  state.calls.python = grpc.port ? pythonCall({ ...given, host: location.hostname, ...grpc }) : "";
  for (const [name, call] of Object.entries(state.calls)) {
    const rest = call.length - MOST_SHOWN;
    const more = rest > 0 ? `\n\u2026 ${counted(rest, "more character")}, which Copy takes, too` : "";
    byId(name).textContent = `${wellFormed(call.slice(0, MOST_SHOWN))}${more}`;
  }
  byId("python-call").hidden = !grpc.port;
  const notes = ["With the texts above; Python needs Transom, or its folder serving/."];
  if (KEYS) notes.push("Set API_KEY in the environment.");
  if (grpc.tls) notes.push('For a private certificate authority add --cacert ca.pem, and tls=Tls(ca="ca.pem").');
  byId("calls-note").textContent = notes.join(" ");
}

async function copyCall(name) {
  const done = await copy(state.calls[name]);
  const button = byId(`copy-${name}`);
  button.textContent = done ? "Copied" : "Not copied";
  const told = done ? "Copied" : "The browser did not copy it";
  byId("status").textContent = told;
  clearTimeout(state.copied[name]);
  state.copied[name] = setTimeout(() => {
    button.textContent = "Copy";
    if (byId("status").textContent === told) byId("status").textContent = "";
  }, 2000);
}

function send() {
  attempt(predict);
}

byId("send").addEventListener("click", () => {
  if (byId("send").getAttribute("aria-disabled") !== "true") send();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.repeat || event.isComposing) return;
  if (KEYS && event.target === byId("key")) attempt(connect);
  else if (event.ctrlKey || event.metaKey) send();
  else return;
  event.preventDefault();
});
for (const field of [byId("text"), byId("pair")]) {
  field.addEventListener("input", () => {
    byId("half-note").hidden = texts().every((text) => text === wellFormed(text));
    markOutdated();
    showCalls();
  });
}
byId("model").addEventListener("change", () => {
  byId("version").replaceChildren();
  attempt(choose);
});
byId("version").addEventListener("change", () => attempt(choose));
byId("copy-curl").addEventListener("click", () => copyCall("curl"));
byId("copy-python").addEventListener("click", () => copyCall("python"));
if (/Mac|iPhone|iPad/.test(navigator.platform)) byId("shortcut").textContent = "or \u2318 + Enter";
if (KEYS) {
  byId("use-key").addEventListener("click", () => attempt(connect));
  byId("key").focus();
} else {
  attempt(connect);
}
