// The server's own REST API, and what it says of a model.

// Behind a proxy the page may have a path of its own.
const BASE = new URL(".", location.href);
const TITLES = {
  400: "The server refused the request",
  401: "The API key is missing or not known",
  403: "This API key may not query the model",
  404: "The model is not loaded",
  413: "The text is too long for this server",
  429: "The server has too much to do",
  503: "The server is not available",
  504: "The model took too long",
};

const STATES = { START: "waits to be loaded", LOADING: "is being loaded: try again", END: "has been unloaded" };

// What the reader is told: a title, and the details in the server's words.
class Failure extends Error {
  constructor(title, details = "", status = 0) {
    super(details);
    Object.assign(this, { title, status });
  }
}

class Server {
  // Only in memory: it is gone when the page is.
  key = "";
  #known = new Map();

  async ask(path, { body, signal } = {}) {
    const headers = this.key ? { Authorization: `Bearer ${this.key}` } : {};
    if (!/^[\x21-\x7e]*$/.test(this.key)) throw new Failure(TITLES[401], "A key has ASCII characters only.", 401);
    let response, text;
    try {
      const method = body === undefined ? "GET" : "POST";
      response = await fetch(new URL(path, BASE), { method, body, headers, signal });
      text = await response.text();
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Failure("The server cannot be reached", "It may have stopped, or the connection is gone. Try again.");
    }
    const answer = parsed(text);
    if (response.ok && answer !== undefined) return answer;
    const title = TITLES[response.status] ?? "The server could not answer";
    throw new Failure(title, String(answer?.error ?? `HTTP status ${response.status}, without JSON`), response.status);
  }

  models(signal) {
    return this.ask("page/models", { signal });
  }

  // What a model's version is like; asked each time, because another version may have taken over.
  async describe(name, choice, signal) {
    let metadata;
    try {
      metadata = await this.ask(`${pathOf(name, choice)}/metadata`, { signal });
    } catch (error) {
      throw error.status === 404 ? await this.#whyNotLoaded(name, error, signal) : error;
    }
    const version = String(metadata.model_spec.version);
    const known = JSON.stringify([name, version]);
    if (!this.#known.has(known)) {
      this.#known.set(known, await this.#examine(name, version, metadata.metadata.signature_def.signature_def, signal));
    }
    return this.#known.get(known);
  }

  async versions(name, signal) {
    const found = await this.ask(pathOf(name, {}), { signal });
    return found.model_version_status.filter((one) => one.state === "AVAILABLE").map((one) => String(one.version));
  }

  async #whyNotLoaded(name, error, signal) {
    const found = await this.ask(pathOf(name, {}), { signal }).catch(() => ({}));
    const newest = found.model_version_status?.[0];
    if (newest === undefined) return error;
    const wrong = newest.status?.error_message;
    const details = wrong ? `could not be loaded: ${wrong}` : (STATES[newest.state] ?? "is not served");
    return new Failure(TITLES[404], `Version ${newest.version} ${details}`, 404);
  }

  async #examine(name, version, signatures, signal) {
    const { inputs = {}, outputs = {} } = signatures.serving_default ?? {};
    checkReadsTexts(name, inputs, outputs);
    const number = !("probabilities" in outputs);
    const [labels, task] = await Promise.all([
      number || !("classify" in signatures) ? null : this.#labels(name, version, signal),
      this.ask(`page/models/${encodeURIComponent(name)}/versions/${version}`, { signal }),
    ]);
    return {
      name,
      version,
      labels,
      texts: Object.keys(inputs).length,
      type: number ? "regression" : (task.type ?? "single_label"),
      threshold: typeof task.threshold === "number" ? task.threshold : null,
      explains: "attributions" in signatures,
    };
  }

  // As Transom's client finds them out: the classes that the answer to an empty example names.
  async #labels(name, version, signal) {
    const body = JSON.stringify({ signature_name: "classify", examples: [{}] });
    const found = await this.ask(`${pathOf(name, { version })}:classify`, { body, signal });
    return found.results[0].map(([label]) => label);
  }
}

function pathOf(name, { version, label }) {
  const chosen = version ? `/versions/${version}` : label ? `/labels/${encodeURIComponent(label)}` : "";
  return `v1/models/${encodeURIComponent(name)}${chosen}`;
}

function checkReadsTexts(name, inputs, outputs) {
  const names = Object.keys(inputs).sort().join();
  const texts = Object.values(inputs).every((one) => one.dtype === "DT_STRING" && one.tensor_shape?.dim?.length === 1);
  if (texts && (names === "text" || names === "text,text_pair") && "score" in outputs) return;
  const named = ([input, { dtype }]) => `${input} (${String(dtype).slice(3).toLowerCase()})`;
  const found = Object.entries(inputs).map(named);
  throw new Failure(
    "This page cannot ask the model",
    "It asks models that read text, or text and text_pair, and answer with a score. " +
      `${name} reads ${found.join(", ") || "nothing"}.`,
  );
}

// TF Serving writes numbers that are not finite as NaN and Infinity, which are not JSON.
function parsed(text) {
  const finite = (found) => (found.startsWith('"') ? found : "null");
  for (const attempt of [(json) => json, (json) => json.replace(/"(?:[^"\\]|\\.)*"|-?Infinity|NaN/g, finite)]) {
    try {
      return JSON.parse(attempt(text));
    } catch {
      // the next attempt, if there is one
    }
  }
  return undefined;
}
