/** Numbers in words: one way to print each kind of number, the same on every view. */

const MINUS = '−';

/** Print a number with about `digits` decimals; very small ones with an exponent. */
export function number(value, digits = 3) {
  if (value == null || Number.isNaN(value)) return '–';
  if (!Number.isFinite(value)) return value > 0 ? 'infinite' : `${MINUS}infinite`;
  const size = Math.abs(value);
  let text = size === 0 ? '0' : size < 0.0005 ? size.toExponential(1).replace('e-', `e${MINUS}`).replace('e+', 'e')
    : size < 0.1 ? size.toFixed(digits + 1) : size < 1000 ? size.toFixed(digits) : size.toPrecision(5);
  if (size >= 1e6) text = size.toExponential(2).replace('e+', 'e');
  return (value < 0 ? MINUS : '') + text;
}

/** Print a loss: four decimals, so that figures keep their place while they change. */
export const loss = value =>
  value == null || !Number.isFinite(value) ? number(value) : Math.abs(value) < 1000 ? value.toFixed(4) : number(value);

/** Print a number with its sign. */
export const signed = (value, digits) => (value > 0 ? '+' : '') + number(value, digits);

/** Print a number of short form: 0.2, 1e−7, 250, 1e15. */
export const short = value =>
  (Math.abs(value) >= 1e6 ? Number(Number(value).toPrecision(4)).toExponential() : String(Number(Number(value).toPrecision(4)))).replace('e+', 'e').replace('e-', `e${MINUS}`).replace(/^-/, MINUS);

/** A figure and its sign, which stay together where a line breaks. */
const signedPercent = figure => `${figure}\u00a0%`;

/** Print a share as percent. Never "100 %" for a share that is not 1: "over 99.9 %". */
export function percent(share, digits = 0) {
  if (share == null || Number.isNaN(share)) return '–';
  const edge = digits ? 0.9995 : 0.995;
  if (share >= edge && share < 1) return signedPercent(digits ? 'over 99.9' : 'over 99');
  if (share > 0 && share < 1 - edge) return signedPercent(digits ? 'under 0.1' : 'under 1');
  return signedPercent((100 * share).toFixed(digits));
}

/** Print the probability of an answer: a model is never sure, so 1 is "over 99.9 %", too. */
export const probability = (share, digits = 0) =>
  percent(share === 1 ? 0.9999 : share, digits);

/** Print a count with thousands separated. */
export const count = value => Number(value).toLocaleString('en-US');

/** "1 picture", "2 pictures", "1,234 pictures". */
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

/** "a, b and c". */
export const list = names =>
  names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} and ${names[names.length - 1]}`;

/** A sentence of the program as it is set on a page: with the minus of figures, and "p = 0.12" on one line. */
export const typeset = text => text.replace(/(^|[\s(])-(?=\d)/g, `$1${MINUS}`).replace(/\bp ([=<]) /g, 'p\u00a0$1\u00a0');

/** A word of a command, as a shell reads it. */
export const quoted = text => /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'"'"'`)}'`;
