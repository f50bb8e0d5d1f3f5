/** Station 2: from a picture's pixels to its answer. */

import { fill, h, svg, write } from './dom.js';
import { number, plural, signed } from './format.js';
import { answerLine, classRows, filterScale, frozenBlock, small } from './parts.js';
import { equation, picture, pointer, sign, tiles } from './picture.js';
import { isDense } from './words.js';
import { canvas, heat, item, nice, plane, top } from './paint.js';

/** The chain of the picture that is followed, once it is here. */
const chainOf = desk => desk.chain?.seen === desk.seen && desk.chain.pick === desk.pick ? desk.chain : null;
/** The contributions of one class: of the server if they are here, else weight times pixel. */
function contributions(desk, k) {
  const chain = chainOf(desk), weights = item(desk.seen.weights.before, k);
  if (chain?.contributions) return item(chain.contributions, k);
  const x = item(desk.seen.x, desk.pick).data;
  return { shape: weights.shape, data: weights.data.map((w, i) => w * x[i]) };
}

/** What the pixel was multiplied as: the model may center pixels first. */
function spell(weight, pixel, product) {
  const plain = Math.abs(weight * pixel - product) <= 1e-5 + 1e-3 * Math.abs(product);
  const taken = plain || !weight ? `pixel ${pixel.toFixed(2)}` : `pixel ${pixel.toFixed(2)}, centered to ${signed(product / weight, 2)},`;
  return `${taken} × weight ${signed(weight)} = ${signed(product)}`;
}

/** Where one class leads: picture times weights is contributions. Returns what updates it. */
function pixelEquation(figure, desk) {
  const point = pointer(desk), x = picture('Picture', point, { signed: false });
  const w = picture('Weights', point), c = picture('Contributions', point);
  figure.append(equation(x.element, sign('×'), w.element, sign('='), c.element), point.line);
  return (k, whose) => {
    const { seen, pick } = desk, pixels = item(seen.x, pick), weights = item(seen.weights.before, k), parts = contributions(desk, k);
    const label = desk.classes[seen.labels[pick]];
    x.draw(pixels, seen.x.data instanceof Uint8Array ? 255 : Math.max(1, nice(top(pixels.data))), `labeled ${label}`);
    w.draw(weights, seen.scale, whose);
    c.draw(parts, nice(top(parts.data)), '');
    const flat = [plane(pixels), plane(weights), plane(parts)];
    point.reads(flat[0].shape, i => spell(flat[1].data[i], flat[0].data[i], flat[2].data[i]));
    return parts.data;
  };
}

const TEXT = (x, y, text, props = {}) => svg('text', { x, y, ...props }, text);

/** The sum as bars that start where the one before ended. */
function sumBars(there, desk, up, down, bias, sum) {
  const [first, second] = desk.classes, most = Math.max(up, -down, Math.abs(sum), 1e-9) * 1.04;
  const x = value => 236 + value / most * 118, bars = [];
  const bar = (from, to, y, color, label, value) => bars.push(
    svg('rect', { x: Math.min(x(from), x(to)), y, width: Math.max(1.5, Math.abs(x(to) - x(from))), height: 16, rx: 2, fill: `var(${color})` }),
    TEXT(0, y + 13, label), TEXT(430, y + 13, signed(value, 2), { 'text-anchor': 'end', class: 'strong' }));
  bar(0, up, 4, '--pos', `for ${second}`, up);
  bar(up, up + down, 26, '--neg', `for ${first}`, down);
  bar(up + down, up + down + bias, 48, bias > 0 ? '--pos' : '--neg', 'bias', bias);
  bar(0, sum, 78, '--ink', 'sum', sum);
  fill(there, svg('line', { x1: 236, x2: 236, y1: 0, y2: 106, stroke: 'var(--edge)' }), bars);
  there.setAttribute('aria-label', `For ${second} ${signed(up, 2)}, for ${first} ${signed(down, 2)}, bias ${signed(bias, 2)}, sum ${signed(sum, 2)}`);
}

