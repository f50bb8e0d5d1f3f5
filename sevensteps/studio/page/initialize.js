/** Station 1: the numbers that the model started with, beside what they are now. */

import { fill, h, write } from './dom.js';
import { count, plural, signed } from './format.js';
import { filterScale, frozenLine, layerRows, undrawn } from './parts.js';
import { equation, picture, pointer, sign, tiles } from './picture.js';
import { item } from './paint.js';

const after = desk => desk.done() ? `after ${plural(desk.done(), 'batch', 'batches')}` : 'the same, still';
const startWords = desk => {
  const { init, seed } = desk.state.run.recipe;
  return init === 'zeros' ? 'all zero' : `random, seed ${seed}`;
};
/** What the weights are now: live while it runs, else before or after this batch's step. */
const weightsNow = desk => desk.seen.done ? desk.seen.weights.after : desk.seen.weights.before;

function twoClasses(figure, desk) {
  const point = pointer(desk), start = picture('At the start', point), now = picture('Now', point);
  figure.append(h('div', { class: 'wide-eq' }, equation(start.element, sign('→'), now.element)), point.line);
  return () => {
    const { weights, scale } = desk.seen, first = item(weights.start ?? weights.before, 0), last = item(weightsNow(desk), 0);
    start.element.hidden = !weights.start;
    start.draw(first, scale, startWords(desk));
    now.draw(last, scale, after(desk));
    point.reads(last.shape.slice(-2), i => weights.start
      ? `${signed(first.data[i])} at the start, ${signed(last.data[i])} now` : `${signed(last.data[i])} now`);
  };
}

function manyClasses(figure, desk) {
  const start = tiles('At the start', { columns: 16 }), now = tiles('Now'), note = h('p', { class: 'micro center' });
  figure.append(start.element, now.element, note);
  return () => {
    const { weights, scale } = desk.seen;
    start.element.hidden = !weights.start;
    if (weights.start) start.draw(weights.start, scale, startWords(desk));
    now.draw(weightsNow(desk), scale, after(desk), { names: desk.classes });
    write(note, `One picture of weights for each class, all on the same scale: −${scale} to +${scale}. Blue speaks for the class, orange against it.`);
  };
}

function filters(figure, desk) {
  const start = tiles('At the start'), now = tiles('Now'), note = h('p', { class: 'micro center' });
  figure.append(h('div', { class: 'pair' }, start.element, now.element), note);
  return () => {
    const { filters: seen, done } = desk.seen, scale = filterScale(desk);
    start.element.hidden = !seen.start;
    if (seen.start) start.draw(seen.start, scale, startWords(desk));
    now.draw(done ? seen.after : seen.before, scale, after(desk));
    write(note, `All on one scale, −${scale} to +${scale}. ${undrawn(desk)}`);
  };
}

function layers(figure, desk) {
  const rows = h('div', { class: 'layers' }), note = h('p', { class: 'muted small' });
  figure.append(frozenLine(desk), rows, note);
  return () => {
    fill(rows, layerRows(desk, layer => `${count(layer.parameters)} ${layer.frozen ? 'numbers, frozen' : 'numbers'}`,
      layer => Math.sqrt(layer.parameters / Math.max(...desk.seen.layers.map(one => one.parameters)))));
    write(note, undrawn(desk));
  };
}

/** Build the figure of station 1. */
export function buildInitialize(figure, desk) {
  const { weights, filters: maps } = desk.seen;
  if (weights) return (weights.before.shape[0] > 1 ? manyClasses : twoClasses)(figure, desk);
  return (maps ? filters : layers)(figure, desk);
}
