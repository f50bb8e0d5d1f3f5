/** Beside the station: the learning rate, the doctor, the stories, and the way to another model. */

import { fill, h, svg, write } from './dom.js';
import { count, list, short } from './format.js';

const RATES = [1, 2, 5].flatMap(lead => [-5, -4, -3, -2, -1, 0, 1].map(power => Number(`${lead}e${power}`))).sort((a, b) => a - b);
const nearest = rate => RATES.reduce((best, one, i) => Math.abs(Math.log(one / rate)) < Math.abs(Math.log(RATES[best] / rate)) ? i : best, 0);

/** Make the panel of the learning rate. @param {any} desk */
export function ratePanel(desk) {
  const value = h('b', { class: 'num' }), note = h('p', { class: 'micro' });
  const slider = h('input', { type: 'range', id: 'rate', min: 0, max: RATES.length - 1, step: 1 });
  slider.addEventListener('input', () => { write(value, short(RATES[slider.value])); slider.setAttribute('aria-valuetext', short(RATES[slider.value])); });
  slider.addEventListener('change', () => desk.act('lr', { lr: RATES[slider.value] }));
  const element = h('section', { class: 'panel rate' }, h('div', { class: 'head' }, h('label', { class: 'cap', for: 'rate' }, 'Learning rate'), value), slider, note);
  return {
    element,
    draw() {
      const { place, run, marks, lost } = desk.state;
      if (document.activeElement !== slider || Number(slider.value) === nearest(place.lr)) {
        slider.value = String(nearest(place.lr));
        slider.setAttribute('aria-valuetext', short(place.lr));
        write(value, short(place.lr));
      }
      slider.disabled = Boolean(lost) || !['paused', 'running'].includes(place.phase);
      const last = marks?.[marks.length - 1], planned = ['paused', 'running'].includes(place.phase) && place.lr_now != null && Math.abs(place.lr_now - place.lr) > 1e-9 * place.lr;
      const schedule = planned ? ` The schedule (${run.recipe.schedule}) makes it ${short(Number(place.lr_now.toPrecision(2)))} for the next batch.` : '';
      write(note, (last ? `From batch ${count(last.batch + 1)} on; marked on the curve.`
        : run.recipe.plain_sgd ? 'new = old − learning rate × gradient. Change it at any batch.' : 'How far each step goes. Change it at any batch.') + schedule);
    },
  };
}

const PULSE = () => svg('svg', { width: 20, height: 20, viewBox: '0 0 20 20', 'aria-hidden': 'true' },
  svg('path', { d: 'M2 11h4l2-6 4 10 2-4h4', fill: 'none', stroke: 'currentColor', 'stroke-width': 1.8, 'stroke-linejoin': 'round', 'stroke-linecap': 'round' }));

/** The first sentence of a message, without what stands in parentheses; all of it is under "Evidence". */
const firstSentence = message => message.split(/(?<=[.!?])\s+(?=[A-Z])/)[0].replace(/\s*\([^()]*\)/g, '').replace(/[.:;,\s]*$/, '.');

/** Make the doctor: a quiet line, or one sentence that opens its evidence. @param {any} desk */
export function doctorPanel(desk) {
  const text = h('div', {}), element = h('section', { class: 'panel doctor', 'aria-label': 'Doctor' }, PULSE(), text);
  let shown = '';
  return {
    element,
    draw() {
      const { doctor = [], epochs = [], place } = desk.state, open = doctor.filter(one => one.recovered_at == null), one = open[open.length - 1];
      const now = JSON.stringify([doctor, epochs.length, place.phase === 'failed' && place.error]);
      if (now === shown) return;
      shown = now;
      element.classList.toggle('warn', Boolean(one) || place.phase === 'failed');
      if (!one) {
        const when = [...new Set(doctor.map(past => past.epoch))], over = doctor.length ? ` What it saw after epoch${when.length > 1 ? 's' : ''} ${list(when)} is over.` : '';
        fill(text, h('p', {}, h('b', {}, 'Doctor '), over ? `Nothing is wrong now.${over}`
          : epochs.length ? `Nothing is wrong after epoch ${epochs.length}.` : 'It looks after every epoch. Epoch 1 is not over yet.'));
        return;
      }
      fill(text, h('p', {}, h('b', {}, 'Doctor '), firstSentence(one.message)),
        h('details', {}, h('summary', {}, 'Evidence'), h('p', {}, one.message), h('p', {}, one.fix)),
        open.length > 1 ? h('p', { class: 'micro' }, `and ${open.length - 1} more in the verdict`) : null);
    },
  };
}