/** The sigmoid, with this picture's sum on it. */
function squeeze(there, desk, sum, p) {
  const x = value => 95 + Math.max(-8, Math.min(8, value)) * 11, y = share => 98 - share * 82, [first, second] = desk.classes;
  const curve = Array.from({ length: 65 }, (_, i) => -8 + i / 4).map(v => `${x(v)},${y(1 / (1 + Math.exp(-v)))}`).join(' ');
  fill(there, svg('path', { d: `M7 ${y(0)}H183M7 ${y(0.5)}H183M7 ${y(1)}H183`, stroke: 'var(--line)', fill: 'none' }),
    svg('polyline', { points: curve, fill: 'none', stroke: 'var(--ink)', 'stroke-width': 1.8 }),
    svg('line', { x1: x(sum), x2: x(sum), y1: y(0), y2: y(p), stroke: 'var(--ink)', 'stroke-dasharray': '3 3' }),
    svg('circle', { cx: x(sum), cy: y(p), r: 6, fill: 'var(--lamp)', stroke: 'var(--ink)', 'stroke-width': 2 }),
    TEXT(7, 115, '−8'), TEXT(95, 115, 'sum', { 'text-anchor': 'middle' }), TEXT(183, 115, '+8', { 'text-anchor': 'end' }),
    TEXT(7, 11, `1 ${second}`), TEXT(183, 94, `0 ${first}`, { 'text-anchor': 'end' }));
  there.setAttribute('aria-label', `The ${desk.seen.activation} of ${signed(sum, 2)} is ${number(p)}`);
}

function twoClasses(figure, desk) {
  const equationOf = pixelEquation(figure, desk), answer = h('p', { class: 'answer' });
  const bars = svg('svg', { viewBox: '0 0 430 106', role: 'img' }), curve = svg('svg', { viewBox: '0 0 190 118', role: 'img' });
  figure.append(h('div', { class: 'sum' }, h('div', {}, answer, bars), curve));
  return () => {
    const { seen, pick } = desk, parts = equationOf(0, ''), bias = seen.weights.bias_before?.data[0] ?? 0;
    let up = 0, down = 0;
    for (const value of parts) if (value > 0) up += value; else down += value;
    const sum = seen.scores.data[pick * seen.scores.shape[1]];
    fill(answer, answerLine(desk, pick));
    sumBars(bars, desk, up, down, bias, sum);
    squeeze(curve, desk, sum, seen.probability(pick, 1));
  };
}

function manyClasses(figure, desk) {
  const title = h('p', { class: 'answer' }), rows = h('div', { class: 'classrows' }), note = h('p', { class: 'micro' });
  const equationOf = pixelEquation(figure, desk);
  figure.append(h('div', { class: 'sum many' }, h('div', {}, title, note), rows));
  return () => {
    const { seen, pick } = desk, k = Math.min(desk.klass ?? seen.answers[pick], desk.classes.length - 1), chosen = desk.classes[k];
    const parts = equationOf(k, `of ${chosen}`), bias = seen.weights.bias_before?.data[k] ?? 0;
    const total = parts.reduce((sum, value) => sum + value, 0);
    fill(title, answerLine(desk, pick));
    write(note, `For ${chosen}: all contributions ${signed(total, 2)}, bias ${signed(bias, 2)}, sum ${signed(total + bias, 2)}. The ${seen.activation} turns the ${desk.classes.length} sums into probabilities. Choose a class to see its weights.`);
    const focused = rows.contains(document.activeElement) ? [...rows.children].indexOf(document.activeElement) : -1;
    fill(rows, classRows(desk, pick, { chosen: k, choose: one => desk.set({ klass: one }) }));
    if (focused >= 0) rows.children[focused]?.focus();
  };
}

/** Of the first layer and what follows it, the numbers that say where it responds: after its norm and ReLU, none is negative. */
function answering([first, ...next]) {
  const end = next.findIndex(layer => !/^(BatchNorm|GroupNorm|ReLU)/.test(layer.name) || !layer.values);
  return next.slice(0, end < 0 ? next.length : end).reverse().find(layer => layer.name === 'ReLU') ?? first;
}

