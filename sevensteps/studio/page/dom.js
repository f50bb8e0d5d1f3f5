/** Elements made by functions. Text becomes text nodes and never markup. */

/**
 * Set one property of an element.
 * @param {Element} element
 * @param {string} name `class`, `style` (an object), `on…` (a listener), or an attribute; null or false removes it
 * @param {any} value
 */
export function set(element, name, value) {
  if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
  else if (name === 'class') element.setAttribute('class', value ?? '');
  else if (name === 'style') for (const [key, one] of Object.entries(value ?? {})) element.style.setProperty(key, one);
  else if (value === false || value == null) element.removeAttribute(name);
  else element.setAttribute(name, value === true ? '' : String(value));
}

/** @param {any[]} kids */
const nodes = kids => kids.flat(Infinity).filter(kid => kid != null && kid !== false);

/**
 * Make an HTML element.
 * @param {string} tag
 * @param {Object<string, any>} [props] see `set`
 * @param {...any} kids nodes, strings, numbers, lists of them; null and false are left out
 * @returns {any}
 */
export function h(tag, props = {}, ...kids) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) set(element, name, value);
  element.append(...nodes(kids));
  return element;
}

/** Make an SVG element, as `h` does. @returns {any} */
export function svg(tag, props = {}, ...kids) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(props)) set(element, name, value);
  element.append(...nodes(kids));
  return element;
}

/** Replace what is in an element; null and false are left out. */
export const fill = (element, ...kids) => element.replaceChildren(...nodes(kids));

/** Change an element's text only if it differs: selection and screen readers stay undisturbed. */
export function write(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}

const ICONS = {
  run: 'M4 2l10 6-10 6z', pause: 'M3 2h4v12H3zM9 2h4v12H9z', rewind: 'M2 2h2v12H2zM14 2v12L5 8z',
  back: 'M11 2v12L3 8z', step: 'M5 2v12l8-6z',
};

/** Return a picture for a button: run, pause, rewind, back or step. */
export const icon = name =>
  svg('svg', { width: 16, height: 16, viewBox: '0 0 16 16', 'aria-hidden': 'true' }, svg('path', { d: ICONS[name] }));

/** Are we asked for calm, so that nothing travels and nothing fades? */
export const calm = () => matchMedia('(prefers-reduced-motion: reduce)').matches;
