// Building elements.

// at returns the element with an id.
export const at = (id) => document.getElementById(id);

// el makes an element: properties whose names have a dash, and role, are attributes.
export function el(tag, properties = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") {
      e.setAttribute(name, value);
    } else {
      e[name] = value;
    }
  }
  e.append(...children);
  return e;
}

// svg makes an element of SVG.
export function svg(tag, attributes = {}, text = "") {
  const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) {
    e.setAttribute(name, value);
  }
  e.textContent = text;
  return e;
}

// percent writes a share, with a digit more where it is small.
export const percent = (share) => (share > 0 && share < 0.0005 ? "< 0.1 %" : `${(100 * share).toFixed(share < 0.0995 && share > 0 ? 1 : 0)} %`);

// say announces something to people who do not see the page.
export function say(text) {
  at("said").textContent = text;
}
