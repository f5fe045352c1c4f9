// Texts as they are shown, and as JSON, Python and a shell quote them.

// Control characters, and those that turn the direction of what follows: they could make a page say what it does not.
const HIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;
// What JSON may hold as it is, but a reader of a call would not see, or would see elsewhere.
const UNSEEN = /[\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
const PLAIN_WORD = /^[\w.~:/%@+-]+$/;

// Halves of characters, which UTF-8 cannot hold, become U+FFFD: so does a server that is sent one.
function wellFormed(text) {
  return text.replace(/[\ud800-\udfff]/gu, "\ufffd");
}

function visible(text) {
  return wellFormed(String(text)).replace(HIDDEN, "\ufffd");
}

function shortened(text, most) {
  const shown = visible(text);
  if (shown.length <= most) return shown;
  return `${wellFormed(shown.slice(0, most)).replace(/\ufffd$/, "")}\u2026`;
}

// A string of JSON, which is the same in Python: JSON's escapes are a part of Python's.
function quoted(text) {
  const escaped = (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(wellFormed(text)).replace(UNSEEN, escaped);
}

function shellQuoted(word) {
  return PLAIN_WORD.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function counted(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

// A probability, with three digits after the point.
function share(probability) {
  if (!Number.isFinite(probability)) return "not a number";
  return probability >= 0.001 || probability === 0 ? probability.toFixed(3) : "< 0.001";
}

function duration(milliseconds) {
  return `${milliseconds < 10 ? milliseconds.toFixed(1) : Math.round(milliseconds).toLocaleString("en")} ms`;
}
