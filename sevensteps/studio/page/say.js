/** The line for screen readers: what has just happened, at most once a second while it happens by itself. */

import { write } from './dom.js';

let last = -Infinity;

/**
 * Tell a screen reader; `often` for what a running program does by itself, which must not flood it.
 * @param {string} text
 */
export function say(text, { often = false } = {}) {
  const now = performance.now();
  if (often && now - last < 2000) return;
  last = now;
  write(document.getElementById('status'), text);
}
