/** Try it: a picture goes in; out come the answer or the doubt, why, and the picture that the model saw. */

import { cameraAt } from './camera.js';
import { fill, h } from './dom.js';
import { list, percent, probability } from './format.js';
import { named, tone, trouble } from './gallery.js';
import { sorted, takeAnywhere } from './incoming.js';
import { canvas, heat, item, nice, photo, scaleBar, thumbnail, top } from './paint.js';
import { say } from './say.js';

const SHOWN = 6; // classes whose probability is drawn

/** @param {HTMLElement} root */
export function mount(root, store) {
  const { state } = store;
  let mine = 0, result = null, over = false, samples = null;
  const file = h('input', { type: 'file', accept: 'image/*', hidden: true, 'aria-label': 'Choose a picture', onchange: () => { if (file.files[0]) ask(file.files[0]); file.value = ''; } });
  const lensAt = h('div', {}), sampleAt = h('div', { class: 'tries' }), answer = h('section', { class: 'panel reply', 'aria-label': 'Answer', tabindex: -1 });
  const drop = h('div', { class: 'drop small' }, h('h2', {}, 'Drop or paste a picture'),
    h('div', { class: 'btns' }, h('button', { class: 'btn', type: 'button', onclick: () => file.click() }, 'Choose a picture'), h('button', { class: 'btn', type: 'button', onclick: () => lens.toggle() }, 'Use the camera')), file, lensAt);

  const lens = cameraAt(lensAt, () => ({ label: 'Take and ask', take: picture => ask(picture) }));
  const stopTaking = takeAnywhere(drop, found => {
    const { pictures, others } = sorted(found);
    if (pictures.length) ask(pictures[0].file);
    else if (others.length) fill(answer, trouble({ message: `${others[0].name} is not a picture.`, hint: 'Drop a JPEG, PNG or WebP file.' }));
  });

  function begin() {
    if (!state.run) {
      return fill(root, h('div', { class: 'page' }, trouble({ message: 'There is no model to try yet.', hint: 'Choose pictures, and train for a moment. A model can be tried at any batch.' }, h('a', { class: 'btn main', href: '#start' }, 'Choose pictures'))));
    }
    const early = state.place?.phase !== 'done';
    fill(root, h('div', { class: 'page' }, h('div', { class: 'cols trying' },
      h('div', { class: 'column' }, h('h1', {}, 'Try it on a picture'),
        early ? h('p', { class: 'note' }, 'The model is still in training: this is its answer as of now, and it always answers.') : null, drop, sampleAt), answer)));
    empty();
    drawSamples();
  }

  const empty = () => fill(answer, h('p', { class: 'lead' }, `It knows ${list(state.run.classes.length <= 12 ? state.run.classes : [`${state.run.classes.length} classes`])}. Give it a picture, and it says what it sees, or that it does not know.`));

  async function drawSamples() {
    try { samples = store.decode((await store.get('try/samples')).pictures); } catch { return; }
    if (!samples || over) return;
    const buttons = Array.from({ length: samples.shape[0] }, (_, i) => {
      const picture = thumbnail(item(samples, i));
      const button = h('button', { class: 'pic', type: 'button', 'aria-pressed': 'false', 'aria-label': `Test picture ${i + 1}`, onclick: () => picture.toBlob(blob => ask(blob, button), 'image/png') }, picture);
      return button;
    });
    fill(sampleAt, h('h2', { class: 'cap' }, 'Or one of these test pictures'), h('div', { class: 'tryrow' }, buttons));
  }

  async function ask(blob, button) {
    const turn = ++mine, largest = state.studio?.limits?.picture_bytes ?? Infinity;
    for (const one of sampleAt.querySelectorAll('.pic')) one.setAttribute('aria-pressed', String(one === button));
    answer.setAttribute('aria-busy', 'true');
    try {
      if (blob.size > largest) throw { message: 'This picture is too large.', hint: `At most ${Math.round(largest / 1e6)} MB.` };
      const found = await store.send('try', blob);
      if (turn !== mine || over) return;
      result = { ...found, seen: store.decode(found.seen), values: found.explain && store.decode(found.explain.values) };
      draw();
      say(found.said === found.answer ? `${found.said}, ${probability(share(), 1)}` : found.said);
    } catch (error) {
      if (turn === mine && !over) fill(answer, trouble(error));
    }
    answer.removeAttribute('aria-busy');
  }

  const share = () => result.probabilities[result.classes.indexOf(result.answer)];

  function draw() {
    const { classes, said, answer: best, hint, why, caution, record, seen } = result, sure = said === best, index = classes.indexOf(best);
    const shape = seen.shape;
    fill(answer,
      h('p', { class: `h1 ${sure ? tone(index, classes) : ''}` }, sure ? `${best}.` : `${said[0].toUpperCase()}${said.slice(1)}.`),
      h('p', { class: 'lead' }, sure ? `Probability: ${probability(share(), 1)}. ${record}` : why),
      hint ? h('p', { class: 'stale' }, hint) : null,
      h('div', { class: 'duo' },
        h('figure', {}, h('figcaption', { class: 'small' }, h('b', {}, 'What the model saw'), ' ', h('span', { class: 'muted num' }, `${shape[2]}×${shape[1]}`)),
          photo(canvas('The picture as the model takes it', shape[2], shape[1]), seen.data, shape, 255)),
        whyFigure()),
      bars(),
      caution ? h('p', { class: 'note' }, caution) : null);
  }

  /** The pixels or patches that speak for and against. */
  function whyFigure() {
    const { explain, values, classes } = result;
    if (!explain) return null;
    const patches = explain.kind === 'patches', scale = nice(top(values.data)), two = explain.sides, other = two ? classes[0] : '';
    const signs = two ? [h('span', { class: 'p1' }, 'Blue'), ` speaks for ${explain.toward}, `, h('span', { class: 'p0' }, 'orange'), ` for ${other}.`]
      : [h('span', { class: 'p1' }, 'Blue'), ` speaks for ${explain.toward}, `, h('span', { class: 'p0' }, 'orange'), ' against it.'];
    return h('figure', {}, h('figcaption', { class: 'small' }, h('b', {}, 'Why'), ' ', h('span', { class: 'muted' }, patches ? 'how much covering a patch takes away' : explain.method === 'exact' ? 'pixel × weight' : 'share of each pixel')),
      heat(canvas(`What speaks for ${explain.toward} and against it`, values.shape[1], values.shape[0]), values.data, values.shape, scale),
      h('div', { class: 'scaleline' }, scaleBar(canvas('', 257, 1), true), h('span', { class: 'micro num' }, `−${scale}`), h('span', { class: 'micro num' }, '0'), h('span', { class: 'micro num' }, `+${scale}`)),
      h('p', { class: 'small' }, signs));
  }

  function bars() {
    const { classes, probabilities } = result, order = classes.map((_, i) => i).sort((a, b) => probabilities[b] - probabilities[a]).slice(0, classes.length > SHOWN + 1 ? SHOWN : classes.length);
    if (classes.length === 2) order.sort((a, b) => a - b);
    return h('ul', { class: 'shares' }, order.map(i => h('li', {}, h('span', { class: 'clip' }, named(i, classes)),
      h('span', { class: 'meter' }, h('i', { class: classes.length === 2 ? `fill${i}` : '', style: { width: `${100 * probabilities[i]}%` } })), h('span', { class: 'num small' }, percent(probabilities[i], 1)))),
    classes.length > order.length ? h('li', { class: 'micro' }, `and ${classes.length - order.length} more classes`) : null);
  }

  begin();
  let last = state.run?.name;
  const ends = [
    store.subscribe(['theme'], () => { if (result) draw(); }),
    store.subscribe(['run'], () => { if (state.run?.name !== last) { last = state.run?.name; result = null; begin(); } }),
  ];
  return () => {
    over = true;
    lens.close();
    stopTaking();
    ends.forEach(end => end());
  };
}
