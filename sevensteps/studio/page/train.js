/** The train view: the line of stations, the batch, the open station, the curve, the controls. */

import { calm, fill, h, write } from './dom.js';
import { batchPanel } from './batch.js';
import { curvePanel } from './curve.js';
import { openDesk } from './desk.js';
import { dock } from './dock.js';
import { list } from './format.js';
import { rail } from './rail.js';
import { say } from './say.js';
import { doctorPanel, ratePanel, storyPanel } from './side.js';
import { stage } from './stage.js';
import { decode } from './store.js';
import { NAMES } from './words.js';

/** What stands here without a run: nothing chosen, still opening, or failed. */
function emptyPage(root, { place, gathering, notes }) {
  const opening = place.phase === 'opening', error = place.error;
  fill(root, h('div', { class: 'page nothing' },
    h('h1', {}, error ? error.message : opening ? 'Opening the pictures …' : 'Nothing to train yet.'),
    h('p', { class: 'lead' }, error ? error.hint : opening ? 'Reading them, and looking for damaged files and copies.'
      : gathering ? 'Your pictures are gathered, but not open yet. Press “Use these pictures”, and training can begin.' : 'First choose pictures: yours, or pullover and dress.'),
    opening ? h('p', { class: 'muted num' }, notes?.at(-1) ?? '') : h('div', { class: 'btns' }, h('a', { class: 'btn main', href: '#start' }, 'Choose pictures'))));
}

/**
 * Mount the view.
 * @param {HTMLElement} root
 * @param {any} store
 */
export function mount(root, store) {
  const { state } = store;
  let layout = null, reasons = new Set(), waiting = 0, last = '';

  const desk = openDesk(store, reason => {
    reasons.add(reason);
    waiting ||= requestAnimationFrame(draw);
  });

  function build() {
    const parts = { rail: rail(desk), batch: batchPanel(desk), stage: stage(desk), curve: curvePanel(desk), rate: ratePanel(desk),
      doctor: doctorPanel(desk), story: storyPanel(desk), dock: dock(desk) };
    const title = h('h1', { class: 'sr' });
    fill(root, title, parts.rail.element, h('div', { class: 'bench' }, parts.batch.element, parts.stage.element,
      h('div', { class: 'side' }, parts.curve.element, parts.rate.element, h('div', { class: 'stack' }, parts.doctor.element, parts.story.element))), parts.dock.element);
    return { ...parts, title };
  }

  /** Tell a screen reader where training is. */
  function announce() {
    const { place } = state, done = place.phase === 'done';
    const text = done ? `Training stopped${place.stopped ? ` because ${place.stopped.words}` : ''}.`
      : `Step ${place.station}, ${NAMES[place.station]}. Batch ${place.batch + (place.station < 6 ? 1 : 0)}${desk.seen && place.station >= 3 ? `, loss ${desk.seen.loss?.toFixed(3)}` : ''}.`;
    if (text !== last) say(text, { often: desk.running });
    last = text;
  }

  function draw() {
    waiting = 0;
    const now = reasons;
    reasons = new Set();
    if (!state.run || !desk.seen) {
      layout = null;
      emptyPage(root, state);
      return;
    }
    layout ??= build();
    const walk = [...now].find(reason => reason.startsWith('walk '));
    write(layout.title, `Train: ${list(desk.classes)}`);
    if (walk) layout.rail.travel(...walk.split(' ').slice(1).map(Number));
    layout.stage.draw(Boolean(walk) || now.has('enter'));
    for (const part of ['batch', 'rail', 'curve', 'rate', 'doctor', 'story', 'dock']) layout[part].draw();
    announce();
  }

  /** At most twice a second where calm is asked for; else with each message. */
  let quiet = 0;
  const often = f => state => {
    const now = performance.now();
    if (!layout || (calm() && desk.running && now - quiet < 500)) return;
    quiet = now;
    f(state);
  };

  const ends = [
    store.subscribe(['curve', 'marks'], often(() => layout.curve.draw())),
    store.subscribe(['live'], ({ live }) => {
      if (layout && live && desk.running && !calm()) layout.rail.live({ weights: decode(live.weights), filters: decode(live.filters), scale: live.scale });
    }),
    store.subscribe(['doctor', 'epochs'], () => layout?.doctor.draw()),
    store.subscribe(['studio', 'run', 'lost', 'place'], () => {
      if (!layout) { waiting ||= requestAnimationFrame(draw); return; }
      for (const part of ['dock', 'rate', 'story', 'doctor', 'curve']) layout[part].draw();
    }),
    store.subscribe(['notes'], () => { if (!layout) emptyPage(root, state); }),
    store.subscribe(['theme'], () => { reasons.add('theme'); waiting ||= requestAnimationFrame(draw); }),
  ];
  const onKey = event => layout?.dock.onKey(event);
  document.addEventListener('keydown', onKey);
  emptyPage(root, state);
  desk.start();
  return () => {
    document.removeEventListener('keydown', onKey);
    ends.forEach(end => end());
    cancelAnimationFrame(waiting);
    layout?.rail.close();
    desk.close();
  };
}
