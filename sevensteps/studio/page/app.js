/** The frame of the page: its views by the address's hash, the top bar, the banners, and the line for screen readers. */

import { fill, h } from './dom.js';
import { count, quoted } from './format.js';
import { forgetPalette } from './paint.js';
import { openStore } from './store.js';

const VIEWS = {
  start: 'Pictures', train: 'Train', verdict: 'Verdict', repair: 'Repair', try: 'Try it', take: 'Take it',
  compare: 'Compare',
};
const byId = id => document.getElementById(id);
const store = openStore(), main = byId('main');
let unmount = () => {}, shown = '', mounted = '', turn = 0;

/** Where there is no hash: what was named on the command line is being opened, or could not be, or is open; else the start. */
const home = () => {
  const { run, place } = store.state;
  return run || place?.phase === 'opening' || place?.error ? 'train' : 'start';
};

/** Show the view that the hash names; each view is a module with `mount(root, store)`, which returns what ends it. */
async function show() {
  const wanted = location.hash.slice(1), name = wanted in VIEWS ? wanted : home();
  if (name === shown || !store.state.place) return;
  const mine = ++turn, first = !shown;
  shown = name;
  document.title = `${VIEWS[name]} · sevensteps Studio`;
  for (const tab of byId('tabs').children) {
    if (tab.hash === `#${name}`) {
      tab.setAttribute('aria-current', 'page');
      tab.parentElement.scrollLeft = tab.offsetLeft - 120;
    } else tab.removeAttribute('aria-current');
  }
  if (store.state.lost && mounted) return hold(name);
  const view = await import(`./${name}.js`).catch(() => null);
  if (mine !== turn) return;
  unmount();
  unmount = () => {};
  mounted = name;
  document.body.dataset.view = name;
  const root = h('div', { class: `view ${name}` });
  main.replaceChildren(root);
  if (view) unmount = view.mount(root, store) ?? unmount;
  else fill(root, h('p', { class: 'opening' }, 'This part of the page cannot be loaded. Reload the page.'));
  if (!first) {
    scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
}

/** Without the server only the view that is drawn can be shown; in place of another one, say so. */
function hold(name) {
  const [drawn, ...others] = main.children;
  others.forEach(one => one.remove());
  drawn.hidden = name !== mounted;
  if (drawn.hidden) {
    main.append(h('div', { class: 'page' }, h('header', {}, h('h1', {}, `“${VIEWS[name]}” needs the program.`),
      h('p', { class: 'lead' }, `It has stopped. What you saw last is still under “${VIEWS[mounted]}”.`))));
  }
}

/** The server answers again: the view that its tab has promised is drawn. */
function back() {
  if (store.state.lost || shown === mounted) return;
  shown = '';
  show();
}

/** The command that opens again what is open; nothing of a run is in a folder before its first batch. */
const again = run => run?.learner ? 'ss.open_studio(learn)' : ['sevensteps studio', ...run ? [quoted(run.folder ?? run.source)] : []].join(' ');

/** The server has gone: say as of when the page is, and what to type. */
function drawLost() {
  const { lost, place, run } = store.state, banner = byId('lost');
  banner.hidden = !lost;
  document.body.classList.toggle('gone', Boolean(lost));
  if (!lost) return;
  if (lost.stranger) {
    fill(banner, h('span', {}, h('b', {}, 'The address of this page is out of date. '),
      'The Studio was probably started again. Open the address that it printed.'));
    return;
  }
  fill(banner, h('span', {}, h('b', {}, 'The program behind this page has stopped. '),
    place?.batch ? `You see the state after batch ${count(place.batch)}. ` : '', run?.folder ? 'Your run is kept up to its last save. ' : '',
    run?.learner ? 'To go on, run this in the notebook:' : 'To go on, type:'), h('code', {}, again(run)));
}

function drawProblem() {
  const { problem } = store.state, banner = byId('problem');
  banner.hidden = !problem;
  if (!problem) return;
  fill(banner, h('span', {}, h('b', {}, problem.message), problem.hint ? ` ${problem.hint}` : ''),
    h('button', { class: 'plain', type: 'button', onclick: () => store.put({ problem: null }) }, 'Close'));
}

function drawFrame() {
  document.body.classList.toggle('framed', Boolean(store.state.studio?.framed));
}

const isDark = () => getComputedStyle(document.documentElement).colorScheme === 'dark';

/** Change between light and dark; the views paint again when `theme` changes. */
function turnTheme() {
  document.documentElement.dataset.theme = isDark() ? 'light' : 'dark';
  repaint();
}

/** The colors are others; the button names those that it leads to. */
function repaint() {
  byId('theme').textContent = isDark() ? 'Light' : 'Dark';
  forgetPalette();
  store.put({ theme: document.documentElement.dataset.theme ?? '' });
}

// With "./": where the row of tabs is scrolled, a bare "#" out of sight would pass for a link that skips to the content.
fill(byId('tabs'), Object.entries(VIEWS).map(([name, title]) => h('a', { href: `./#${name}` }, title)));
byId('theme').addEventListener('click', turnTheme);
byId('skip').addEventListener('click', event => { event.preventDefault(); main.focus(); });
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', repaint);
repaint();
addEventListener('hashchange', show);
store.subscribe(['lost', 'place'], drawLost);
store.subscribe(['lost'], back);
store.subscribe(['problem'], drawProblem);
store.subscribe(['studio'], drawFrame);
store.subscribe(['place'], show);
store.connect();
