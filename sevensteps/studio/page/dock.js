/** The controls: step, batch, epoch, run and pause, rewind, back, the time line, the speed. */

import { fill, h, icon, write } from './dom.js';
import { count } from './format.js';

const SPEEDS = [[1, 'steps'], [2, 'steps'], [1, 'batches'], [2, 'batches'], [6, 'batches'], [20, 'batches'], [0, 'batches']];
const speedWords = ([value, unit]) => value ? `${value} ${value === 1 ? (unit === 'steps' ? 'step' : 'batch') : unit}/s` : 'full speed';
const LIVE = ['paused', 'running'];

/** Make the dock. @param {any} desk */
export function dock(desk) {
  const button = (name, kids, f, props = {}) => h('button', { class: 'btn', type: 'button', 'data-do': name, onclick: f, ...props }, kids);
  const key = text => h('kbd', { class: 'key', 'aria-hidden': 'true' }, text);
  /** What is pressed while it runs pauses first. */
  async function tell(verb, walk) {
    if (desk.running && !await desk.act('pause')) return;
    await desk.act(verb, {}, { walk });
  }
  async function runOrPause() {
    if (desk.running) { await desk.act('pause'); return; }
    // Where a run is watched from: at the first and the last stations nothing moves, at step 5 the weights do.
    if ([1, 6, 7].includes(desk.look) && desk.state.place.speed?.unit !== 'steps') desk.set({ look: 5, shown: !desk.guess });
    await desk.act('run');
  }
  const rewind = button('rewind', icon('rewind'), () => tell('rewind', true), { class: 'btn icon', 'aria-label': 'Rewind to the start, same seed', title: 'Rewind to the start, same seed (r)' });
  const back = button('back', icon('back'), () => tell('back', true), { class: 'btn icon', 'aria-label': 'Back one batch', title: 'Back one batch (left arrow)' });
  const step = button('step', [icon('step'), h('span', {}, h('span', { class: 'long' }, 'Next step'), h('span', { class: 'short' }, 'Step')), key('→')],
    () => tell('step', true), { class: 'btn main', title: 'Next step (right arrow)' });
  const batch = button('batch', ['Batch', key('b')], () => tell('batch', false), { title: 'To the end of this batch (b)' });
  const epoch = button('epoch', ['Epoch', key('e')], () => tell('epoch', false), { title: 'To the end of this epoch (e)' });
  const runIcon = h('span', { class: 'runicon' }), runWord = h('span', { class: 'runword' });
  const run = button('run', [runIcon, runWord, key('space')], runOrPause, { class: 'btn run' });
  const time = h('input', { type: 'range', id: 'time', min: 0, step: 1 }), label = h('label', { for: 'time' }), right = h('span');
  const speed = h('input', { type: 'range', id: 'speed', min: 0, max: SPEEDS.length - 1, step: 1 }), speedLabel = h('span');
  const element = h('div', { class: 'dock', role: 'region', 'aria-label': 'Controls' },
    h('div', { class: 'btns' }, rewind, back, step, batch, epoch, h('span', { class: 'sep' }), run),
    h('div', { class: 'time' }, h('div', { class: 'row num' }, label, right), time),
    h('div', { class: 'speed' }, h('div', { class: 'row num' }, h('label', { for: 'speed' }, 'Speed'), speedLabel), speed));

  time.addEventListener('input', () => write(label, `Back to batch ${count(Number(time.value))}`));
  time.addEventListener('change', () => {
    const to = Number(time.value), done = desk.state.place.batch;
    if (to < done) desk.act('back', { to }, { walk: true });
    else {
      if (to > done) desk.store.put({ problem: { message: `Batch ${count(to)} is not trained yet.`, hint: 'Press Run or Epoch to go on.' } });
      draw();
    }
  });
  speed.addEventListener('input', () => write(speedLabel, speedWords(SPEEDS[speed.value])));
  speed.addEventListener('change', () => {
    const [value, unit] = SPEEDS[speed.value];
    desk.act('speed', { value, unit });
  });

  function draw() {
    const { place, lost } = desk.state, live = LIVE.includes(place.phase) && !lost, { running } = desk;
    for (const one of [step, batch, epoch]) one.disabled = !live;
    run.disabled = !live;
    back.disabled = Boolean(lost) || !(LIVE.includes(place.phase) || ['done', 'failed'].includes(place.phase)) || (!place.batch && place.station < 2);
    rewind.disabled = Boolean(lost) || ['opening', 'judging', 'empty'].includes(place.phase) || (!place.batch && place.station < 2);
    time.disabled = Boolean(lost) || running || !place.batch;
    if (run.dataset.running !== String(running)) {
      run.dataset.running = String(running);
      fill(runIcon, icon(running ? 'pause' : 'run'));
      write(runWord, running ? 'Pause' : 'Run');
      run.title = `${running ? 'Pause' : 'Run'} (space)`;
    }
    const repeat = desk.seen?.repeat ?? { batch: 0, per_epoch: place.per_epoch ?? 0, epoch: place.epoch, epochs: place.epochs };
    time.max = String(place.total ?? Math.max(place.batch, 1));
    if (document.activeElement !== time || Number(time.value) !== place.batch) time.value = String(place.batch);
    time.setAttribute('aria-valuetext', `${place.batch} of ${place.total ?? 'any number of'} batches done`);
    write(label, desk.ended ? `All ${count(place.batch)} batches are done` : `Batch ${count(repeat.batch)} of ${count(repeat.per_epoch)}`);
    write(right, `epoch ${Math.min(repeat.epoch, repeat.epochs)} of ${repeat.epochs}`);
    const now = SPEEDS.findIndex(([value, unit]) => value === place.speed?.value && (unit === place.speed?.unit || !value));
    if (document.activeElement !== speed) speed.value = String(now < 0 ? SPEEDS.length - 3 : now);
    speed.disabled = Boolean(lost);
    const words = speedWords(now < 0 && place.speed ? [place.speed.value, place.speed.unit] : SPEEDS[speed.value]);
    speed.setAttribute('aria-valuetext', words);
    write(speedLabel, words);
  }

  /** What the keys do: they press the buttons, so that a dead button has a dead key. */
  const keys = { ArrowRight: step, ArrowLeft: back, b: batch, e: epoch, r: rewind, ' ': run };
  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const { target } = event, typing = target.closest?.('input, select, textarea, summary');
    const pressed = keys[event.key];
    if (!pressed || typing || (event.key === ' ' && target.closest?.('button, a'))) return;
    event.preventDefault();
    if (!pressed.disabled) pressed.click();
  }

  return { element, draw, onKey };
}