/** The first layer of a network at work: a picture, its filters, and where each responds. */
function network(figure, desk) {
  const dense = isDense(desk), filters = tiles(dense ? 'Weights' : 'Filters', {}), maps = tiles(dense ? 'What each unit says' : 'Where each responds', { signed: false }), shot = h('div', { class: 'shot' });
  const answer = h('p', { class: 'answer' }), rows = h('div', { class: 'classrows' }), note = h('p', { class: 'micro' });
  const x = h('figure', {}, h('figcaption', {}, h('b', {}, 'Picture')), shot);
  const row = equation(x, sign(dense ? '×' : '∗'), filters.element, sign('→'), maps.element);
  row.classList.add('slide');
  figure.append(row, h('div', { class: 'sum many' }, h('div', {}, answer, note), rows));
  return () => {
    const { seen, pick } = desk, chain = chainOf(desk), at = chain?.layers.findIndex(layer => layer.values && (dense ? layer.name === 'Linear' : /^Conv/.test(layer.name) && layer.values.shape.length === 3)) ?? -1;
    const layer = at < 0 ? null : answering(chain.layers.slice(at));
    fill(shot, small(desk, pick, `The picture, labeled ${desk.classes[seen.labels[pick]]}`));
    filters.element.hidden = !seen.filters;
    if (seen.filters) filters.draw(seen.filters.before, filterScale(desk), dense ? plural(seen.filters.before.shape[0], 'unit') : seen.filters.before.shape.slice(2).join('×'));
    maps.element.hidden = !layer;
    if (layer) {
      const { shape, data } = layer.values;
      maps.draw(dense ? { shape: [shape[0], 1, 1], data } : layer.values, Math.max(top(data), 1e-9), 'bright is strong');
    }
    fill(answer, answerLine(desk, pick));
    fill(rows, classRows(desk, pick));
    const more = desk.seen.layers.length - 1;
    write(note, more === 1 ? 'Then one more layer adds up what these found for each class.'
      : `Then come ${more} more layers with numbers of their own. The last one adds up what they found for each class.`);
    note.hidden = desk.seen.layers.length < 2;
  };
}

/** A backbone: picture, frozen network, features, answer. */
function backbone(figure, desk) {
  const shot = h('div', { class: 'shot' }), bars = canvas('The features of this picture', 1, 1), answer = h('p', { class: 'answer' }), rows = h('div', { class: 'classrows' });
  const x = h('figure', {}, h('figcaption', {}, h('b', {}, 'Picture')), shot);
  const count = h('small', {}), features = h('figure', {}, h('figcaption', {}, h('b', {}, 'Features'), ' ', count), h('div', { class: 'shot' }, bars));
  const row = equation(x, sign('→'), h('div', { class: 'frozen wall-ice' }, frozenBlock(desk)), sign('→'), features);
  row.classList.add('thirds');
  figure.append(row, h('div', { class: 'sum many' }, answer, rows));
  return () => {
    const { seen, pick } = desk, one = item(seen.x, pick).data, wide = Math.ceil(Math.sqrt(one.length)), square = new Float32Array(wide * wide);
    square.set(one);
    fill(shot, small(desk, pick, `The picture, labeled ${desk.classes[seen.labels[pick]]}`));
    features.hidden = !seen.features;
    heat(bars, square, [wide, wide], nice(top(one)));
    write(count, `${one.length} numbers`);
    fill(answer, answerLine(desk, pick));
    fill(rows, classRows(desk, pick));
  };
}

/** Build the figure of station 2. */
export function buildPredict(figure, desk) {
  const { weights, probabilities } = desk.seen;
  if (!probabilities) return () => {};
  if (weights) return (weights.before.shape[0] > 1 ? manyClasses : twoClasses)(figure, desk);
  return (desk.kind === 'backbone' ? backbone : network)(figure, desk);
}
