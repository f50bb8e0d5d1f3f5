/** The small pictures of the stations on the line: what each station holds now, in 46 pixels. */

import { cell, color, heat, item, nice, photo, plane, top } from './paint.js';
import { filterScale } from './parts.js';

const SIZE = 56; // drawn at twice the pictures' 28, so that icons are crisp

function cleared(there, token) {
  if (there.width !== SIZE) there.width = there.height = SIZE;
  const context = there.getContext('2d');
  context.fillStyle = color(token);
  context.fillRect(0, 0, SIZE, SIZE);
  return context;
}

/** The first planes of several pictures as one mosaic. */
function mosaic(numbers) {
  const n = numbers.shape[0], side = n <= 4 ? 2 : 3, cell = plane(item(numbers, 0)).shape, [height, width] = cell;
  const data = new Float32Array(side * side * height * width), whole = side * width;
  for (let k = 0; k < Math.min(n, side * side); k++) {
    const one = plane(item(numbers, k)).data, x0 = (k % side) * width, y0 = Math.floor(k / side) * height;
    for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) data[(y0 + y) * whole + x0 + x] = one[y * width + x];
  }
  return { shape: [side * height, whole], data };
}

function numbers(there, array, scale) {
  const flat = array.shape[0] > 1 ? mosaic(array) : plane(item(array, 0));
  heat(there, flat.data, flat.shape, scale);
}

/** Layers as bars of different length: for numbers that have no picture. A frozen network is a pale block before them. */
function layers(there, seen, share) {
  if (seen.features) {
    const context = cleared(there, '--surface'), high = Math.max(4, 36 * share(seen.layers.at(-1)));
    context.fillStyle = color('--line');
    context.fillRect(7, 10, 24, 36);
    context.fillStyle = color('--ink-2');
    context.fillRect(34, 46 - high, 15, high);
    return;
  }
  const context = cleared(there, '--surface'), n = Math.min(seen.layers.length, 6), high = Math.min(10, 44 / n);
  seen.layers.slice(0, n).forEach((layer, i) => {
    context.fillStyle = color(layer.frozen ? '--line' : '--ink-2');
    context.fillRect(7, 7 + i * (42 / n), Math.max(3, 42 * share(layer)), high - 3);
  });
}

function losses(there, seen) {
  const context = cleared(there, '--surface'), n = Math.min(11, seen.order.length);
  const most = seen.losses.data[seen.order[0]] || 1;
  for (let at = 0; at < n; at++) {
    const i = seen.order[Math.floor(at * seen.order.length / n)];
    context.fillStyle = color(seen.wrong(i) ? '--wrong' : '--ink-2');
    const high = Math.max(2, 42 * seen.losses.data[i] / most);
    context.fillRect(7 + at * 4, 50 - high, 3, high);
  }
}

function batches(there, { repeat, done }) {
  const context = cleared(there, '--surface'), per = Math.min(36, repeat.per_epoch), each = repeat.per_epoch / per;
  for (let i = 0; i < per; i++) {
    const first = i * each, here = first < repeat.batch && repeat.batch <= first + each;
    const full = first < repeat.batch - (done ? 0 : 1);
    cell(context, [6 + (i % 6) * 7.6, 6 + Math.floor(i / 6) * 7.6, 6, 6], here ? '--lamp' : full ? '--ink' : '--line', here || full);
  }
}

function octagon(there, stopped) {
  const context = cleared(there, '--surface');
  context.beginPath();
  for (let i = 0; i < 9; i++) {
    const angle = (i + 0.5) * Math.PI / 4;
    context.lineTo(28 + 19 * Math.cos(angle), 28 + 19 * Math.sin(angle));
  }
  context.lineWidth = 3.5;
  context.fillStyle = context.strokeStyle = color('--ink-2');
  context[stopped ? 'fill' : 'stroke']();
}

/** Paint a station that this batch has not reached, or whose result is still to be guessed. */
export const blank = there => { cleared(there, '--sunken'); };

/** Paint the picture that is followed. */
export function followed(there, desk) {
  const { shape, data, white } = desk.pictures, [, c, height, width] = shape, size = c * height * width;
  photo(there, data.subarray(desk.pick * size, (desk.pick + 1) * size), [c, height, width], white);
}

/** Paint the small picture of a station. */
export function mini(station, there, desk) {
  const { seen } = desk, { weights, filters } = seen, most = Math.max(...seen.layers.map(layer => layer.gradient_norm ?? 0), 1e-12);
  const biggest = Math.max(...seen.layers.map(layer => layer.parameters), 1);
  if (station === 2) followed(there, desk);
  else if (station === 3) losses(there, seen);
  else if (station === 6) batches(there, seen);
  else if (station === 7) octagon(there, desk.state.place.stopped);
  else if (weights) {
    const array = { 1: weights.start ?? weights.before, 4: weights.gradient, 5: weights.after }[station];
    numbers(there, array, station === 4 ? nice(top(array.data)) : seen.scale);
  } else if (filters) {
    const array = { 1: filters.start ?? filters.before, 4: filters.gradient, 5: filters.after }[station];
    numbers(there, array, station === 4 ? nice(top(array.data)) : filterScale(desk));
  } else layers(there, seen, layer => station === 4 ? (layer.gradient_norm ?? 0) / most : Math.sqrt(layer.parameters / biggest));
}
