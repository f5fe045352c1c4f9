// A model's answer, and the words that made it.

const MOST_LABELS = 10;
const MOST_NAMED = 200; // characters of a label
const MOST_WORDS = 1000;
const MOST_LISTED = 20; // words as numbers
const FAINT = 0.05; // a word's share of the strongest one's weight below which it is not marked, as in the report

function answerOf(model, prediction) {
  const row = typeof prediction === "object" && prediction !== null ? prediction : { score: prediction };
  if (model.type === "regression") return { text: [String(row.score ?? "not a number")], rest: [] };
  const scores = row.probabilities ?? [];
  const nameOf = (index) => shortened(model.labels?.[index] ?? `output ${index}`, MOST_NAMED);
  const ranked = scores.map((score, index) => ({ index, score: score ?? NaN }));
  ranked.sort((one, other) => (other.score || 0) - (one.score || 0));
  const first = ranked.slice(0, MOST_LABELS).map(({ index, score }) => ({ name: nameOf(index), score }));
  if (model.type === "multi_label") return severalLabels(model, row, ranked, first);
  const shown = shortened(row.label ?? "", MOST_NAMED);
  const score = element("span", { class: "score" }, share(row.score ?? NaN));
  return { text: [element("span", { dir: "auto" }, shown || "(no label)"), " ", score], rest: bars(ranked, first) };
}

function severalLabels({ threshold }, row, ranked, first) {
  if (threshold === null) return { text: [shortened(row.label, MOST_NAMED) || "No label"], rest: bars(ranked, first) };
  // In the model, both numbers are of 32 bits.
  const over = ranked.filter(({ score }) => Math.fround(score) >= Math.fround(threshold)).length;
  const chips = first.slice(0, over).map(({ name }) => element("span", { class: "chip", dir: "auto" }, name));
  const hidden = over - chips.length;
  if (hidden) chips.push(element("span", { class: "score" }, `and ${hidden.toLocaleString("en")} more`));
  const text = chips.length ? chips.flatMap((chip) => [chip, " "]) : ["No label"];
  const several = `${over.toLocaleString("en")} of ${counted(ranked.length, "label")}`;
  const note = `${several} ${over === 1 ? "has" : "have"} at least the threshold, ${threshold}.`;
  return { text, rest: [element("p", { class: "muted" }, note), ...bars(ranked, first, threshold, over)] };
}

// first: the labels to show. over: how many of all have at least the threshold, if there is one.
function bars(ranked, first, threshold = null, over = 0) {
  const list = element("ul", { class: "bars", "aria-label": "Scores" });
  first.forEach(({ name, score }, index) => {
    const fill = withShare(element("span", { class: "fill" }), score || 0);
    const track = element("span", { class: "track", "aria-hidden": "true" }, fill);
    if (threshold !== null) track.append(withShare(element("span", { class: "limit" }), threshold));
    const value = element("span", { class: "value" }, share(score));
    if (index < over) {
      value.append(element("span", { "aria-hidden": "true" }, " \u2713"));
      value.append(element("span", { class: "unseen" }, ", at least the threshold"));
    }
    const shown = element("span", { class: "name", dir: "auto" }, name);
    list.append(element("li", index < over ? { class: "over" } : {}, shown, " ", value, track));
  });
  const hidden = ranked.slice(MOST_LABELS);
  if (!hidden.length) return [list];
  const rest = `${counted(hidden.length, "more label")}, each with ${share(hidden[0].score)} or less.`;
  return [list, element("p", { class: "muted" }, rest)];
}

// Of each text, its words and their weights: the sums over their tokens, the strongest of all being 1 or -1.
function weightedWords({ tokens, segment_ids: segments, attributions }, texts) {
  const byText = Array.from({ length: texts }, () => []);
  let place = 0;
  tokens.forEach((token, index) => {
    if (token === "") {
      // Special, or padding. Where segments do not tell two texts apart (RoBERTa), special tokens between them do.
      place = Math.min(place + (byText[place].length ? 1 : 0), texts - 1);
      return;
    }
    place = Math.max(place, Math.min(segments?.[index] ?? 0, texts - 1));
    const words = byText[place];
    const weight = attributions[index] ?? 0;
    if (!words.length || token.startsWith(" ")) {
      words.push({ word: token.trimStart(), weight });
    } else {
      words.at(-1).word += token;
      words.at(-1).weight += weight;
    }
  });
  const strongest = byText.flat().reduce((most, { weight }) => Math.max(most, Math.abs(weight)), 0) || 1;
  return byText.map((words) => words.map(({ word, weight }) => ({ word, weight, part: weight / strongest })));
}

function markedWords(texts) {
  return texts.map((words) => {
    const quote = element("blockquote", { dir: "auto" });
    for (const { word, part } of words.slice(0, MOST_WORDS)) {
      const kind = part > FAINT ? "for" : part < -FAINT ? "against" : "";
      const mark = kind ? withShare(element("span", { class: kind }), Math.abs(part)) : element("span");
      mark.append(visible(word));
      quote.append(mark, " ");
    }
    if (!words.length) quote.append(element("span", { class: "muted" }, "(no words)"));
    if (words.length > MOST_WORDS) quote.append(`\u2026 and ${counted(words.length - MOST_WORDS, "more word")}`);
    return quote;
  });
}

function wordTable(model, texts) {
  const strongest = texts.flat().sort((one, other) => Math.abs(other.weight) - Math.abs(one.weight));
  const body = element("tbody");
  for (const { word, weight } of strongest.slice(0, MOST_LISTED)) {
    const sign = weight > 0 ? "+" : weight < 0 ? "\u2212" : "";
    const shown = element("th", { scope: "row", dir: "auto" }, shortened(word, 60));
    body.append(element("tr", {}, shown, element("td", {}, `${sign}${Math.abs(weight).toPrecision(3)}`)));
  }
  const adds = model.type === "regression" ? "Adds" : "Adds to the log odds";
  const heads = ["Word", adds].map((text) => element("th", { scope: "col" }, text));
  const table = element("table", {}, element("thead", {}, element("tr", {}, ...heads)), body);
  return element("details", {}, element("summary", {}, "The strongest words as numbers"), table);
}

// What the marks of the words mean.
function meaningOf(model, { probabilities = [] }) {
  const strength = "the stronger the colour, the more (integrated gradients).";
  if (model.type === "regression") return `Underlined words raise the number, dotted ones lower it; ${strength}`;
  const best = probabilities.reduce((most, score, index) => (score > probabilities[most] ? index : most), 0);
  const label = shortened(model.labels?.[best] ?? `output ${best}`, MOST_NAMED);
  return `Underlined words speak for the label ${label}, dotted ones against it; ${strength}`;
}
