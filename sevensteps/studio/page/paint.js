/** Pictures on canvas: gray, in color, or of signed numbers in two colors about a fixed zero. */

import { h } from './dom.js';

/** @typedef {{shape: number[], data: Float32Array | Uint8Array}} Numbers */

const STOPS = ['--d-neg-2', '--d-neg-1', '--d-zero', '--d-pos-1', '--d-pos-2'];
/** @type {Uint8ClampedArray | null} */
let table = null;

/** Return the value of a color token in the theme that is shown. */
export const color = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Return the palette of signed numbers: 513 colors from the tokens, zero at 256; the last is for what is no number. */
function palette() {
  if (table) return table;
  const rgb = name => [1, 3, 5].map(at => parseInt(color(name).slice(at, at + 2), 16));
  const stops = STOPS.map(rgb);
  table = new Uint8ClampedArray(514 * 3);
  table.set(rgb('--wrong'), 513 * 3);
  for (let i = 0; i < 513; i++) {
    const at = Math.min(3, Math.floor(i / 128)), share = i / 128 - at;
    for (let c = 0; c < 3; c++) table[i * 3 + c] = stops[at][c] + (stops[at + 1][c] - stops[at][c]) * share;
  }
  return table;
}

/** The theme has changed: read the colors again when they are next needed. */
export const forgetPalette = () => { table = null; };

/**
 * Paint a cell of a tally. With forced colors pale and dark are the same, so there a cell that is not `full` is an outline.
 * @param {CanvasRenderingContext2D} context
 * @param {number[]} at its left, its top, its width and its height
 * @param {string} token its color
 * @param {boolean} full
 */
export function cell(context, [x, y, wide, high], token, full) {
  const edge = Math.min(wide, high) > 8 ? 2 : 1;
  context.fillStyle = color(token);
  context.fillRect(x, y, wide, high);
  if (!full && matchMedia('(forced-colors: active)').matches) context.clearRect(x + edge, y + edge, wide - 2 * edge, high - 2 * edge);
}

/** Make a canvas for a picture; with a label it is an image to a screen reader, without one it is decoration. */
export const canvas = (label, width = 28, height = 28) =>
  h('canvas', { width, height, ...(label ? { role: 'img', 'aria-label': label } : { 'aria-hidden': 'true' }) });

function sized(there, width, height) {
  if (there.width !== width) there.width = width;
  if (there.height !== height) there.height = height;
  const context = there.getContext('2d');
  return { context, image: context.createImageData(width, height) };
}

/**
 * Paint one picture with its own pixels, gray or in color.
 * @param {HTMLCanvasElement} there
 * @param {ArrayLike<number>} data c·h·w values, channel by channel
 * @param {number[]} shape [c, h, w]
 * @param {number} [white] the value of white: 1 for fractions, 255 for bytes
 */
export function photo(there, data, [c, height, width], white = 1) {
  const { context, image } = sized(there, width, height), n = height * width, k = 255 / white;
  const green = c >= 3 ? n : 0, blue = c >= 3 ? 2 * n : 0;
  for (let i = 0; i < n; i++) {
    image.data[i * 4] = data[i] * k;
    image.data[i * 4 + 1] = data[i + green] * k;
    image.data[i * 4 + 2] = data[i + blue] * k;
    image.data[i * 4 + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return there;
}

/**
 * Paint signed numbers: orange below zero, blue above.
 * @param {HTMLCanvasElement} there
 * @param {ArrayLike<number>} data h·w values
 * @param {number[]} shape [h, w]
 * @param {number} scale the value that has the full color
 */
export function heat(there, data, [height, width], scale) {
  const { context, image } = sized(there, width, height), colors = palette();
  for (let i = 0; i < height * width; i++) {
    const share = data[i] / scale, at = Number.isNaN(share) ? 513 * 3 : Math.max(0, Math.min(512, Math.round(256 + 256 * share))) * 3;
    image.data[i * 4] = colors[at];
    image.data[i * 4 + 1] = colors[at + 1];
    image.data[i * 4 + 2] = colors[at + 2];
    image.data[i * 4 + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return there;
}

/** Paint the bar of a scale: of signed numbers, or from black to white. */
export function scaleBar(there, signed) {
  const { context, image } = sized(there, 257, 1), colors = palette();
  for (let i = 0; i < 257; i++) {
    for (let c = 0; c < 3; c++) image.data[i * 4 + c] = signed ? colors[i * 6 + c] : i;
    image.data[i * 4 + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return there;
}

/**
 * Return item `i` of an array along its first axis, without a copy.
 * @param {Numbers} numbers
 * @returns {Numbers}
 */
export function item({ shape, data }, i) {
  const rest = shape.slice(1), size = rest.reduce((product, n) => product * n, 1);
  return { shape: rest, data: data.subarray(i * size, (i + 1) * size) };
}

/**
 * Return one plane [h, w] of a [c, h, w] array: the mean over its channels where there are several.
 * @param {Numbers} numbers
 */
export function plane({ shape, data }) {
  const [c, height, width] = shape.length === 3 ? shape : [1, ...shape];
  if (c === 1) return { shape: [height, width], data };
  const n = height * width, mean = new Float32Array(n);
  for (let i = 0; i < n; i++) for (let k = 0; k < c; k++) mean[i] += data[i + k * n] / c;
  return { shape: [height, width], data: mean };
}

/** Make a canvas with a picture of bytes or fractions; a thumbnail is decoration unless it has a label. */
export function thumbnail({ shape, data }, label) {
  const dims = shape.length === 3 ? shape : [1, ...shape];
  return photo(canvas(label, dims[2], dims[1]), data, dims, data instanceof Uint8Array ? 255 : 1);
}

/** Return the largest size of a number in an array. */
export function top(data) {
  let most = 0;
  for (let i = 0; i < data.length; i++) most = Math.max(most, Math.abs(data[i]));
  return most;
}

/** Return the next round number at or above a value: 1, 2, 3 or 5 times a power of ten. */
export function nice(value) {
  if (!(value > 0) || !Number.isFinite(value)) return 1;
  const power = 10 ** Math.floor(Math.log10(value) + 1e-9), lead = value / power;
  const round = [1, 2, 3, 5, 10].find(one => lead <= one * (1 + 1e-9)) ?? 10;
  return Number((round * power).toPrecision(3));
}
