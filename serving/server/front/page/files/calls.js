// The same request as a call of curl and of Transom's Python client. A key is a variable, never the key itself.

// Longer ones do not fit into an argument of a program.
const MOST_ARGUMENT_BYTES = 100_000;

function instanceOf(texts) {
  if (texts.length === 1) return quoted(texts[0]);
  return `{"text": ${quoted(texts[0])}, "text_pair": ${quoted(texts[1])}}`;
}

function curlCall({ url, texts, keys }) {
  const header = keys ? '  --header "Authorization: Bearer $API_KEY" \\\n' : "";
  const body = `{"instances": [${instanceOf(texts)}]}`;
  const start = `curl --fail-with-body --silent ${shellQuoted(url)} \\\n${header}`;
  if (new TextEncoder().encode(body).length > MOST_ARGUMENT_BYTES) {
    return `${start}  --data-binary @- <<'JSON'\n${body}\nJSON`;
  }
  return `${start}  -d ${shellQuoted(body)}`;
}

// choice: of the version, {} or {label} or {version}.
function pythonCall({ host, port, tls, model, choice, texts, keys }) {
  const given = [quoted(`grpc${tls ? "s" : ""}://${host}:${port}`), `model=${quoted(model)}`];
  if (choice.version) given.push(`version=${choice.version}`);
  if (choice.label) given.push(`label=${quoted(choice.label)}`);
  if (keys) given.push("headers=headers");
  const pair = texts.length > 1 ? `, [${quoted(texts[1])}]` : "";
  return [
    ...(keys ? ["import os", ""] : []),
    "from serving.client import Client",
    "",
    ...(keys ? [`headers = {"authorization": f"Bearer {os.environ['API_KEY']}"}`] : []),
    `with Client(${given.join(", ")}) as client:`,
    `    (prediction,) = client.predict([${quoted(texts[0])}]${pair})`,
    "    print(prediction)",
  ].join("\n");
}
