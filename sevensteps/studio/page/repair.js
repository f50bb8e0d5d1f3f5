/** Repair: labels that look wrong, one large at a time; keys to correct them; and training again with what was corrected. */

import { fill, h } from './dom.js';
import { count, percent, plural } from './format.js';
import { canvases, decoded, named, tone, trouble, waiting, wall } from './gallery.js';
import { item, thumbnail } from './paint.js';
import { say } from './say.js';

const KEYED = 9; // classes that have a key of their own; of more, those that this picture may have
const RATHER_MANY = 0.03; // share of the pictures from which on most suspects are right

/** @param {HTMLElement} root */
export function mount(root, store) {
  const { state } = store, page = h('div', { class: 'page wide' });
  let list = null, at = 0, shelf = null, over = false, busy = false, alone = null;
  fill(root, page);

  const total = () => Object.values(state.data?.counts ?? {}).flatMap(counts => Object.values(counts)).reduce((a, b) => a + b, 0);
  /** The classes that keys give: all, or of many those that the picture may have. */
  const keyed = one => classes().length <= KEYED ? classes() : [...new Set([one?.likely, one?.label].filter(Boolean))];
  const classes = () => state.data?.classes ?? [], current = () => alone ?? list?.items[at];
  /** Can corrections be kept? Beside a run, or for a notebook's learner until they are saved as a file. */
  const keeps = () => Boolean(state.run?.folder || state.run?.learner);

  async function load(wanted = 0, place = 0) {
    if (!state.data) return fill(page, trouble({ message: 'There are no pictures yet.', hint: 'Choose pictures first: a quick model then looks at every label.' }, h('a', { class: 'btn main', href: '#start' }, 'Choose pictures')));
    if (!list) fill(page, waiting('A quick model looks at every label; this takes some seconds …'));
    try {
      const answer = await store.get(`suspects?page=${wanted}`);
      if (over) return;
      if (answer.status === 'looking') return setTimeout(() => { if (!over) load(wanted, place); }, 700);
      list = decoded(store, answer);
      at = place < 0 ? list.items.length - 1 : Math.min(place, Math.max(0, list.items.length - 1));
      draw();
    } catch (error) {
      if (!over && !state.lost) fill(page, trouble(error, h('a', { class: 'btn main', href: '#start' }, 'Choose pictures')));
    }
  }

  /** A picture that another page wants to have looked at, such as a mistake of the verdict. */
  async function lookAt(id) {
    store.put({ wanted: null });
    try {
      const one = await store.get(`suspects/picture?${new URLSearchParams({ id })}`);
      alone = { ...one, likely: null, score: null, picture: item(store.decode(one.pictures), 0) };
      if (list) draw();
    } catch (error) {
      store.complain(error);
    }
  }

  // Drawing

  function draw() {
    const { count: many, why_not: reason } = list;
    const title = reason ? 'Labels could not be checked.' : many ? `${plural(many, 'label looks', 'labels look')} wrong. You decide.` : 'No label looks wrong.';
    fill(page,
      h('header', {}, h('h1', {}, title), h('p', { class: 'lead' }, reason ? `${reason[0].toUpperCase()}${reason.slice(1)}. ` : '',
        'Your files are never changed. Corrections go into one small file that training reads.'),
        many > RATHER_MANY * total() ? h('p', { class: 'note' }, 'That is many. These classes are hard to tell apart, so most of these labels are probably right: look only as far as you find wrong ones.') : null),
      h('div', { class: `repairdesk${many ? '' : ' nolist'}` }, many ? h('section', { class: 'panel', id: 'suspects', 'aria-label': 'Suspicious labels' }) : null,
        h('section', { class: 'panel', id: 'case', 'aria-label': 'The picture' }), h('section', { class: 'panel', id: 'made', 'aria-label': 'Corrections' })));
    drawList();
    drawCase();
    drawMade();
    drawExamples();
  }

  function drawList() {
    const panel = page.querySelector('#suspects');
    if (!panel) return;
    const pictures = canvases(list.pictures), turn = step => h('button', { class: 'plain', type: 'button', disabled: list.page + step < 0 || list.page + step >= list.pages, onclick: () => load(list.page + step), 'aria-label': step < 0 ? 'Earlier pictures' : 'Later pictures' }, step < 0 ? '←' : '→');
    fill(panel, h('h2', { class: 'cap' }, 'The most doubtful first'),
      h('div', { class: 'suspectgrid' }, list.items.map((one, i) => h('button', { class: `pic${one.now == null ? '' : ' done'}`, type: 'button', 'aria-pressed': String(!alone && i === at), 'aria-label': `${one.id}: ${stateOf(one)}`, onclick: () => go(i) },
        pictures[i], one.now == null ? null : h('span', { class: 'donemark', 'aria-hidden': 'true' }, one.now === '' ? '–' : '✓')))),
      list.pages > 1 ? h('div', { class: 'btns pager' }, turn(-1), h('span', { class: 'small num' }, `${count(list.page * list.size + 1)} to ${count(list.page * list.size + list.items.length)} of ${count(list.count)}`), turn(1)) : null);
  }

  const stateOf = one => one.now == null ? `labeled ${one.label}` : one.now === '' ? 'excluded' : `now ${one.now}`;

  function drawCase() {
    const one = current(), panel = page.querySelector('#case');
    if (!one) return fill(panel, h('p', { class: 'muted' }, 'Open the verdict and choose one of the mistakes to look at its label here.'), h('div', { class: 'btns pager' }, h('a', { class: 'btn', href: '#verdict' }, 'To the verdict')));
    const names = classes(), index = name => names.indexOf(name), picture = thumbnail(alone ? alone.picture : item(list.pictures, at), `The picture ${one.id}`);
    const key = text => h('span', { class: 'key', 'aria-hidden': 'true' }, text), can = keeps();
    const button = (text, hint, act, pressed = null) => h('button', { class: 'btn', type: 'button', disabled: !can && pressed !== null, 'aria-keyshortcuts': hint, ...(pressed === null ? {} : { 'aria-pressed': String(pressed) }), onclick: act }, text, hint ? key(hint) : null);
    fill(panel,
      h('div', { class: 'case' }, h('div', { class: 'large' }, picture),
        h('div', { class: 'words' }, h('p', { class: 'small muted' }, alone ? `${one.id} · ${one.split}` : `${count(list.page * list.size + at + 1)} of ${count(list.count)} · ${one.id}`),
          h('p', { class: 'lead' }, 'Its label says ', named(index(one.label), names), '.'),
          one.likely ? h('p', { class: 'lead' }, 'It looks like ', named(index(one.likely), names), '.') : null,
          one.likely ? h('p', { class: 'small muted' }, `A quick model that never learned from this picture gives its label a probability of ${percent(1 - one.score, 1)}.`) : h('p', { class: 'small muted' }, 'The model of this run answered it differently.'),
          one.now == null ? null : h('p', { class: 'decided' }, '✓ ', one.now === '' ? 'Excluded: training will not see it.' : ['Now ', named(index(one.now), names), '.']))),
      h('div', { class: 'verbs' },
        keyed(one).map((name, i) => button(h('span', { class: tone(index(name), names) }, name), String(i + 1), () => decide(name), (one.now ?? one.label) === name)),
        names.length > KEYED ? picker(names, one, can) : null,
        button('Exclude', 'x', () => decide(''), one.now === ''), button('Undo', 'u', undo)),
      alone ? h('div', { class: 'btns verbs' }, list.count ? button('Back to the list', '', () => { alone = null; draw(); }) : null, h('a', { class: 'btn', href: '#verdict' }, 'Back to the verdict'))
        : h('div', { class: 'verbs' }, button('Previous', 'k', () => move(-1)), button('Next', 'j', () => move(1))),
      can ? null : h('p', { class: 'stale first' }, 'Corrections are kept with a run: ', h('a', { href: '#train' }, 'train first'), '. One batch is enough.'),
      h('div', { class: 'examples' }));
  }

  function picker(names, one, can) {
    const choice = h('select', { 'aria-label': 'Its class', disabled: !can, onchange: () => decide(choice.value) }, names.map(name => h('option', { value: name, selected: (one.now || one.label) === name }, name)));
    return h('label', { class: 'field' }, 'or ', choice);
  }

  async function drawExamples() {
    try { shelf ??= (await store.get('suspects/examples')).classes.map(one => ({ ...one, pictures: store.decode(one.pictures) })); } catch { return; }
    const panel = page.querySelector('#case .examples'), one = current(), names = classes();
    if (!panel || over || !one) return;
    const wanted = names.length > 2 ? [one.label, one.likely ?? one.now].filter(Boolean) : names;
    fill(panel, [...new Set(wanted)].map(name => shelf.find(each => each.name === name)).filter(each => each?.pictures).map(each => h('div', {},
      h('p', { class: 'small' }, h('b', { class: tone(names.indexOf(each.name), names) }, each.name), ' ', h('span', { class: 'muted' }, 'for comparison')), wall(each.pictures, 6, 6))));
  }

  function drawMade() {
    const { count: unseen = 0, test = 0 } = state.edits ?? {}, panel = page.querySelector('#made'), names = classes();
    const learner = state.run?.learner, source = learner && JSON.stringify(state.run.source);
    if (!panel) return;
    fill(panel, h('h2', {}, 'Corrections'),
      list.rows.length ? h('ol', { class: 'made small' }, list.rows.map(row => h('li', {}, h('button', { class: 'link clip', type: 'button', onclick: () => lookAt(row.id), title: row.id }, row.id), h('span', {}, h('span', { class: tone(names.indexOf(row.was), names) }, row.was), ' → ', row.now === '' ? h('b', {}, 'excluded') : h('b', { class: tone(names.indexOf(row.now), names) }, row.now))))) : h('p', { class: 'sunk' }, 'No changes yet.'),
      list.more ? h('p', { class: 'micro' }, `and ${count(list.more)} more in the file`) : null,
      unseen ? h('div', { class: 'stale' }, h('p', {}, h('b', {}, 'The verdict is about the old labels. '), `${plural(unseen, 'correction')} since then.`),
        test ? h('p', {}, `${plural(test, 'of them changes', 'of them change')} pictures that the model is tested on. Every report will say so.`) : null) : null,
      unseen && !learner ? h('button', { class: 'btn main', type: 'button', disabled: busy, onclick: again }, busy ? 'Starting …' : 'Train again with these') : null,
      list.rows.length ? h('button', { class: learner ? 'btn main' : 'btn', type: 'button', onclick: () => store.download('corrections.csv', 'corrections.csv').catch(store.complain) }, 'Save as a file') : null,
      list.rows.length && !learner ? h('p', { class: 'micro' }, 'On the command line: --fix corrections.csv') : null,
      learner ? [h('p', { class: 'small' }, 'This learner was made in your notebook, so only your notebook can train it anew. Save the corrections beside it, then load the pictures with them:'),
        h('pre', { tabindex: 0, 'aria-label': 'How to load the corrected pictures' }, `splits = ss.load(${source}, fix="corrections.csv")`),
        h('p', { class: 'micro' }, 'And make the learner from these. Until you save them, the corrections are in this Studio alone.')] : null,
      state.run?.parent ? h('p', { class: 'small' }, h('a', { href: '#compare' }, 'Compare with the earlier run')) : null);
  }

  // Doing

  function go(i) {
    alone = null;
    at = i;
    drawList();
    drawCase();
    drawExamples();
  }

  function move(step) {
    if (alone) { alone = null; return draw(); }
    const next = at + step;
    if (next >= 0 && next < list.items.length) go(next);
    else if (next < 0 && list.page > 0) load(list.page - 1, -1);
    else if (next >= list.items.length && list.page + 1 < list.pages) load(list.page + 1);
    else say(step > 0 ? 'This is the last one.' : 'This is the first one.');
  }

  const take = ({ rows, more, can_undo }) => Object.assign(list, { rows, more, can_undo });

  /** Give the picture a class, or exclude it (""), and go on with the next one. */
  async function decide(now) {
    const one = current();
    if (!one || !keeps()) return;
    try {
      take(await store.post('relabel', { changes: [{ id: one.id, now }] }));
    } catch (error) {
      return store.complain(error);
    }
    one.now = now === one.label ? null : now;
    say(now === '' ? `${one.id} is excluded.` : one.now === null ? `${one.id} keeps its label ${now}.` : `${one.id} is now ${now}.`);
    drawMade();
    if (alone || at + 1 >= list.items.length && list.page + 1 >= list.pages) {
      drawList();
      drawCase();
      drawExamples();
    } else move(1);
  }

  async function undo() {
    let answer;
    try { answer = await store.post('undo'); } catch (error) { return store.complain(error); }
    if (!answer.undone.length) return say('There is nothing to undo.');
    take(answer);
    const now = new Map(answer.rows.map(row => [row.id, row.now]));
    for (const one of [...list.items, ...(alone ? [alone] : [])]) if (answer.undone.includes(one.id)) one.now = now.get(one.id) ?? null;
    const place = list.items.findIndex(one => answer.undone.includes(one.id));
    say(`Undone: ${answer.undone.join(', ')}`);
    if (place >= 0 && !alone) at = place;
    draw();
  }

  async function again() {
    busy = true;
    drawMade();
    try {
      await store.post('train-again');
      location.hash = '#compare';
    } catch (error) {
      store.complain(error);
    }
    busy = false;
    drawMade();
  }

  const keys = event => {
    if (event.ctrlKey || event.metaKey || event.altKey || !list || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const name = Number(event.key) >= 1 && Number(event.key) <= keyed(current()).length ? keyed(current())[Number(event.key) - 1] : null;
    const act = name !== null ? () => decide(name) : { x: () => decide(''), u: undo, j: () => move(1), k: () => move(-1) }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  };
  addEventListener('keydown', keys);
  load().then(() => { if (state.wanted) lookAt(state.wanted); });
  const run = () => state.run?.learner ? 'learner' : state.run?.folder;
  let last = run();
  const ends = [
    store.subscribe(['edits'], () => { if (list) drawMade(); }),
    store.subscribe(['run', 'data'], () => { if (run() !== last) { last = run(); shelf = null; load(); } }),
  ];
  return () => {
    over = true;
    ends.forEach(end => end());
    removeEventListener('keydown', keys);
  };
}
