/** Two runs side by side, picture by picture, with the paired test: which is better, and how sure that is. */

import { fill, h, svg } from './dom.js';
import { count, number, plural, short, typeset } from './format.js';
import { answered, decoded, trouble, waiting } from './gallery.js';
import { intervals } from './intervals.js';
import { nice } from './paint.js';

const WIDTH = 520, HIGH = 220, LEFT = 56;
const SETTINGS = { lr: 'learning rate', lr_changes: 'changes of the learning rate', init: 'start', fix: 'corrections' };

/** @param {HTMLElement} root */
export function mount(root, store) {
  const { state } = store, page = h('div', { class: 'page' });
  let found = null, wanted = null, asked = 0, over = false, refused = null;
  fill(root, page);

  const others = () => (state.runs ?? []).filter(run => run.name !== state.run?.name && run.accuracy != null);
  const beside = () => wanted ?? others().find(run => run.name === state.run?.parent)?.name ?? others()[0]?.name ?? null;
  const under = () => ['running', 'judging', 'opening'].includes(state.place?.phase) || state.place?.phase === 'paused' && !state.verdict;

  async function load() {
    const mine = ++asked, name = beside();
    found = refused = null;
    if (!name || under()) return draw();
    fill(page, waiting('Comparing, picture by picture …'));
    try {
      const answer = await store.get(`compare?${new URLSearchParams({ with: name })}`);
      if (mine !== asked || over) return;
      found = { ...answer, only: answer.only.map(one => decoded(store, one)) };
    } catch (error) {
      if (mine !== asked || over || state.lost) return;
      refused = error;
    }
    draw();
  }

  function draw() {
    if (!state.run) return fill(page, trouble({ message: 'There is no run to compare yet.', hint: 'Train one, then another one.' }, h('a', { class: 'btn main', href: '#start' }, 'Choose pictures')));
    if (under()) return drawUnderWay();
    if (!beside()) return fill(page, trouble({ message: 'There is only one run.', hint: 'Change the rate, the model or a label, and train again: then the two can be compared.' }, h('a', { class: 'btn main', href: '#train' }, 'To the training')));
    if (refused || !found) return fill(page, trouble(refused ?? { message: 'These runs cannot be compared.' }), h('div', { class: 'panel' }, chooser()));
    const { comparison, told, notes, runs, differences, only, classes } = found, digits = comparison.n >= 1000 ? 2 : 1;
    const { chart } = intervals([runs[1], runs[0]].map((run, i) => ({ name: run.name, accuracy: (i ? comparison.correct_a : comparison.correct_b) / comparison.n, ...wilson(i ? comparison.correct_a : comparison.correct_b, comparison.n) })), { digits });
    const points = 100 * Math.abs(comparison.difference), better = comparison.difference > 0 ? runs[1].name : runs[0].name;
    fill(page,
      h('header', {}, h('h1', {}, told ? `${better} is better, by ${points.toFixed(2)} points.` : comparison.only_a === comparison.only_b ? 'No difference between the two.' : 'Too close to call.'),
        h('p', { class: 'lead' }, typeset(comparison.verdict)), notes.map(note => h('p', { class: 'note' }, typeset(note)))),
      h('div', { class: 'panel' }, h('div', { class: 'head' }, h('h2', {}, 'Right on the same pictures'), chooser()),
        h('p', { class: 'small muted' }, `Dot: share right of ${plural(comparison.n, 'picture')}. Line: 95\u00a0% interval. The test looks only at the pictures that one of them gets right and the other does not: ${count(comparison.only_b)} and ${count(comparison.only_a)}.`), chart),
      h('div', { class: 'cols halves' },
        h('section', { class: 'panel' }, h('h2', {}, 'What differs'), differences.length ? h('table', { class: 'files' }, h('thead', {}, h('tr', {}, h('td', {}), runs.map(run => h('th', { scope: 'col' }, run.name)))),
          h('tbody', {}, differences.map(one => h('tr', {}, h('th', { scope: 'row' }, SETTINGS[one.setting] ?? one.setting.replaceAll('_', ' ')), h('td', {}, one.before), h('td', {}, h('b', {}, one.after)))))) : h('p', { class: 'muted' }, 'No setting and no label.')),
        h('section', { class: 'panel' }, h('h2', {}, 'Validation loss'), curves(runs))),
      h('div', { class: 'cols halves' }, [1, 0].map(i => h('section', { class: 'panel' }, h('h2', {}, `Only ${runs[i].name} gets these right`),
        h('p', { class: 'small muted' }, only[i].count ? `${plural(only[i].count, 'picture')}${only[i].count > only[i].ids.length ? `, ${only[i].ids.length} of them shown` : ''}, with the answer of the other run.` : 'None.'),
        answered(only[i], classes, { label: true, shares: false })))));
  }

  function drawUnderWay() {
    const { place, run } = state, running = place.phase === 'running';
    fill(page, h('header', {}, h('h1', {}, running ? 'The new run is training.' : place.phase === 'judging' ? 'Judging the new run …' : 'Train this run to the end, then compare.'),
      h('p', { class: 'lead' }, run.parent ? `When it is done, it is compared with ${run.parent}, picture by picture.` : 'When it is done, it can be compared with the runs before it.'),
      place.total ? h('progress', { max: place.total, value: place.batch, 'aria-label': 'Batches done' }) : null,
      h('p', { class: 'small muted num' }, place.total ? `${count(place.batch)} of ${plural(place.total, 'batch', 'batches')}` : plural(place.batch, 'batch', 'batches')),
      h('div', { class: 'btns actions' }, running ? null : place.phase === 'paused' ? h('button', { class: 'btn main', type: 'button', onclick: () => store.act('run') }, 'Run to the end') : null, h('a', { class: 'btn', href: '#train' }, 'Watch it'))));
  }

  function chooser() {
    const choice = h('select', { id: 'beside', onchange: () => { wanted = choice.value; load(); } }, others().map(run => h('option', { value: run.name, selected: run.name === beside() }, run.name)));
    return h('label', { class: 'field small' }, `${state.run.name} compared with `, choice);
  }

  /** The loss on validation pictures after each epoch: the run before gray, the new one in ink. */
  function curves(runs) {
    const lines = runs.map(run => run.history.filter(epoch => epoch.valid_loss != null));
    if (!lines.some(line => line.length)) return h('p', { class: 'muted' }, 'Neither run has validation pictures.');
    const all = lines.flat(), last = Math.max(...all.map(epoch => epoch.number)), most = nice(Math.max(...all.map(epoch => epoch.valid_loss)));
    const x = epoch => LEFT + (WIDTH - LEFT - 16) * (last > 1 ? (epoch - 1) / (last - 1) : 0.5), y = loss => 12 + (HIGH - 48) * (1 - loss / most);
    return h('div', {}, svg('svg', { viewBox: `0 0 ${WIDTH} ${HIGH}`, class: 'twocurves', role: 'img', 'aria-label': runs.map((run, i) => `${run.name}: ${lines[i].map(epoch => number(epoch.valid_loss)).join(', ')}`).join('; ') },
      [0, most / 2, most].map(tick => [svg('line', { x1: LEFT, x2: WIDTH - 16, y1: y(tick), y2: y(tick), stroke: 'var(--line)' }), svg('text', { x: LEFT - 6, y: y(tick) + 4, 'text-anchor': 'end' }, short(tick))]),
      svg('text', { x: x(1), y: HIGH - 12, 'text-anchor': 'middle' }, '1'), last > 1 ? svg('text', { x: x(last), y: HIGH - 12, 'text-anchor': 'end' }, `epoch ${last}`) : null,
      lines.map((line, i) => [svg('polyline', { points: line.map(epoch => `${x(epoch.number)},${y(epoch.valid_loss)}`).join(' '), fill: 'none', stroke: i ? 'var(--ink)' : 'var(--edge)', 'stroke-width': i ? 3 : 2, ...(i ? {} : { 'stroke-dasharray': '6 4' }) }),
        line.map(epoch => svg('circle', { cx: x(epoch.number), cy: y(epoch.valid_loss), r: 4, fill: i ? 'var(--ink)' : 'var(--surface)', stroke: i ? 'var(--ink)' : 'var(--edge)', 'stroke-width': 2 }))])),
    h('p', { class: 'small muted' }, `Line: ${runs[1].name}. Dashed: ${runs[0].name}.`));
  }

  const key = () => [state.run?.name, under(), state.verdict?.accuracy, others().length].join();
  let last = key();
  load();
  const ends = [
    store.subscribe(['run', 'runs', 'verdict', 'place'], (_, changed) => {
      if (key() !== last) { last = key(); load(); } else if (changed.has('place') && under()) draw();
    }),
  ];
  return () => { over = true; ends.forEach(end => end()); };
}

/** Wilson's interval of a share, as the server computes it. */
function wilson(right, n, z = 1.959964) {
  const p = right / n, centre = (p + z * z / (2 * n)) / (1 + z * z / n), half = z * Math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n);
  return { low: Math.max(0, centre - half), high: Math.min(1, centre + half) };
}
