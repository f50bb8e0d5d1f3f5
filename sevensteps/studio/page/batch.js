/** The batch in hand: its pictures, what the model answers to each, and which answers are wrong. */

import { fill, h, write } from './dom.js';
import { plural, probability } from './format.js';
import { canvas, photo } from './paint.js';

/** Make the panel of the batch. @param {any} desk */
export function batchPanel(desk) {
  const title = h('h2', { id: 'batch-title', class: 'cap' }), grid = h('div', { class: 'grid' }), right = h('span', { class: 'small muted num' }), legend = h('div', { class: 'legend micro' });
  const element = h('section', { class: 'panel batch', 'aria-labelledby': 'batch-title' },
    h('div', { class: 'head' }, title, right), legend, grid);
  let tiles = [], shape = '';

  function make(n) {
    tiles = Array.from({ length: n }, (_, i) => {
      const there = canvas('', 28, 28), length = h('i'), bar = h('span', { class: 'bar' }, length), said = h('span', { class: 'said' });
      const cross = h('span', { class: 'cross', 'aria-hidden': 'true' }, '✕');
      const button = h('button', { class: 'pic', type: 'button', onclick: () => desk.set({ pick: i, klass: null }) }, there, bar, said, cross);
      return { there, length, bar, said, cross, button };
    });
    grid.classList.toggle('crowd', n > 40);
    element.classList.toggle('crowded', n > 40);
    fill(grid, tiles.map(tile => tile.button));
  }

  function drawLegend() {
    const now = desk.classes.join();
    if (now === shape) return;
    shape = now;
    grid.classList.toggle('many', desk.many);
    fill(legend, h('p', {}, 'Pick one to follow it.', desk.many ? h('span', { class: 'below' }, ' Below is the answer.') : ' The bar is the answer.'),
      desk.many ? null : h('p', { class: 'ends' }, h('span', { class: 'p0' }, `◂ ${desk.classes[0]}`), h('span', { class: 'p1' }, `${desk.classes[1]} ▸`)));
  }

  return {
    element,
    draw() {
      const { seen, pictures } = desk;
      if (!seen || !pictures) return;
      const n = seen.labels.length, known = desk.open(2) && Boolean(seen.probabilities), [, c, height, width] = pictures.shape, size = c * height * width;
      write(title, !desk.ended ? 'This batch' : seen.done ? 'The last batch' : 'The batch that would come next');
      if (tiles.length !== n) make(n);
      drawLegend();
      tiles.forEach(({ there, length, said, cross, bar, button }, i) => {
        photo(there, pictures.data.subarray(i * size, (i + 1) * size), [c, height, width], pictures.white);
        const answer = seen.answers[i], wrong = known && seen.wrong(i), label = desk.classes[seen.labels[i]] ?? '';
        bar.hidden = desk.many;
        said.hidden = !desk.many;
        cross.hidden = !wrong;
        if (desk.many) {
          write(said, known ? desk.classes[answer] : '');
        } else if (known) {
          const p = seen.probability(i, 1);
          length.style.left = `${100 * Math.min(p, 0.5)}%`;
          length.style.width = `${100 * Math.abs(p - 0.5)}%`;
          length.style.background = p > 0.5 ? 'var(--pos)' : 'var(--neg)';
        } else length.style.width = '0';
        button.setAttribute('aria-pressed', String(i === desk.pick));
        button.setAttribute('aria-label', `${label}${known ? `, answered ${desk.classes[answer]} ${probability(seen.sure(i))}${wrong ? ', wrong' : ''}` : ''}`);
      });
      write(right, known && seen.right != null ? `${seen.right} of ${n} right` : plural(n, 'picture'));
    },
  };
}
