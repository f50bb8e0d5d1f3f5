/** Take it: every file of the model in one zip, tested before it is given away; and the run as a command and as Python. */

import { fill, h } from './dom.js';
import { count, plural, quoted } from './format.js';
import { staleness, trouble } from './gallery.js';
import { say } from './say.js';

const FILES = [
  ['model.safetensors', 'the model, for Python'], ['model.onnx', 'the model, for other programs'],
  ['model.html', 'one page that classifies pictures in a browser, offline'], ['recipe.toml', 'every setting; trains the same model again'],
  ['report.html', 'how good it is, and what it gets wrong'], ['corrections.csv', 'the labels that were changed, if any were'],
  ['selftest.py', 'checks that the files are whole and give the right answers'],
];

const size = bytes => bytes < 1000 ? `${bytes} B` : bytes < 1e6 ? `${Math.round(bytes / 1000)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;

/** Copy a text; where the browser does not let us, select it. */
async function copy(text, at, button) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = 'Copied';
    say('Copied.');
    setTimeout(() => { button.textContent = 'Copy'; }, 1600);
  } catch {
    getSelection().selectAllChildren(at);
    say('Selected: press Control and C to copy.');
  }
}

/** The words of a command, which break between words and not after a hyphen, unless one is longer than a line of a phone. */
const unbroken = text => text.split(/(\s)/).map(word => word.length > 1 && word.length < 36 ? h('span', { class: 'word' }, word) : word);

/** A text to copy, with its title and button. */
function toCopy(title, text) {
  const at = h('pre', { tabindex: 0, 'aria-label': title }, unbroken(text));
  const button = h('button', { class: 'plain', type: 'button', 'aria-label': `Copy: ${title}`, onclick: () => copy(text, at, button) }, 'Copy');
  return h('section', {}, h('div', { class: 'head' }, h('h2', {}, title), button), at);
}

/** @param {HTMLElement} root */
export function mount(root, store) {
  const { state } = store;
  let packed = null, busy = false, over = false, problem = null;

  function draw() {
    const { run, place } = state;
    if (run?.learner) {
      return fill(root, h('div', { class: 'page' }, trouble({ message: 'This learner is yours already.', hint: 'The Studio trains it in your notebook and saves nothing. There, learn.save("model") writes it, and learn.export() packs it.' })));
    }
    if (!run || !run.folder) {
      return fill(root, h('div', { class: 'page' }, trouble({ message: 'There is no model to take yet.', hint: 'Choose pictures, and train to the end.' }, h('a', { class: 'btn main', href: run ? '#train' : '#start' }, run ? 'Go on training' : 'Choose pictures'))));
    }
    const done = place.phase === 'done', stale = staleness(state);
    fill(root, h('div', { class: 'page' },
      h('header', {}, h('h1', {}, 'Take it with you'),
        h('p', { class: 'lead' }, 'One zip. Before the download, the files in it classify stored pictures again, and every answer must match this page.'),
        h('div', { class: 'btns actions' }, h('button', { class: 'btn main', type: 'button', disabled: !done || busy, onclick: take }, busy ? 'Packing and testing …' : 'Download the zip'),
          done ? null : h('span', { class: 'small muted' }, 'Train to the end first.')),
        problem ? h('div', { class: 'stale', role: 'alert' }, h('b', {}, problem.message), ' ', problem.hint) : null),
      stale ? h('p', { class: 'stale' }, stale === 'labels' ? `The model has not seen ${plural(state.edits.count, 'correction')} of yours. ` : 'The model has changed since its verdict. ', stale === 'labels' ? h('a', { href: '#repair' }, 'Train again first') : null) : null,
      h('div', { class: 'cols' }, contents(),
        h('div', { class: 'column' }, toCopy('The same run as a command', run.command), toCopy('The same run in Python', run.python),
          toCopy('Go on with it', [`sevensteps resume ${quoted(run.folder)} --epochs 3`, `sevensteps judge ${quoted(run.folder)}`, `sevensteps report ${quoted(run.folder)}`, `sevensteps predict ${quoted(run.folder)} PICTURE.png`].join('\n')),
          h('p', { class: 'small muted' }, 'Before you resume it, end the Studio: press Ctrl-C where it was started. One program at a time trains a run.')))));
  }

  function contents() {
    const rows = packed ? packed.files.map(one => [one.name, one.what, size(one.bytes)]) : FILES;
    return h('section', { class: 'panel' }, h('div', { class: 'head' }, h('h2', {}, 'In the zip'), packed ? h('span', { class: 'small muted num' }, `${packed.name}, ${size(packed.bytes)}`) : null),
      h('table', { class: 'files' }, h('tbody', {}, rows.map(([name, what, bytes]) => h('tr', {}, h('th', { scope: 'row' }, h('code', {}, name)), h('td', {}, what), bytes ? h('td', { class: 'num muted' }, bytes) : null)))),
      packed?.missing.map(one => h('p', { class: 'note' }, `There is no ${one.name}: ${one.why}`)),
      packed ? h('div', { class: 'passed' }, h('b', {}, '✓ The self-test passed'), h('ul', { class: 'small' }, packed.tested.slice(0, -1).map(line => h('li', {}, line)))) : null);
  }

  async function take() {
    busy = true;
    problem = null;
    draw();
    say('Packing and testing.');
    try {
      packed = await store.post('pack');
      await store.download('take', packed.name);
      say(`${packed.name} is downloaded: ${count(packed.files.length)} files, and the self-test passed.`);
    } catch (error) {
      problem = error;
      packed = null;
    }
    busy = false;
    if (!over) draw();
  }

  const key = () => [state.run?.folder, state.place?.phase, state.edits?.count, state.verdict?.status].join();
  let last = key();
  draw();
  const end = store.subscribe(['run', 'place', 'edits', 'verdict'], () => {
    if (key() === last) return;
    last = key();
    packed = null;
    if (!busy) draw();
  });
  return () => { over = true; end(); };
}
