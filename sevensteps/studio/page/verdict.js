/** The verdict: one sentence before any chart, then what it is right and wrong about, how sure it is, and what it cannot tell. */

import { fill, h } from './dom.js';
import { count, list, percent, plural, typeset } from './format.js';
import { answered, canvases, decoded, named, staleness, trouble, waiting } from './gallery.js';
import { intervals } from './intervals.js';
import { say } from './say.js';

const FEW = 6; // classes up to which each cell shows pictures; beyond, a table of numbers
const MANY = 24; // classes up to which there is a table at all; beyond, the most frequent mistakes
const THUMBS = 12;
const SIMPLE = {
  'nearest neighbor': 'finds the training picture that is most similar, and gives its class',
  'logistic regression': 'gives each pixel a weight, and adds up the weighted pixels',
  'pixel similarity': 'compares the picture with the average picture of each class',
  'most frequent class': 'always gives the class that is most frequent',
};

/** @param {HTMLElement} root */
export function mount(root, store) {
  const { state } = store, page = h('div', { class: 'page' });
  let found = null, cell = null, asked = 0, over = false;
  fill(root, page);

  const repairOf = id => { location.hash = '#repair'; store.put({ wanted: id }); };

  async function load() {
    const mine = ++asked;
    if (!state.verdict || state.place?.phase === 'judging') return drawNothing(state.run?.folder ? { message: 'This run has not been judged yet.', hint: 'Train to the end, or judge it as it is now.' } : { message: 'Nothing has been trained yet.', hint: state.run ? 'Train to the end; then the verdict comes by itself.' : 'Choose pictures, then train.' });
    if (!found) fill(page, waiting(state.place?.phase === 'judging' ? 'Judging the model on pictures it has never seen …' : 'Reading the verdict …'));
    try {
      const answer = await store.get('verdict');
      if (mine !== asked || over) return;
      found = { ...answer, surest: decoded(store, answer.surest) };
      cell = null;
      draw();
    } catch (error) {
      if (mine !== asked || over || state.lost) return;
      found = null;
      drawNothing(error);
    }
  }

  function drawNothing(error) {
    const { phase, batch } = state.place ?? {};
    if (phase === 'judging') return fill(page, waiting('Judging the model on pictures it has never seen …'), h('p', { class: 'small muted num' }, (state.notes ?? []).slice(-1)));
    fill(page, trouble(error,
      batch ? h('button', { class: 'btn main', type: 'button', onclick: () => store.act('judge') }, 'Judge it now') : null,
      h('a', { class: batch ? 'btn' : 'btn main', href: state.run ? '#train' : '#start' }, batch ? 'Go on training' : state.run ? 'To the training' : 'Choose pictures')));
  }

  function staleLine() {
    const why = staleness(state);
    if (!why) return null;
    return h('div', { class: 'stale', role: 'status' }, h('b', {}, why === 'labels'
      ? `This verdict is about the old labels: ${plural(state.edits.count, 'correction')} since then. ` : 'The model has changed since this verdict. '),
    why === 'labels' ? h('a', { href: '#repair' }, 'Train again with the new labels')
      : h('button', { class: 'plain', type: 'button', onclick: () => store.act('judge') }, 'Judge it now'));
  }

  function draw() {
    const { classes, score, baselines } = found;
    const { chart, far } = intervals([{ name: 'this model', ...score }, ...baselines], { digits: score.n >= 1000 ? 2 : 1 });
    const doubtful = h('a', { class: 'btn main', href: '#repair' }, 'Look at doubtful labels');
    askDoubtful(doubtful);
    fill(page,
      h('header', {}, h('p', { class: 'small muted' }, found.stopped), h('h1', {}, found.headline), h('p', { class: 'lead' }, found.lead),
        h('div', { class: 'btns actions' }, doubtful, h('a', { class: 'btn', href: '#try' }, 'Try it'), h('a', { class: 'btn', href: '#take' }, 'Take the model'))),
      staleLine(),
      baselines.length ? h('section', { class: 'panel' }, h('h2', {}, 'Against simple methods'),
        h('p', { class: 'small muted' }, 'Dot: share right. Line: 95\u00a0% interval.', far.length ? ` Far to the left of this picture: ${list(far.map(row => `${row.name}, ${percent(row.accuracy, 1)}`))}.` : ''), chart,
        h('dl', { class: 'simple small' }, baselines.filter(({ name }) => SIMPLE[name]).map(({ name }) => h('div', {}, h('dt', {}, name), h('dd', { class: 'muted' }, SIMPLE[name]))))) : null,
      h('div', { class: 'cols halves' },
        h('div', { class: 'column' }, h('section', { class: 'panel', id: 'confusion' }), calibrated()),
        h('div', { class: 'column' }, h('section', { class: 'panel', id: 'cell' }),
          found.doubts.length ? h('section', { class: 'panel' }, h('h2', {}, 'Reasons to doubt it'), h('ul', { class: 'notes' }, found.doubts.map(line => h('li', {}, typeset(line))))) : null,
          h('section', { class: 'panel' }, h('h2', {}, 'What this cannot tell'), h('ul', { class: 'notes' }, found.limits.map(line => h('li', {}, line)))))),
      classes.length > 2 ? perClass() : null);
    drawConfusion();
    drawSurest();
  }

  async function askDoubtful(button) {
    try {
      const { status, left } = await store.get('suspects?page=0');
      if (status === 'ready') fill(button, left ? `Look at ${plural(left, 'doubtful label')}` : 'Look at the labels');
    } catch { button.remove(); }
  }

  // What it mixes up

  function drawConfusion() {
    const { classes, confusion, pairs, kinds } = found, at = page.querySelector('#confusion');
    const title = h('h2', {}, 'What it mixes up');
    if (classes.length <= FEW) return drawCells(at, title);
    if (classes.length <= MANY) {
      fill(at, title, h('p', { class: 'small muted' }, 'A row for each label, a column for each answer. Open a number to see its pictures.'),
        h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Table of labels and answers' }, h('table', { class: 'matrix num' },
          h('thead', {}, h('tr', {}, h('td', {}), classes.map(name => h('th', { scope: 'col' }, h('span', {}, name))))),
          h('tbody', {}, confusion.map((row, label) => h('tr', {}, h('th', { scope: 'row' }, h('span', { class: 'clip' }, classes[label])), row.map((n, answer) => h('td', {},
            n ? h('button', { type: 'button', class: label === answer ? 'right' : 'mistaken', style: { '--share': String(Math.min(1, n / Math.max(1, row.reduce((a, b) => a + b, 0)))) }, 'aria-label': `labeled ${classes[label]}, answered ${classes[answer]}: ${n}`, 'aria-pressed': 'false', 'data-cell': `${label}-${answer}`, onclick: () => open(label, answer) }, count(n)) : '')))))))
      );
      return;
    }
    fill(at, title, h('p', { class: 'small muted' }, `The most frequent of ${plural(kinds, 'kind')} of mistakes. Open one to see its pictures.`),
      h('ol', { class: 'pairs' }, pairs.map(pair => h('li', {}, h('button', { class: 'runrow', type: 'button', 'aria-pressed': 'false', 'data-cell': `${pair.label}-${pair.answer}`, onclick: () => open(pair.label, pair.answer) },
        h('span', { class: 'clip' }, classes[pair.label]), h('span', { class: 'clip' }, `→ ${classes[pair.answer]}`), h('b', { class: 'bad num' }, `✕ ${count(pair.count)} of ${count(pair.n)}`))))));
  }

  function drawCells(at, title) {
    const { classes, confusion } = found;
    const grid = h('div', { class: 'cells', style: { 'grid-template-columns': `minmax(64px, auto) repeat(${classes.length}, minmax(0, 1fr))` } },
      h('span', {}), classes.map(name => h('span', { class: 'small' }, 'answered ', h('b', { class: 'clip' }, name))),
      confusion.map((row, label) => [h('span', { class: 'small rowside' }, 'labeled ', h('b', { class: 'clip' }, classes[label])),
        row.map((n, answer) => {
          const right = label === answer, box = h('span', { class: 'wall', style: { 'grid-template-columns': `repeat(${classes.length > 3 ? 3 : 6}, 1fr)` } });
          if (n) thumbs(box, label, answer);
          return h('button', { class: 'cell', type: 'button', disabled: !n, 'aria-pressed': 'false', 'data-cell': `${label}-${answer}`, 'aria-label': `labeled ${classes[label]}, answered ${classes[answer]}: ${plural(n, 'picture')}`, onclick: () => open(label, answer) },
            h('span', { class: `figurebig num ${right || !n ? '' : 'bad'}` }, count(n)), h('span', { class: 'micro' }, n ? (right ? 'right' : '✕ wrong') : 'none'), box);
        })]));
    fill(at, title, h('p', { class: 'small muted' }, 'Open a cell to see its pictures.'), grid);
  }

  async function thumbs(box, label, answer) {
    try {
      const shown = decoded(store, await store.get(`verdict/cell?label=${label}&answer=${answer}&page=0`));
      fill(box, canvases(shown.pictures).slice(0, found.classes.length > 3 ? 3 : THUMBS));
    } catch { /* the number stays */ }
  }

  /** The first mistakes of the server's list, or all of them. */
  function drawSurest(most = THUMBS) {
    const { classes, wrong } = found, at = page.querySelector('#cell'), surest = first(found.surest, most);
    if (!wrong) return fill(at, h('h2', {}, 'No mistakes'), h('p', { class: 'muted' }, 'The model is right on every test picture.'));
    fill(at, h('h2', {}, 'Most confident mistakes'),
      h('p', { class: 'small muted' }, `The model is sure, and the label says otherwise. ${wrong > surest.ids.length ? `The surest ${surest.ids.length} of ${count(wrong)}.` : ''} Choose a picture to look at its label.`),
      answered(surest, classes, { label: true, repair: repairOf }),
      found.surest.ids.length > most ? h('div', { class: 'btns pager' }, h('button', { class: 'btn', type: 'button', onclick: () => drawSurest(Infinity) }, `Show ${found.surest.ids.length - most} more`)) : null);
  }

  /** The first rows of what the server shows. */
  const first = (shown, most) => ({ ...shown, ids: shown.ids.slice(0, most) });

  async function open(label, answer, at = 0) {
    for (const one of page.querySelectorAll('[data-cell]')) one.setAttribute('aria-pressed', String(one.dataset.cell === `${label}-${answer}`));
    const mine = cell = { label, answer };
    try {
      const shown = decoded(store, await store.get(`verdict/cell?label=${label}&answer=${answer}&page=${at}`));
      if (cell !== mine || over) return;
      const { classes } = found, turn = step => h('button', { class: 'btn', type: 'button', disabled: at + step < 0 || at + step >= shown.pages, onclick: () => open(label, answer, at + step) }, step < 0 ? 'Previous' : 'Next');
      fill(page.querySelector('#cell'),
        h('h2', {}, 'Labeled ', named(label, classes), ', answered ', named(answer, classes)),
        h('p', { class: 'small muted' }, `${plural(shown.count, 'picture')}, the surest first. Choose one to look at its label.`),
        answered(shown, classes, { repair: repairOf }),
        h('div', { class: 'btns pager' }, shown.pages > 1 ? [turn(-1), h('span', { class: 'small num' }, `page ${at + 1} of ${shown.pages}`), turn(1)] : null,
          h('button', { class: 'btn', type: 'button', onclick: () => { cell = null; for (const one of page.querySelectorAll('[data-cell]')) one.setAttribute('aria-pressed', 'false'); drawSurest(); } }, 'Most confident mistakes')));
      say(`${plural(shown.count, 'picture')} labeled ${classes[label]}, answered ${classes[answer]}`);
    } catch (error) {
      store.complain(error);
    }
  }

  // How sure, and each class

  function calibrated() {
    const { bins, error } = found.calibration;
    return h('section', { class: 'panel' }, h('h2', {}, 'When it says 75\u00a0%, is it right 75 times in 100?'),
      h('p', { class: 'small muted' }, error == null ? 'Too few pictures to say.' : `On average, what it says and how often it is right differ by ${(100 * error).toFixed(1)} points.`),
      h('table', { class: 'calibration num' }, h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, 'it says'), h('td', {}), h('th', { scope: 'col' }, 'is right'), h('th', { scope: 'col', class: 'muted' }, 'pictures'))),
        h('tbody', {}, bins.map(bin => h('tr', {}, h('th', { scope: 'row' }, percent(bin.confidence, bin.confidence > 0.99 ? 1 : 0)),
          h('td', {}, h('span', { class: 'meter saidbar' }, h('i', { style: { width: `${100 * bin.accuracy}%` } }), h('u', { style: { left: `${100 * bin.confidence}%` } }))),
          h('td', {}, h('b', {}, percent(bin.accuracy)), ' ', h('span', { class: 'micro' }, `${Math.round(100 * bin.low)} to ${Math.round(100 * bin.high)}`)), h('td', { class: 'muted' }, count(bin.n)))))),
      h('p', { class: 'micro' }, 'Bar: how often it is right. Mark: what it says.'));
  }

  function perClass() {
    const cellOf = metric => metric.value == null ? h('td', { class: 'muted', title: metric.note }, '–')
      : h('td', {}, percent(metric.value, 1), ' ', metric.low == null ? null : h('span', { class: 'micro' }, `${Math.round(100 * metric.low)} to ${Math.round(100 * metric.high)}`));
    const low = found.per_class.length <= 12 ? ' whole' : '';
    return h('section', { class: 'panel' }, h('h2', {}, 'Class by class'),
      h('p', { class: 'small muted' }, 'Recall: of the pictures with this label, the share that got this answer. Precision: of the pictures with this answer, the share with this label.'),
      h('div', { class: `scroll${low}`, tabindex: 0, role: 'region', 'aria-label': 'Class by class' }, h('table', { class: 'perclass num' }, h('thead', {}, h('tr', {}, ['class', 'pictures', 'recall', 'precision'].map(name => h('th', { scope: 'col' }, name)))),
        h('tbody', {}, found.per_class.map(one => h('tr', {}, h('th', { scope: 'row' }, h('span', { class: 'clip' }, one.class)), h('td', {}, count(one.n)), cellOf(one.recall), cellOf(one.precision)))))));
  }

  const fresh = () => `${state.place?.phase === 'judging'} ${state.verdict?.status} ${state.verdict?.accuracy} ${state.run?.name}`;
  let last = fresh();
  load();
  const ends = [
    store.subscribe(['verdict', 'run', 'place'], () => { if (fresh() !== last) { last = fresh(); load(); } }),
    store.subscribe(['place', 'notes'], () => { if (!found && state.place?.phase === 'judging') drawNothing(new Error()); }),
    store.subscribe(['edits'], () => { if (found && !cell) draw(); }),
  ];
  return () => { over = true; ends.forEach(end => end()); };
}
