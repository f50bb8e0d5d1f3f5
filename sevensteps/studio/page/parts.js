/** Small parts that several stations draw: layers as bars, the frozen line, class bars, what has no picture. */

import { h } from './dom.js';
import { count, number, plural, probability } from './format.js';
import { canvas, nice, photo, top } from './paint.js';

/** One scale for all pictures of filters in a run; it grows in steps when the numbers leave it. */
export function filterScale(desk) {
  const { before, after } = desk.seen.filters, name = desk.state.run.name;
  if (desk.filterRun !== name) Object.assign(desk, { filterRun: name, filterMost: 0 });
  desk.filterMost = Math.max(desk.filterMost, nice(Math.max(top(before.data), top(after.data))));
  return desk.filterMost;
}

/** Say what has no picture here, and why. */
export function undrawn(desk) {
  const { drawn, parameters, filters } = desk.seen;
  if (desk.kind === 'backbone') {
    return `None of the ${count(parameters)} trained numbers has a picture: they are weights of features, and features are not pixels.`;
  }
  const few = `Drawn here: ${count(drawn)} of ${count(parameters)} numbers.`;
  if (!filters || drawn >= parameters) return drawn ? few : 'These numbers look at other numbers and not at pixels, so they have no picture.';
  const mean = filters.before.shape[1] > 1 ? ' A square is the mean of a filter’s numbers for red, green and blue.' : '';
  return `${few}${mean} Later layers look at what the layer before them found and not at pixels, so they have no picture.`;
}

/** The frozen network, as a block of ice. */
export function frozenBlock(desk) {
  const network = desk.state.run.recipe.features ?? desk.seen.layers.find(layer => layer.frozen)?.name ?? 'the network';
  return h('div', { class: 'ice' }, h('b', {}, String(network.name ?? network)), h('small', {}, 'frozen'));
}

/** A backbone: what is frozen, and where the trained part begins. */
export function frozenLine(desk) {
  if (desk.kind !== 'backbone') return null;
  return h('div', { class: 'frozen' }, frozenBlock(desk),
    h('div', { class: 'melt' }, h('b', {}, 'Your part'), h('small', {}, plural(desk.seen.parameters, 'number'))),
    h('p', {}, 'Everything left of this line was trained by others and stays as it is; your pictures train what is right of it.'));
}

/**
 * Layers as rows with a bar.
 * @param {any} desk
 * @param {(layer: any) => string} words
 * @param {(layer: any) => number} share of the bar, 0 to 1
 */
export const layerRows = (desk, words, share) => desk.seen.layers.map((layer, i) => h('div', { class: `layer${layer.frozen ? ' ice' : ''}` },
  h('b', {}, /^\d*$/.test(layer.name) ? `layer ${i + 1}` : layer.name), h('span', { class: 'micro' }, layer.shape.join('×')),
  h('div', { class: 'meter' }, h('i', { style: { width: `${100 * Math.max(0, Math.min(1, share(layer) || 0))}%` } })),
  h('span', { class: 'num small' }, words(layer))));

/** The class of a color: with two classes orange is the first and blue the second; with more, classes have no color. */
export const tone = (desk, k) => desk.many ? '' : `p${k}`;

/** Paint picture `i` of the batch on a new canvas. */
export function small(desk, i, label) {
  const { shape, data, white } = desk.pictures, [, c, height, width] = shape, size = c * height * width;
  return photo(canvas(label, width, height), data.subarray(i * size, (i + 1) * size), [c, height, width], white);
}

/** "labeled Dress, answered Pullover 55 %". */
export const inWords = (desk, i) => [
  `labeled ${desk.classes[desk.seen.labels[i]] ?? '?'}, answered `,
  h('b', { class: tone(desk, desk.seen.answers[i]) }, `${desk.classes[desk.seen.answers[i]]} ${probability(desk.seen.sure(i))}`),
];

/** The answer to the picture that is followed, large, with what its loss is. */
export function answerLine(desk, i) {
  const { seen } = desk;
  return [
    `${probability(seen.sure(i))} `, h('span', { class: tone(desk, seen.answers[i]) }, desk.classes[seen.answers[i]]),
    seen.wrong(i) ? [', and that is wrong ', h('span', { class: 'bad' }, '✕')] : ', and that is right',
    h('small', { class: 'num' }, `The label says ${desk.classes[seen.labels[i]]}. The loss of this picture is ${seen.losses.data[i] < 0.0005 ? 'under 0.001' : number(seen.losses.data[i])}.`),
  ];
}

/**
 * The probabilities of all classes as rows; the answer and the label are marked.
 * @param {any} desk
 * @param {number} i the picture
 * @param {{chosen?: number, choose?: (k: number) => void}} [options] rows to choose from
 */
export function classRows(desk, i, { chosen, choose } = {}) {
  const { seen } = desk, order = desk.classes.map((_, k) => k).sort((p, q) => seen.probability(i, q) - seen.probability(i, p));
  const rows = order.slice(0, 10).map(k => {
    const share = seen.probability(i, k), isLabel = k === seen.labels[i], isAnswer = k === seen.answers[i];
    const parts = [h('span', { class: isAnswer ? 'strong' : '' }, desk.classes[k], isLabel ? h('small', {}, ' label') : null),
      h('span', { class: 'meter' }, h('i', { class: isAnswer && !isLabel ? 'wrong' : '', style: { width: `${100 * share}%` } })),
      h('span', { class: 'num' }, probability(share))];
    return choose
      ? h('button', { class: 'classrow', type: 'button', 'aria-pressed': String(k === chosen), onclick: () => choose(k) }, parts)
      : h('div', { class: 'classrow' }, parts);
  });
  if (order.length > rows.length) rows.push(h('p', { class: 'micro' }, `and ${plural(order.length - rows.length, 'class', 'classes')} under ${probability(seen.probability(i, order[9]))}`));
  return rows;
}
