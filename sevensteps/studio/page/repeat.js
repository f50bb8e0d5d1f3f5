/** Stations 6 and 7: how often it was done, and what decides when it ends. */

import { fill, h, write } from './dom.js';
import { count, plural } from './format.js';
import { cell } from './paint.js';
import { wholeBatch } from './words.js';

const CELLS = 700; // more batches than cells: one cell stands for several

/** Paint the batches of an epoch as cells: done ones dark, this one lit. */
function paintEpoch(there, per, done, here) {
  const each = Math.ceil(per / CELLS), n = Math.ceil(per / each), lines = n > 34 ? 4 : 1, columns = Math.ceil(n / lines), context = there.getContext('2d');
  const wide = Math.min(there.width / columns, 20);
  context.clearRect(0, 0, there.width, there.height);
  for (let i = 0; i < n; i++) {
    const full = i < done / each, at = [Math.floor(i / lines) * wide, lines > 1 ? (i % lines) * 20 : 30, Math.max(1, Math.min(wide - 1.4, 16)), 17];
    cell(context, at, i === here ? '--lamp' : full ? '--ink' : '--line', i === here || full);
  }
}

/** Build the figure of station 6. */
export function buildRepeat(figure, desk) {
  const big = h('p', { class: 'big' }), tally = h('div', { class: 'tally' }), note = h('p', { class: 'muted' });
  figure.append(big, tally, note);
  let rows = [];
  return () => {
    const { repeat, done } = desk.seen, { batch, per_epoch: per, epoch, epochs } = repeat;
    if (desk.ended) fill(big, count(desk.done()), h('small', {}, ` batches in ${plural(epochs, 'epoch')}: all done`));
    else fill(big, count(batch), h('small', {}, ` of ${plural(per, 'batch', 'batches')} in epoch ${epoch} of ${epochs}`));
    const first = Math.max(1, Math.min(epoch - 3, epochs - 5)), shown = Math.min(6, epochs);
    if (rows.length !== shown) {
      rows = Array.from({ length: shown }, () => ({ name: h('span'), there: h('canvas', { width: 676, height: 80, role: 'img' }) }));
      fill(tally, rows.map(({ name, there }) => h('div', { class: 'row' }, name, there)));
    }
    rows.forEach(({ name, there }, i) => {
      const e = first + i, finished = e < epoch ? per : e === epoch ? batch - (done ? 0 : 1) : 0;
      write(name, `Epoch ${e}`);
      there.setAttribute('aria-label', `Epoch ${e}: ${finished} of ${per} batches done`);
      paintEpoch(there, per, finished, e === epoch ? Math.floor((batch - 1) / Math.ceil(per / CELLS)) : -1);
    });
    write(note, `${per > CELLS ? `One cell is ${Math.ceil(per / CELLS)} batches` : 'One cell is one batch'} of ${plural(wholeBatch(desk), 'picture')}. ${epochs > shown ? `${epochs} epochs in all.` : ''}`);
  };
}

/** Build the figure of station 7. */
export function buildStop(figure, desk) {
  const big = h('p', { class: 'big' }), rules = h('div', { class: 'rules' }), note = h('p', { class: 'muted' }), link = h('a', { class: 'btn main', href: '#verdict' }, 'See how good it is');
  const again = h('button', { class: 'btn main', type: 'button', onclick: () => desk.act('rewind', {}, { walk: true }) }, 'Back to the start');
  figure.append(big, rules, note, link, again);
  return () => {
    const { stop } = desk.seen, { stopped, phase, error } = desk.state.place;
    write(big, stopped ? 'Stopped.' : 'Not yet.');
    fill(rules, stop.rules.map(({ text, value, met }) => h('div', { class: `rule${met ? ' met' : ''}` },
      h('span', { class: 'tick', 'aria-hidden': 'true' }, met ? '✓' : ''), h('span', {}, text, h('span', { class: 'sr' }, met ? ' (met)' : ' (not met)')), h('span', { class: 'micro num' }, value))));
    const beyond = error && stop.rules.some(rule => rule.met); // the hint is for the command line
    again.hidden = !beyond;
    write(note, beyond ? `${error.message} The steps were too long. Go back to the start, choose a lower learning rate, and run again.`
      : error ? `${error.message} ${error.hint}` : stopped ? `It stopped because ${stopped.words}.${phase === 'judging' ? ' Now it answers the test pictures, which it has never seen.' : ''}` : 'Training stops when one of these holds.');
    link.hidden = !stopped || phase !== 'done';
  };
}