/** Make the stories ("What if") and the form for another model, loss or start. @param {any} desk */
export function storyPanel(desk) {
  const chips = h('div', { class: 'chips' }), watch = h('p', { class: 'small watch', hidden: true }), form = h('form', { class: 'another', onsubmit: begin });
  const element = h('section', { 'aria-labelledby': 'story-title', class: 'stories' }, h('h2', { class: 'cap', id: 'story-title' }, 'What if'), watch, chips,
    h('details', { class: 'anew' }, h('summary', {}, 'Another model, loss or start'), form));
  let shown = '', buttons = [];

  function field(name, label, choices, current) {
    if (!choices?.length) return null;
    return h('label', {}, label, h('select', { name }, choices.map(one => h('option', { value: one, selected: one === current }, one))));
  }

  /** Begin a new run with what differs from this one. */
  function begin(event) {
    event.preventDefault();
    const { recipe } = desk.state.run, given = new FormData(form), settings = { seed: given.get('again') ? 'same' : 'new' };
    for (const [name, now] of [['model', recipe.model], ['loss', recipe.loss], ['start', recipe.init]]) {
      if (given.get(name) !== String(now)) settings[name] = given.get(name);
    }
    for (const name of ['epochs', 'batch_size', 'lr']) {
      if (Number(given.get(name)) !== recipe[name]) settings[name] = Number(given.get(name));
    }
    desk.act('start', settings, { walk: true });
  }

  return {
    element,
    draw() {
      const { studio, run, lost, place } = desk.state, now = JSON.stringify([studio?.stories, run?.recipe, run?.name]);
      if (now !== shown && studio && run && !form.contains(document.activeElement)) {
        shown = now;
        const { recipe } = run;
        buttons = studio.stories.map(({ name, say }) => h('button', { class: 'plain', type: 'button', 'data-story': name,
          onclick: () => desk.act('start', { story: run.story === name ? null : name }, { walk: true }) }, say ?? name));
        fill(chips, buttons);
        fill(form, field('model', 'Model', studio.models, recipe.model), field('loss', 'Loss', studio.losses, recipe.loss), field('start', 'Start', studio.starts, recipe.init),
          h('label', {}, 'Epochs', h('input', { type: 'number', name: 'epochs', min: 1, max: 1000, value: recipe.epochs, required: true })),
          h('label', {}, 'Pictures in a batch', h('input', { type: 'number', name: 'batch_size', min: 1, max: 4096, value: recipe.batch_size, required: true })),
          h('label', {}, 'Learning rate', h('input', { type: 'number', name: 'lr', min: 0, step: 'any', value: recipe.lr, required: true })),
          h('label', { class: 'check' }, h('input', { type: 'checkbox', name: 'again', checked: true }), 'Same random numbers'),
          h('button', { class: 'btn' }, 'Start a new run'), h('p', { class: 'micro' }, 'This run is kept; the new one remembers where it came from.'));
      }
      element.hidden = Boolean(run?.learner); // from another run nothing would lead back to a learner of the notebook
      const told = studio?.stories.find(({ name }) => name === run?.story);
      watch.hidden = !told;
      write(watch, told?.watch ?? '');
      for (const one of buttons) {
        one.setAttribute('aria-pressed', String(one.dataset.story === run?.story));
        one.disabled = Boolean(lost) || place.phase === 'opening';
      }
    },
  };
}
