/** Pictures: ours in one click, or yours by drop, folder, file or camera; and what there is to know about them at once. */

import { cameraAt } from './camera.js';
import { fill, h, svg } from './dom.js';
import { count, list, percent, plural } from './format.js';
import { tile, tone, waiting, wall } from './gallery.js';
import { chosen, preview, sorted, takeAnywhere, upload, withZips } from './incoming.js';
import { say } from './say.js';

const SHOWN = 8; // pictures of a class while they are gathered

const folderIcon = () => svg('svg', { width: 56, height: 44, viewBox: '0 0 56 44', 'aria-hidden': 'true', class: 'foldericon' },
  svg('path', { d: 'M3 7q0-4 4-4h12l5 6h24q4 0 4 4v24q0 4-4 4H7q-4 0-4-4z', fill: 'none', stroke: 'currentColor', 'stroke-width': 2.5 }),
  svg('path', { d: 'M28 33V19M21 25l7-7 7 7', fill: 'none', stroke: 'currentColor', 'stroke-width': 2.5 }));

/** @param {HTMLElement} root */
export function mount(root, store) {
  const { state } = store, busy = new AbortController();
  const previews = new Map(), refusedHere = [];
  let loose = [], total = 0, done = 0, sending = false, facts = null, opening = false;
  const gathered = () => JSON.stringify(state.gathering?.counts ?? {});
  let used = state.data?.own ? gathered() : ''; // what of it is open: that need not be shown twice

  /** What was said last while they are opened, without the name of the table that the server wrote of them. */
  const lastNote = () => (state.notes?.at(-1) ?? '').replace(/^my-pictures-\d+\.csv: /, '');

  // The parts of the page
  const folder = h('input', { type: 'file', webkitdirectory: true, multiple: true, hidden: true, 'aria-label': 'Choose a folder',
    onchange: event => bring(event.target) });
  const files = h('input', { type: 'file', accept: 'image/*,.zip', multiple: true, hidden: true, 'aria-label': 'Choose pictures',
    onchange: event => bring(event.target) });
  const drop = h('div', { class: 'drop' }), lensAt = h('div', {}), offers = h('div', { class: 'panel offer' });
  const basket = h('section', { class: 'panel basket', hidden: true, 'aria-labelledby': 'basket' });
  const known = h('section', { hidden: true }), earlier = h('section', { hidden: true });
  fill(drop, folderIcon(), h('h2', {}, 'Drop folders, pictures or a zip here'),
    h('div', { class: 'btns' },
      h('button', { class: 'btn', type: 'button', onclick: () => folder.click() }, 'Choose a folder'),
      h('button', { class: 'btn', type: 'button', onclick: () => files.click() }, 'Choose pictures'),
      h('button', { class: 'btn', type: 'button', onclick: () => lens.toggle() }, 'Use the camera')),
    h('p', { class: 'small muted' }, 'JPEG, PNG, WebP and more. A few dozen pictures of each class are enough to try; with fewer than 200, the result stays rough.'),
    folder, files, lensAt);
  const title = h('h1', {}), lead = h('p', { class: 'lead' }), learn = h('div', { class: 'btns actions' });
  const others = h('h2', {}, 'Other pictures');
  fill(root, h('div', { class: 'page' }, h('header', {}, title, lead, learn), known, basket, others, h('div', { class: 'cols' }, drop, offers), earlier));

  const stopTaking = takeAnywhere(drop, take), lens = cameraAt(lensAt, forTheCamera);

  function bring(input) {
    const found = chosen(input.files);
    input.value = '';
    return take(found);
  }

  /** Take pictures in: those of a folder or a zip have a class, the others are asked for one. */
  async function take(found) {
    let unpacked;
    try { unpacked = await withZips(found, state.studio.limits); } catch (error) { return store.complain(error); }
    const { pictures, others } = sorted(unpacked);
    refusedHere.push(...others);
    const sure = pictures.filter(one => one.of);
    loose = [...loose, ...pictures.filter(one => !one.of)];
    if (!pictures.length) say(others.length ? 'No pictures were found there.' : 'The folder is empty.');
    if (sure.length) send(sure);
    drawBasket();
  }

  /** Show a picture that was taken in, if it is one of the first of its class and the browser can read it. */
  async function previewed({ of, file }) {
    const shown = previews.get(of) ?? [];
    previews.set(of, shown);
    const canvas = shown.length < SHOWN && await preview(file);
    if (!canvas) return;
    shown.push(canvas);
    drawBasket();
  }

  async function send(pictures) {
    total += pictures.length;
    sending = true;
    drawBasket();
    const { picture_bytes: largest } = state.studio?.limits ?? { picture_bytes: Infinity };
    try {
      await upload(store, pictures, {
        largest, signal: busy.signal, progress: () => { done += 1; drawProgress(); }, taken: previewed,
        refuse: (name, reason) => refusedHere.push({ name, reason }),
      });
    } catch (error) {
      store.complain(error);
    }
    if (busy.signal.aborted) return;
    sending = done < total;
    if (!sending) say(`${plural(total, 'picture')} taken in.`);
    drawBasket();
  }

  /** What the camera does: it asks for a class, and sends each picture. */
  function forTheCamera() {
    const name = h('input', { type: 'text', id: 'cameraclass', value: 'first class', list: 'classnames', maxlength: 80 });
    const taken = new Map();
    return {
      label: 'Take a picture',
      extra: h('p', { class: 'field' }, h('label', { for: 'cameraclass' }, 'Class of the pictures you take'), name),
      take: async picture => {
        const of = name.value.trim() || 'first class';
        taken.set(of, (taken.get(of) ?? 0) + 1);
        await send([{ file: picture, size: picture.size, name: `camera-${String(Date.now())}-${taken.get(of)}.jpg`, of }]);
        return `${plural(taken.get(of), 'picture')} of ${of} taken.`;
      },
    };
  }

  /** The pictures that are not sorted into a class yet: one field asks for its name. */
  function looseForm(classes) {
    const name = h('input', { type: 'text', id: 'looseclass', required: true, maxlength: 80, list: 'classnames', placeholder: 'such as cat' });
    return h('form', {
      class: 'field loose',
      onsubmit: event => {
        event.preventDefault();
        const of = name.value.trim(), now = loose;
        if (!of) return;
        loose = [];
        send(now.map(one => ({ ...one, of })));
      },
    }, h('label', { for: 'looseclass' }, loose.length === 1 ? 'What does this picture show? Name its class.' : `What do these ${count(loose.length)} pictures show? Name their class.`), name,
    h('button', { class: 'btn', type: 'submit' }, loose.length === 1 ? 'Add it' : 'Add them'),
    h('datalist', { id: 'classnames' }, classes.map(one => h('option', { value: one }))));
  }

  function drawProgress() {
    const bar = basket.querySelector('progress');
    if (bar) Object.assign(bar, { max: total, value: done });
    const words = basket.querySelector('.progresswords');
    if (words) words.textContent = `${count(done)} of ${plural(total, 'picture')}`;
  }

  function drawBasket() {
    const gathering = state.gathering, counts = gathering?.counts ?? {}, classes = Object.keys(counts);
    const refused = [...gathering?.refused ?? [], ...refusedHere];
    const isOpen = classes.length > 0 && gathered() === used && !loose.length && !sending && !opening;
    basket.hidden = isOpen || !(classes.length || loose.length || sending || refused.length);
    if (basket.hidden || basket.contains(document.activeElement) && document.activeElement.tagName === 'INPUT') return;
    const ready = classes.length >= 2 && !sending;
    fill(basket, h('div', { class: 'head' }, h('h2', { id: 'basket' }, 'Your pictures'),
      h('span', { class: 'small muted num progresswords' }, sending ? `${count(done)} of ${plural(total, 'picture')}` : plural(Object.values(counts).reduce((a, b) => a + b, 0), 'picture'))),
    sending ? h('progress', { max: total, value: done, 'aria-label': 'Pictures taken in' }) : null,
    h('ul', { class: 'classes' }, classes.map(name => h('li', {},
      h('div', { class: 'head' }, h('span', {}, h('b', { class: 'clip' }, name), ' ', h('span', { class: 'muted num' }, count(counts[name]))),
        h('button', { class: 'plain', type: 'button', disabled: sending, onclick: () => remove(name), 'aria-label': `Remove ${name}` }, 'Remove')),
      h('div', { class: 'wall' }, (previews.get(name) ?? []).slice(0, SHOWN))))),
    loose.length ? looseForm(classes) : null,
    refused.length ? h('details', { class: 'refused' }, h('summary', {}, h('span', { class: 'bad' }, '✕ '), `${plural(refused.length, 'file')} left out`),
      h('ul', { class: 'small' }, refused.slice(0, 100).map(one => h('li', {}, h('code', {}, one.name), ` ${one.reason}`)),
        refused.length > 100 ? h('li', {}, `and ${count(refused.length - 100)} more`) : null)) : null,
    h('div', { class: 'btns' },
      h('button', { class: 'btn main', type: 'button', disabled: !ready || opening, onclick: useThem }, opening ? 'Opening …' : 'Use these pictures'),
      h('button', { class: 'btn', type: 'button', disabled: opening, onclick: () => remove(null) }, 'Start over'),
      opening ? h('span', { class: 'small muted', id: 'opening-note' }, lastNote())
        : ready || !classes.length ? null : h('span', { class: 'small muted' }, sending ? 'Taking them in …' : 'A second class is missing: a model tells classes apart.')));
  }

  async function remove(name) {
    if (name === null) {
      loose = [];
      refusedHere.length = 0;
      previews.clear();
      total = done = 0;
    } else previews.delete(name);
    await store.act('ungather', name === null ? {} : { class: name });
    drawBasket();
  }

  async function useThem() {
    opening = true;
    drawBasket();
    const now = gathered(), fine = await store.act('use-gathered');
    opening = false;
    if (fine) {
      used = now;
      lens.close();
      scrollTo({ top: 0 });
      say('Your pictures are open.');
    }
    drawBasket();
  }

  /** Ours: one click. */
  async function drawOffers() {
    if (!state.studio?.offers) return;
    const offered = state.studio?.offers ?? [], first = offered.find(one => one.source === 'pullover-dress');
    const begin = h('button', { class: 'btn main', type: 'button', onclick: () => open('pullover-dress', begin) }, 'Start with these');
    const samples = h('div', { class: 'samples' });
    fill(offers, h('h2', {}, 'Or begin with pullover and dress'),
      h('p', { class: 'small muted' }, first?.say ?? '14,000 real pictures, already here.'), samples, begin,
      offered.length > 1 ? h('div', { class: 'chips others' }, h('span', { class: 'small muted' }, 'Also here:'),
        offered.filter(one => one !== first).map(one => h('button', { class: 'plain', type: 'button', title: one.say, onclick: event => open(one.source, event.currentTarget) }, one.name))) : null);
    try {
      const { classes } = await store.get('offered?source=pullover-dress');
      fill(samples, classes.map(({ name, count: n, pictures }, i) => [
        h('p', { class: 'small' }, h('b', { class: `p${i}` }, name), ' ', h('span', { class: 'num' }, count(n))), wall(store.decode(pictures))]));
    } catch { /* the button works without the samples */ }
  }

  async function open(source, button) {
    button.disabled = true;
    if (await store.act('open', { source })) location.hash = '#train';
    button.disabled = false;
  }

  /** What there is to know about the pictures that are open. */
  function drawKnown() {
    const { data } = state;
    known.hidden = learn.hidden = others.hidden = !data;
    if (!data) {
      fill(title, 'Bring pictures. Watch a model learn them, one step at a time.');
      fill(lead, 'Make a folder for each kind of picture, such as cats and dogs. Each kind is a class, and the folder’s name is the answer that the model will learn to give. Nothing leaves this computer.');
      return;
    }
    const sums = split => Object.values(data.counts[split] ?? {}).reduce((a, b) => a + b, 0);
    const train = Object.entries(data.counts.train), per = train.map(([, n]) => n);
    const uses = [`${count(sums('train'))} are for learning`, sums('valid') && `${count(sums('valid'))} to watch it`, sums('test') && `${count(sums('test'))} for the test at the end`].filter(Boolean);
    const bad = data.bad_count ?? data.bad.length, copies = data.copies_count ?? data.copies.length;
    const twice = data.copies.filter(one => new Set(one.classes).size > 1).length;
    const left = data.own ? (state.gathering?.refused.length ?? 0) + refusedHere.length : 0;
    const near = facts?.near ?? null, suspects = facts ?? { say: 'A quick model looks at every label …', figure: '…' };
    fill(title, data.own ? 'Your pictures are in.' : data.classes.length < 4 ? `${list(data.classes)} are open.` : `${data.name} is open.`);
    fill(lead, `Of ${plural(sums('train') + sums('valid') + sums('test'), 'picture')}, ${list(uses)}.`,
      data.folds > 1 ? ` They are too few to keep some for a test, so ${data.folds} models take turns: each answers pictures that it has not learned from.` : '');
    fill(learn, h('a', { class: 'btn main', href: '#train' }, state.place?.batch ? 'Back to the training' : 'Watch it learn'),
      data.own && gathered() === used ? h('button', { class: 'btn', type: 'button', onclick: () => { used = ''; drawBasket(); drawKnown(); basket.scrollIntoView(); } }, 'Change them') : null);
    fill(known, frozen(), h('ul', { class: 'strips' }, data.classes.slice(0, 12).map((name, i) => h('li', { 'data-class': String(i) },
      h('p', { class: 'small' }, h('b', { class: tone(i, data.classes) }, name), ' ', h('span', { class: 'num' }, count(data.counts.train[name] ?? 0))), h('div', { class: 'strip' }))),
    data.classes.length > 12 ? h('li', { class: 'small muted' }, `and ${data.classes.length - 12} more classes`) : null),
    h('div', { class: 'factrow' },
      tile('Balance', new Set(per).size === 1 ? `${count(per[0])} each` : data.classes.length === 2 ? per.map(count).join(' : ') : plural(data.classes.length, 'class', 'classes'),
        data.imbalance ? `${sentence(data.imbalance)}.` : new Set(per).size === 1 ? 'Each class has as many pictures for learning as the others.' : 'No class has far more pictures than another.', Boolean(data.imbalance)),
      tile('Files that cannot be read', count(bad || left), !bad && left ? 'Left out when you brought them.' : bad ? h('details', {}, h('summary', {}, 'Left out. Which ones?'),
        h('ul', {}, data.bad.map(one => h('li', {}, h('code', {}, one.id), ` ${one.reason}`)))) : 'None.', bad > 0),
      tile('Exact duplicates', count(copies), copies ? [twice ? `${plural(twice, 'picture')} in two classes: one label is wrong. ` : '', 'Duplicates stay together, so that the test stays fair.'] : 'None, and none shared by training and test.', twice > 0),
      tile('Near-duplicates', near == null ? (facts ? '–' : '…') : near ? plural(near, 'group') : '0', near == null ? 'Pictures that are almost the same.' : !near ? 'None.' : suspects.shared ? `${plural(suspects.shared, 'group')} in two splits: the test result may be a little too high.` : 'Almost the same picture twice, within training or test.'),
      tile('Labels that look wrong', suspects.figure, suspects.say)));
    fillStrips();
  }

  const sentence = text => text[0].toUpperCase() + text.slice(1);

  /** What was said of the pictures; and that a network of others looks at them first. */
  function frozen() {
    const network = state.run?.kind === 'backbone' ? state.run.recipe.features : null, notes = state.data.notes ?? [];
    if (!network && !notes.length) return null;
    return h('div', { class: 'note' }, network ? h('p', {}, `A network that others trained on many photographs, ${network}, looks at each picture first. Your model learns from what it finds.`) : null,
      notes.map(line => h('p', {}, `${sentence(line.replace(/^[!\s]+/, ''))}.`)));
  }

  async function fillStrips() {
    const { data } = state;
    try {
      const { classes } = await store.get('suspects/examples');
      classes.slice(0, 12).forEach(({ pictures }, i) => {
        const at = known.querySelector(`[data-class="${i}"] .strip`);
        if (at && pictures && state.data === data) fill(at, wall(store.decode(pictures), 6, 6));
      });
    } catch { /* a store, or pictures that have gone: the counts stay */ }
  }

  async function askSuspects() {
    const { data } = state;
    facts = null;
    while (state.data === data && data && !busy.signal.aborted) {
      try {
        const found = await store.get('suspects?page=0');
        if (found.status === 'ready') {
          facts = {
            near: found.near, shared: found.near_shared, figure: found.why_not ? '–' : count(found.count),
            say: found.why_not ? `${sentence(found.why_not)}.` : found.count ? ['Worth a look after training. ', h('a', { href: '#repair' }, 'Repair')] : 'A quick model agrees with every label.',
          };
          return drawKnown();
        }
      } catch (error) {
        facts = { figure: '–', say: error.message };
        return drawKnown();
      }
      await new Promise(go => setTimeout(go, 700));
    }
  }

  function drawEarlier() {
    const runs = state.runs ?? [], open = state.run?.name;
    earlier.hidden = !runs.length;
    fill(earlier, h('h2', {}, 'Go on with an earlier run'), h('ul', { class: 'runs' }, runs.slice(0, 8).map(run => h('li', {},
      h('button', { class: 'runrow', type: 'button', disabled: run.name === open, onclick: async () => { if (await store.act('open', { run: run.name })) location.hash = '#train'; } },
        h('b', { class: 'clip' }, run.name), h('span', { class: 'muted clip' }, `${run.recipe}, ${plural(run.epochs, 'epoch')}`),
        h('span', { class: 'num' }, run.name === open ? 'open' : run.accuracy == null ? 'not judged' : percent(run.accuracy, 1)))))));
  }

  // Named in the address: once pictures are open, the page would otherwise begin with the training.
  if (!location.hash) history.replaceState(null, '', '#start');
  drawOffers();
  drawBasket();
  drawEarlier();
  drawKnown();
  if (state.data) askSuspects();
  const ends = [
    store.subscribe(['studio'], drawOffers),
    store.subscribe(['gathering'], drawBasket),
    store.subscribe(['runs', 'run'], drawEarlier),
    store.subscribe(['data'], () => { drawKnown(); drawBasket(); askSuspects(); }),
    store.subscribe(['run', 'theme'], drawKnown),
    store.subscribe(['notes'], () => { const at = basket.querySelector('#opening-note'); if (at) at.textContent = lastNote(); }),
  ];
  return () => {
    busy.abort();
    lens.close();
    ends.forEach(end => end());
    stopTaking();
  };
}
