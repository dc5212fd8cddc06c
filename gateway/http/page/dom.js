// Elements made of data. Text goes in as text: nothing from outside is ever read as markup.

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export function replace(element, ...children) {
  element.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined));
}

// Writes only what differs, so that a row which did not change costs no layout.
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// A link to a page of strangers; anything but http(s) stays plain text.
export function outside(url, ...children) {
  const content = children.length ? children : [url];
  if (!/^https?:\/\//i.test(url)) return h("span", {}, ...content);
  return h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, ...content);
}

let fading;

export function notify(text) {
  const notice = document.getElementById("notice");
  notice.textContent = text;
  notice.classList.add("shown");
  clearTimeout(fading);
  fading = setTimeout(() => notice.classList.remove("shown"), 6000);
}

// Does what a button promises; a failure is told and leaves the view as it is.
export async function attempt(action) {
  try {
    await action();
  } catch (error) {
    notify(error.message);
  }
}
