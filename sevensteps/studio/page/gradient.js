/** Station 4: how the loss would change with each number, and which pictures pull hardest. */

import { fill, h, write } from './dom.js';
import { number, percent, signed } from './format.js';
import { frozenLine, inWords, layerRows, small, undrawn } from './parts.js';
import { picture, pointer, tiles } from './picture.js';
import { item, nice, plane, top } from './paint.js';
import { lossFamily } from './words.js';

/** How hard picture `i` pulls: the size of its loss's slope at the scores. Null where the loss is not one we know. */
function pull(seen, i) {
  const p = seen.probability(i, seen.labels[i]);
  return { l1: p * (1 - p), binary: 1 - p, entropy: 1 - p }[lossFamily(seen.loss_name)] ?? null;
}

const WHY = {
  l1: 'A picture answered near 50\u00a0% pulls hardest. Where the answer is sure, right or wrong, the sigmoid is flat and the pull is almost 0: such a start can get stuck.',
  binary: 'A picture with a sure and wrong answer pulls hardest. One with a sure and right answer hardly pulls: it has nothing to teach.',
  entropy: 'A picture with a sure and wrong answer pulls hardest. One with a sure and right answer hardly pulls: it has nothing to teach.',
};

/** The pictures that pull hardest, with their shares. */
function pulls(desk) {
  const list = h('div', { class: 'pulls' }), box = h('div', {}, h('p', { class: 'cap' }, 'Which pictures pull hardest'), list);
  return {
    box,
    draw() {
      const { seen } = desk, n = seen.labels.length;
      box.hidden = !seen.probabilities || pull(seen, 0) == null;
      if (box.hidden) return;
      const of = seen.labels.map((_, i) => pull(seen, i)), all = of.reduce((sum, value) => sum + value, 0) || 1;
      const order = Array.from({ length: n }, (_, i) => i).sort((p, q) => of[q] - of[p]).slice(0, 4), most = of[order[0]] || 1;
      fill(list, order.map(i => h('div', { class: 'pull' }, small(desk, i), h('div', {}, inWords(desk, i),
        `: ${percent(of[i] / all, of[i] / all < 0.1 ? 1 : 0)} of the pull`, h('div', { class: 'meter' }, h('i', { style: { width: `${100 * of[i] / most}%` } }))))),
      h('p', { class: 'micro' }, `If all ${n} pulled alike, each would have ${percent(1 / n, 1)}. ${WHY[lossFamily(seen.loss_name)]}`));
    },
  };
}

const signs = () => h('p', { class: 'micro signs' }, h('span', { class: 'p0' }, 'Orange'), ': a larger weight would lower the loss. ',
  h('span', { class: 'p1' }, 'Blue'), ': it would raise it.');

function twoClasses(figure, desk) {
  const point = pointer(desk), one = picture('Gradient', point), side = pulls(desk);
  one.element.append(signs());
  figure.append(h('div', { class: 'two' }, one.element, side.box), point.line);
  return () => {
    const slopes = item(desk.seen.weights.gradient, 0), flat = plane(slopes);
    one.draw(slopes, nice(top(slopes.data)), 'one number for each weight');
    point.reads(flat.shape, i => flat.data[i] === 0 ? 'gradient 0: this weight stays where it is'
      : `gradient ${signed(flat.data[i])}: a larger weight here would ${flat.data[i] > 0 ? 'raise' : 'lower'} the loss`);
    side.draw();
  };
}

function manyClasses(figure, desk) {
  const grid = tiles('Gradient'), side = pulls(desk), scale = h('p', { class: 'micro' });
  grid.element.append(scale, signs());
  figure.append(h('div', { class: 'two even' }, grid.element, side.box));
  return () => {
    const { gradient } = desk.seen.weights, most = nice(top(gradient.data));
    grid.draw(gradient, most, 'for each class, one number for each weight', { names: desk.classes });
    write(scale, `All on one scale: −${most} to +${most}.`);
    side.draw();
  };
}

function network(figure, desk) {
  const grid = tiles('Gradient of the filters', { columns: 8 }), rows = h('div', { class: 'layers' }), side = pulls(desk), note = h('p', { class: 'micro' });
  const left = h('div', { class: 'stack' }, frozenLine(desk), grid.element, h('div', {}, h('p', { class: 'cap' }, 'How much of it reaches each layer'), rows), note);
  figure.append(h('div', { class: 'two even' }, left, side.box));
  return () => {
    const { filters, layers } = desk.seen;
    grid.element.hidden = !filters;
    if (filters) {
      const most = nice(top(filters.gradient.data));
      grid.draw(filters.gradient, most, `−${most} to +${most}`);
    }
    const all = Math.sqrt(layers.reduce((sum, layer) => sum + (layer.gradient_norm ?? 0) ** 2, 0)) || 1;
    fill(rows, layerRows(desk, layer => layer.frozen ? 'frozen: none' : number(layer.gradient_norm), layer => (layer.gradient_norm ?? 0) / all));
    write(note, undrawn(desk));
    side.draw();
  };
}

/** Build the figure of station 4. */
export function buildGradient(figure, desk) {
  const { weights } = desk.seen;
  if (weights) return (weights.before.shape[0] > 1 ? manyClasses : twoClasses)(figure, desk);
  return network(figure, desk);
}
