// The page's elements. All texts become text nodes, never markup.

const byId = (id) => document.getElementById(id);

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// A property of the style sheet, from 0 to 1. Unlike an attribute `style`, the policy allows it.
function withShare(made, value) {
  made.style.setProperty("--share", String(Math.min(Math.max(value, 0), 1)));
  return made;
}

function setOptions(select, options) {
  const chosen = select.value;
  select.replaceChildren(...options.map(([value, text]) => element("option", { value }, text)));
  if (options.some(([value]) => value === chosen)) select.value = chosen;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without HTTPS a browser has a clipboard for pages of its own machine only; this older way works everywhere.
    const field = element("textarea", { class: "unseen", readonly: "", "aria-hidden": "true" });
    field.value = text;
    const focused = document.activeElement;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    focused?.focus();
    return done;
  }
}
