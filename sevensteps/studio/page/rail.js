/** The line of seven stations. Each is its own picture; a picture travels along it as the batch does. */

import { calm, h, write } from './dom.js';
import { count, loss, number, plural, short } from './format.js';
import { canvas, heat, item, plane, top } from './paint.js';
import { blank, followed, mini } from './mini.js';
import { NAMES } from './words.js';

const TRAVEL = 520, RETURN = 760; // milliseconds, as the tokens --m-travel and the way back under the line

/** What a station says under its name. */
function values(desk) {
  const { seen } = desk, { weights } = seen, place = desk.state.place;
  const steepest = weights ? top(weights.gradient.data) : Math.max(...seen.layers.map(layer => layer.gradient_norm ?? 0));
  const moved = weights ? weights.after.data.reduce((most, v, i) => Math.max(most, Math.abs(v - weights.before.data[i])), 0) : null;
  return ['', plural(seen.parameters, 'number'), seen.right == null ? '' : `${seen.right} of ${seen.labels.length} right`,
    loss(seen.loss), `${weights ? 'largest' : 'size'} ${number(steepest)}`,
    moved == null ? `rate ${short(seen.lr)}` : `at most ${number(moved)}`,
    desk.ended ? `${plural(place.batch, 'batch', 'batches')} done` : `batch ${count(seen.repeat.batch)} of ${count(seen.repeat.per_epoch)}`, place.stopped ? 'stopped' : 'not yet'];
}

/** Make the line. @param {any} desk */
export function rail(desk) {
  const stops = NAMES.slice(1).map((name, i) => {
    const there = canvas('', 28, 28), value = h('span', { class: 'val num' });
    const button = h('button', { class: 'stop', type: 'button', onclick: () => desk.set({ look: i + 1, shown: !desk.guess, guessed: null }, 'enter') },
      h('span', { class: 'mini' }, there), h('span', { class: 'name' }, h('span', { class: 'node' }, String(i + 1)), name), value);
    return { button, there, value };
  });
  const element = h('nav', { class: 'rail', 'aria-label': 'The seven steps' }, h('div', { class: 'way' }, h('div', { class: 'track' }),
    h('ol', { class: 'stops' }, stops.map(stop => h('li', {}, stop.button))),
    h('div', { class: 'loop', 'aria-hidden': 'true' }, h('span', {}, 'steps 2 to 6, for every batch'))));
  let endJourney = () => {};

  function draw() {
    const said = desk.seen ? values(desk) : [];
    stops.forEach(({ button, there, value }, i) => {
      const station = i + 1, open = desk.open(station);
      button.toggleAttribute('data-wait', !desk.reached(station));
      if (station === desk.look) button.setAttribute('aria-current', 'step');
      else button.removeAttribute('aria-current');
      write(value, open ? said[station] : '–');
      if (open) mini(station, there, desk);
      else blank(there);
    });
  }

  /** Let a picture travel from station to station; a new journey ends the one before. */
  function travel(from, to) {
    endJourney();
    if (calm() || desk.fast || document.hidden || !desk.pictures || !stops[to - 1]) return;
    const start = stops[from - 1].there, end = stops[to - 1].there, a = start.getBoundingClientRect(), b = end.getBoundingClientRect();
    if (a.bottom < 0 || b.bottom < 0) return;
    const ghost = canvas('', 28, 28);
    ghost.className = 'ghost';
    if ([3, 6, 7].includes(from)) followed(ghost, desk);
    else {
      [ghost.width, ghost.height] = [start.width, start.height];
      ghost.getContext('2d').drawImage(start, 0, 0);
    }
    for (const [side, value] of [['left', a.left], ['top', a.top], ['width', a.width], ['height', a.height]]) ghost.style.setProperty(side, `${value}px`);
    document.body.append(ghost);
    const x = b.left - a.left, y = b.top - a.top, back = to < from;
    end.style.visibility = 'hidden';
    const journey = ghost.animate([{ transform: 'none' }, { transform: `translate(${x / 2}px, ${y / 2 + (back ? 92 : -20)}px) scale(1.15)` },
      { transform: `translate(${x}px, ${y}px)` }], { duration: back ? RETURN : TRAVEL, easing: 'cubic-bezier(.5, 0, .2, 1)' });
    endJourney = () => {
      endJourney = () => {};
      journey.cancel();
      ghost.remove();
      end.style.visibility = '';
    };
    journey.onfinish = endJourney;
  }

  /** At full speed: the weights of the latest batch, which come 30 times a second. */
  function live({ weights, filters, scale }) {
    if (!desk.open(5) || !desk.seen) return;
    const array = weights ?? filters;
    if (!array || array.shape[0] > 1) return;
    const flat = plane(item(array, 0));
    heat(stops[4].there, flat.data, flat.shape, scale);
  }

  return { element, draw, travel, live, close() { endJourney(); } };
}
