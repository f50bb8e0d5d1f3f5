/** Pictures in rows and walls, as the pages around training show them. */

import { h } from './dom.js';
import { percent, probability } from './format.js';
import { item, thumbnail } from './paint.js';

/** The classes of a run have a color only where there are two of them. */
export const tone = (index, classes) => classes.length === 2 && index >= 0 ? `p${index}` : '';

/** The name of a class in its color. */
export const named = (index, classes) => h('b', { class: tone(index, classes) }, classes[index]);

/** Canvases of an array of pictures [n, c, h, w]; nothing for null. */
export const canvases = pictures =>
  pictures ? Array.from({ length: pictures.shape[0] }, (_, i) => thumbnail(item(pictures, i))) : [];

/** A wall of small pictures without words. */
export const wall = (pictures, most = Infinity, columns = 8) =>
  h('div', { class: 'wall', style: { 'grid-template-columns': `repeat(${columns}, 1fr)` } },
    canvases(pictures).slice(0, most));

/**
 * Pictures with what a model said of them.
 * @param {any} shown {pictures, ids, labels, answers, shares} of the server; pictures decoded
 * @param {string[]} classes
 * @param {{label?: boolean, repair?: (id: string) => void, shares?: boolean}} [how]
 */
export function answered(shown, classes, { label = false, repair, shares = true } = {}) {
  const images = canvases(shown.pictures);
  return h('ul', { class: 'answered' }, shown.ids.map((id, i) => {
    const wrong = shown.answers[i] !== shown.labels[i];
    const words = [
      h('span', { class: tone(shown.answers[i], classes) || (wrong ? 'bad' : '') },
        `${classes[shown.answers[i]]}${shares ? ` ${probability(shown.shares[i], 1)}` : ''}`),
      label ? h('span', {}, `labeled ${classes[shown.labels[i]]}`) : null,
      h('span', { class: 'micro clip', title: id }, id.split('/').slice(-2).join('/')),
    ];
    const picture = images[i] ?? h('span', { class: 'nopicture' }, 'not here');
    return h('li', {}, repair
      ? h('button', { class: 'pic', type: 'button', 'aria-label': `Look at the label of ${id}`, onclick: () => repair(id) }, picture)
      : picture, words);
  }));
}

/** Decode the pictures of an answer of the server in place. */
export const decoded = (store, shown) => ({ ...shown, pictures: store.decode(shown.pictures) });

/** One fact as a tile. */
export const tile = (title, figure, say, bad = false) => h('div', { class: `panel fact${bad ? ' badtile' : ''}` },
  h('p', { class: 'small muted' }, title), h('p', { class: `figurebig num${bad ? ' bad' : ''}` }, bad ? '✕ ' : '', figure),
  h('p', { class: 'small' }, say));

/** A waiting line that says what is being done, and a heading for those who go by headings. */
export const waiting = text => [h('h1', { class: 'sr' }, 'One moment'), h('p', { class: 'patience muted', role: 'status' }, text)];

/** An error where its part of the page would be. */
export const trouble = (error, ...more) => h('div', { class: 'trouble' },
  h('h1', {}, error.message), error.hint ? h('p', { class: 'lead' }, error.hint) : null,
  h('div', { class: 'btns' }, more));

/** "12.3 % to 45.6 %" of an interval. */
export const between = (low, high) => `${percent(low, 1)} to ${percent(high, 1)}`;

/** Has the run that is open seen all corrections, and is its verdict of the model as it is now? */
export const staleness = ({ verdict, edits }) => !verdict ? '' : edits?.count ? 'labels'
  : verdict.status === 'stale' ? 'model' : '';
