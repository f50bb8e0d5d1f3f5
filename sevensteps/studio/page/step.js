/** Station 5: old minus step is new, as pictures on one scale, the step magnified by a whole number that is printed. */

import { fill, h, write } from './dom.js';
import { count, number, percent, plural, short, signed } from './format.js';
import { filterScale, frozenLine, layerRows, undrawn } from './parts.js';
import { equation, picture, pointer, sign, tiles } from './picture.js';
import { item, plane, top } from './paint.js';
import { optimizer } from './words.js';

/** How many times stronger than the weights the step is drawn. */
const factor = (step, scale, magnify) => magnify ? [1000, 500, 200, 100, 50, 20, 10, 5, 2].find(n => top(step) <= scale / n) ?? 1 : 1;
const minus = (a, b) => ({ shape: a.shape, data: a.data.map((value, i) => value - b.data[i]) });

/** What was subtracted: the learning rate times the gradient with plain SGD; else what the optimizer made of it. */
const stepWords = seen => seen.optimizer.plain ? `${short(seen.lr)} × gradient` : `by ${optimizer(seen)}`;

function spell(seen, old, slope, fresh) {
  if (!seen.optimizer.plain) return `${number(old, 4)} − ${old - fresh < 0 ? `(${number(old - fresh, 4)})` : number(old - fresh, 4)} = ${signed(fresh, 4)}`;
  return `${signed(old, 4)} − ${short(seen.lr)} × ${slope < 0 ? `(${number(slope, 4)})` : number(slope, 4)} = ${signed(fresh, 4)}`;
}

/** The switch between the truth and the magnified step. */
function magnifier(desk) {
  const same = h('button', { type: 'button', onclick: () => desk.set({ magnify: false }) }, 'Same scale for all');
  const large = h('button', { type: 'button', onclick: () => desk.set({ magnify: true }) }, 'Magnify the step');
  const note = h('p', { class: 'micro center' });
  return {
    parts: [h('div', { class: 'seg', role: 'group', 'aria-label': 'How strongly the step is drawn' }, same, large), note],
    draw(times, most, of) {
      same.setAttribute('aria-pressed', String(!desk.magnify));
      large.setAttribute('aria-pressed', String(desk.magnify));
      write(note, times > 1 ? `The step is drawn ${count(times)} times stronger than the weights; read the scales.`
        : desk.magnify ? 'The step needs no magnifying here: it is as large as the weights.'
          : `At the weights’ own scale one step is ${most < of / 4 ? 'nearly invisible' : 'this large'}: ${percent(most / (of || 1), 1)} of the largest weight. Learning is many small steps.`);
    },
  };
}

function pixels(figure, desk) {
  const point = pointer(desk), old = picture('Old weights', point), step = picture('Step', point), fresh = picture('New weights', point);
  const lens = magnifier(desk), many = h('div', { class: 'chips center', role: 'group', 'aria-label': 'Class whose weights are drawn' });
  figure.append(many, equation(old.element, sign('−'), step.element, sign('='), fresh.element), point.line, ...lens.parts);
  let buttons = [];
  return () => {
    const { seen } = desk, n = seen.weights.before.shape[0], k = n > 1 ? Math.min(desk.klass ?? seen.labels[desk.pick], n - 1) : 0;
    many.hidden = n < 2;
    if (n > 1 && buttons.length !== n) {
      buttons = desk.classes.map((name, i) => h('button', { class: 'plain', type: 'button', onclick: () => desk.set({ klass: i }) }, name));
      fill(many, buttons);
    }
    buttons.forEach((one, i) => one.setAttribute('aria-pressed', String(i === k)));
    const [before, slope, after] = ['before', 'gradient', 'after'].map(name => item(seen.weights[name], k)), moved = minus(before, after);
    const times = factor(moved.data, seen.scale, desk.magnify), of = n > 1 ? ` of ${desk.classes[k]}` : '';
    old.draw(before, seen.scale, of);
    step.draw(moved, Number((seen.scale / times).toPrecision(2)), stepWords(seen));
    fresh.draw(after, seen.scale, of);
    const [o, g, f] = [before, slope, after].map(plane);
    point.reads(o.shape, i => spell(seen, o.data[i], g.data[i], f.data[i]));
    lens.draw(times, top(moved.data), top(before.data));
  };
}

function filters(figure, desk) {
  const old = tiles('Old filters'), step = tiles('Step'), fresh = tiles('New filters'), lens = magnifier(desk), note = h('p', { class: 'micro center' });
  const row = equation(old.element, sign('−'), step.element, sign('='), fresh.element);
  row.classList.add('thirds');
  figure.append(row, ...lens.parts, note);
  return () => {
    const { seen } = desk, { before, after } = seen.filters, scale = filterScale(desk), moved = minus(before, after);
    const times = factor(moved.data, scale, desk.magnify);
    old.draw(before, scale, `±${short(scale)}`);
    step.draw(moved, scale / times, `${stepWords(seen)}, ±${short(scale / times)}`);
    fresh.draw(after, scale, `±${short(scale)}`);
    lens.draw(times, top(moved.data), top(before.data));
    write(note, undrawn(desk));
  };
}

function layers(figure, desk) {
  const rows = h('div', { class: 'layers' }), line = h('p', { class: 'read num' }), note = h('p', { class: 'muted small' });
  figure.append(frozenLine(desk) ?? '', line, rows, note);
  return () => {
    const { seen } = desk, most = Math.max(...seen.layers.map(layer => layer.gradient_norm ?? 0), 1e-12);
    write(line, seen.optimizer.plain ? `new = old − ${short(seen.lr)} × gradient, for ${plural(seen.parameters, 'number')}`
      : `new = old − what ${optimizer(seen)} makes of the gradient, for ${plural(seen.parameters, 'number')}`);
    fill(rows, layerRows(desk, layer => layer.frozen ? 'stays as it is' : `gradient ${number(layer.gradient_norm)}`, layer => (layer.gradient_norm ?? 0) / most));
    write(note, undrawn(desk));
  };
}

/** Build the figure of station 5. */
export function buildStep(figure, desk) {
  const { weights, filters: maps } = desk.seen;
  return (weights ? pixels : maps ? filters : layers)(figure, desk);
}
