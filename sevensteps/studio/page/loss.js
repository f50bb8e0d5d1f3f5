/** Station 3: the loss of each picture in the batch, the largest first, and their mean. */

import { fill, h, write } from './dom.js';
import { loss, number, probability } from './format.js';
import { nice } from './paint.js';
import { small, tone } from './parts.js';

/** Build the figure of station 3. */
export function buildLoss(figure, desk) {
  const bars = h('div', { class: 'bars', role: 'group', 'aria-label': 'Loss of each picture, the largest first' });
  const under = h('div', { class: 'under', 'aria-hidden': 'true' }), worst = h('div', { class: 'worst' });
  const words = h('span'), mean = h('div', { class: 'mean' }, words), most = h('span', { class: 'most micro num' });
  figure.append(h('div', { class: 'losses' }, bars, under), h('p', { class: 'cap' }, 'The four largest'), worst);
  let buttons = [];
  return () => {
    const { seen, pick } = desk, { data } = seen.losses, n = data.length;
    const scale = nice(Math.max(data[seen.order[0]], 0.1)); // grows and shrinks in steps; its top is printed
    if (buttons.length !== n) {
      buttons = Array.from({ length: n }, (_, at) => h('button', { type: 'button', onclick: () => desk.set({ pick: desk.seen.order[at], klass: null }) }));
      fill(bars, buttons, mean, most);
      for (const grid of [bars, under]) grid.style.setProperty('--n', String(n));
      under.hidden = n > 40;
    }
    seen.order.forEach((i, at) => {
      const one = buttons[at], words2 = `${desk.classes[seen.labels[i]] ?? ''}, loss ${number(data[i])}${seen.wrong(i) ? ', wrong' : ''}`;
      one.className = seen.wrong(i) ? 'wrong' : '';
      one.style.height = `${Math.max(1.2, 100 * Math.min(1, data[i] / scale))}%`;
      one.setAttribute('aria-pressed', String(i === pick));
      one.setAttribute('aria-label', words2);
      one.title = `loss ${number(data[i])}`;
    });
    mean.style.bottom = `${100 * Math.min(1, seen.loss / scale)}%`;
    write(words, `mean of all ${n} = the loss: ${loss(seen.loss)}`);
    write(most, String(scale));
    if (n <= 40) fill(under, seen.order.map(i => small(desk, i)));
    fill(worst, seen.order.slice(0, 4).map(i => h('button', { class: 'card', type: 'button', onclick: () => desk.set({ pick: i, klass: null }) },
      small(desk, i), h('span', {}, h('b', { class: 'num' }, number(data[i])), h('br'),
        seen.answers[i] == null ? '' : [`labeled ${desk.classes[seen.labels[i]]}; it says `,
          h('span', { class: tone(desk, seen.answers[i]) }, `${desk.classes[seen.answers[i]]} ${probability(seen.sure(i))}`)]))));
  };
}
