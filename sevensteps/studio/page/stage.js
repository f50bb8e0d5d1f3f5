/** The open station: its name, one sentence, its figure, and the tensors behind it. */

import { calm, fill, h, write } from './dom.js';
import { count, number } from './format.js';
import { buildGradient } from './gradient.js';
import { buildInitialize } from './initialize.js';
import { buildLoss } from './loss.js';
import { buildPredict } from './predict.js';
import { buildRepeat, buildStop } from './repeat.js';
import { buildStep } from './step.js';
import { NAMES, question, sentence } from './words.js';

const BUILD = [null, buildInitialize, buildPredict, buildLoss, buildGradient, buildStep, buildRepeat, buildStop];

/** What stands where a station has no numbers yet. */
function buildWaiting(figure, desk) {
  const note = h('p', {}), go = h('button', { class: 'btn main', type: 'button', onclick: walk }, 'Go there');
  async function walk() {
    figure.closest('.stage').focus({ preventScroll: true });
    for (let n = desk.state.place.station; n < desk.look; n++) if (!await desk.act('step', {}, { walk: true })) return;
  }
  figure.append(h('div', { class: 'waiting' }, note, go));
  return () => {
    write(note, `This batch has not reached step ${desk.look} yet, so there are no numbers to show.`);
    go.disabled = desk.running || Boolean(desk.state.lost);
  };
}

/** "Guess first": a question instead of the figure, until it is answered. */
function buildGuess(figure, desk) {
  const asked = question(desk.look, desk);
  function reveal(guess) {
    desk.set({ shown: true, guessed: guess == null ? null : { guess, asked } }, 'enter');
    figure.closest('.stage').focus({ preventScroll: true }); // what had the focus goes
  }
  const box = h('div', { class: 'guess' }, h('p', {}, asked.ask));
  if (asked.choose) {
    box.append(h('div', { class: 'chips' }, asked.choose.map(text =>
      h('button', { class: 'btn', type: 'button', onclick: () => reveal(text) }, text))));
  } else {
    const field = h('input', { type: 'number', min: 0, max: asked.most, 'aria-label': 'Your guess', class: 'num' });
    const form = h('form', { class: 'btns', onsubmit: event => { event.preventDefault(); reveal(field.value || null); } },
      field, h('button', { class: 'btn main' }, 'Reveal'));
    box.append(form);
  }
  box.append(h('button', { class: 'plain', type: 'button', onclick: () => reveal(null) }, 'Show without a guess'));
  figure.append(box);
  return () => {};
}

/** The tensors of a station as rows: name, shape, range, numbers from the middle. */
function tensorRows(desk, { number: station, tensors }) {
  const one = desk.seen.layers.filter(layer => !layer.frozen).length === 1; // then "weight" says as much as "1.weight"
  const named = name => {
    if (name === 'x') return desk.seen.features ? 'features' : 'pictures';
    const plain = one ? name.replace(/^\d+\./, '') : name;
    return station === 4 ? `gradient of ${plain}` : station === 5 ? `new ${plain}` : plain;
  };
  return h('table', {}, h('thead', {}, h('tr', {}, ['numbers', 'shape', 'from, to', 'some of them'].map(title => h('th', { scope: 'col' }, title)))),
    h('tbody', {}, tensors.map(({ name, shape, min, max, first }) => h('tr', {},
    h('th', { scope: 'row' }, named(name)), h('td', {}, shape.join('×') || '1'),
    h('td', {}, min === max ? '' : `${number(min)} to ${number(max)}`),
    h('td', {}, `${first.map(value => number(value)).join('  ')}${first.length && shape.reduce((a, b) => a * b, 1) > first.length ? ' …' : ''}`)))));
}

/** Make the stage. @param {any} desk */
export function stage(desk) {
  const title = h('span'), of = h('span', { class: 'of num' }), say = h('p', { class: 'say' });
  const figure = h('div', { class: 'fig' }), after = h('p', { class: 'guessed', hidden: true });
  const guess = h('button', {
    class: 'plain', type: 'button', role: 'switch', 'aria-checked': 'false',
    title: 'Predict, then reveal: ask for a guess before each step shows its result',
    onclick: () => desk.set({ guess: !desk.guess, shown: desk.guess, guessed: null }, 'enter'),
  }, 'Guess first');
  const tensors = h('div', { class: 'tensor', tabindex: 0, role: 'region', 'aria-label': 'Tensors of this step: name, shape, range, some values' });
  const element = h('section', { class: 'panel stage', id: 'stage', tabindex: -1, 'aria-labelledby': 'station' },
    h('div', { class: 'head' }, h('h2', { id: 'station' }, title, ' ', of), guess), say, after, figure, tensors);
  let built = '', update = () => {};

  function build(enter) {
    const { look } = desk, waits = !desk.reached(look), asks = !waits && !desk.shown;
    const now = [look, desk.kind, desk.many, Boolean(desk.seen?.weights), Boolean(desk.seen?.filters), waits, asks, desk.state.run?.name].join();
    if (now === built && !enter) return;
    built = now;
    fill(figure);
    figure.className = `fig fig-${look}${enter && !calm() && !desk.fast ? ' in' : ''}`;
    update = (waits ? buildWaiting : asks ? buildGuess : BUILD[look])(figure, desk);
  }

  return {
    element,
    /** Draw the open station; `enter` builds it anew, term by term. */
    draw(enter) {
      write(title, NAMES[desk.look]);
      write(of, `${desk.look} of 7`);
      write(say, sentence(desk.look, desk));
      guess.setAttribute('aria-checked', String(desk.guess));
      if (!desk.seen) return;
      build(enter);
      update();
      const shown = desk.open(desk.look);
      tensors.hidden = !shown;
      if (shown) fill(tensors, tensorRows(desk, desk.seen.stations[desk.look - 1]));
      if (shown && !desk.seen.stations[desk.look - 1].tensors.length) tensors.hidden = true;
      after.hidden = !desk.guessed || !shown;
      if (desk.guessed) {
        const { guess: said, asked } = desk.guessed, is = asked.is?.();
        write(after, `Your guess: ${said}.${is == null ? '' : ` It is: ${typeof is === 'number' ? count(is) : is}.`}`);
      }
    },
  };
}
