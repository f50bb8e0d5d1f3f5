/** The loss of every batch, raw and never smoothed, with a cursor for mouse and arrow keys. */

import { fill, h, svg, write } from './dom.js';
import { count, loss, short } from './format.js';
import { nice } from './paint.js';

const WIDE = 284, HIGH = 150, LEFT = 34, RIGHT = 8, TOP = 10, BOTTOM = 20;

/** The end of the axis: it grows in steps, so that the curve does not shrink with every batch. */
function axisEnd(done, total) {
  const wanted = [30, 50, 100, 200, 300, 500].find(n => n >= done * 1.02) ?? nice(done * 1.02);
  return Math.max(2, total && wanted > total ? Math.max(total, done) : wanted);
}

/** The points of a line: all of them, or where there are more than pixels, the least and the most of each column. */
function points(values, x, y) {
  const n = values.length, columns = WIDE * 2;
  const spell = i => Number.isFinite(values[i]) ? `${x(i).toFixed(1)},${y(values[i]).toFixed(1)}` : null;
  const picked = [];
  if (n <= columns * 2) for (let i = 0; i < n; i++) picked.push(i);
  else {
    for (let c = 0; c < columns; c++) {
      let low = -1, high = -1;
      for (let i = Math.floor(c * n / columns); i < Math.floor((c + 1) * n / columns); i++) {
        if (!Number.isFinite(values[i])) continue;
        if (low < 0 || values[i] < values[low]) low = i;
        if (high < 0 || values[i] > values[high]) high = i;
      }
      if (low >= 0) picked.push(Math.min(low, high), Math.max(low, high));
    }
  }
  const lines = [[]];
  for (const text of picked.map(spell)) {
    if (text) lines[lines.length - 1].push(text);
    else if (lines[lines.length - 1].length) lines.push([]);
  }
  return lines.filter(line => line.length > 1).map(line => line.join(' '));
}

/** Make the panel of the curve. @param {any} desk */
export function curvePanel(desk) {
  const value = h('b', { class: 'num' }), where = h('span', { class: 'small muted num' }), again = h('button', { class: 'plain', type: 'button', hidden: true, onclick: goBack }, 'Go back to here');
  const raw = h('span', { class: 'small muted' }, 'not smoothed');
  const there = svg('svg', {
    class: 'curve', viewBox: `0 0 ${WIDE} ${HIGH}`, tabindex: 0, role: 'slider', 'aria-valuemin': 1,
    'aria-label': 'Loss by batch. The arrow keys move the cursor.',
  });
  const element = h('section', { class: 'panel', 'aria-labelledby': 'curve-title' }, h('div', { class: 'head curve-head' },
    h('h2', { id: 'curve-title', class: 'cap' }, 'Loss so far'), raw, again), h('p', { class: 'readout' }, value, where), there);
  let end = 30;

  const done = () => desk.state.curve.length;
  const to = at => { desk.cursor = at == null ? null : Math.max(0, Math.min(done() - 1, at)); draw(); };
  function goBack() {
    const batch = desk.cursor;
    desk.cursor = null;
    desk.act('back', { to: batch }, { walk: true });
  }
  there.addEventListener('pointermove', event => {
    const { left, width } = there.getBoundingClientRect();
    if (done()) to(Math.round(((event.clientX - left) / width * WIDE - LEFT) / (WIDE - LEFT - RIGHT) * (end - 1)));
  });
  element.addEventListener('pointerleave', () => { if (document.activeElement !== there && !element.contains(document.activeElement)) to(null); });
  element.addEventListener('focusout', event => { if (!element.contains(event.relatedTarget)) to(null); });
  there.addEventListener('keydown', event => {
    const move = { ArrowLeft: -1, ArrowRight: 1, PageUp: 10, PageDown: -10, Home: -1e9, End: 1e9 }[event.key];
    if (event.key === 'Escape') to(null);
    if (!move || !done()) return;
    event.preventDefault();
    event.stopPropagation();
    to((desk.cursor ?? done() - 1) + move);
  });

  function draw() {
    const values = desk.state.curve, n = values.length, { seen, place } = desk, parts = [];
    const pending = desk.cursor == null && !desk.running && seen && !seen.done && !desk.ended && place.station >= 3 && (desk.open(3) || desk.look !== 3);
    end = axisEnd(Math.max(n, pending ? n + 1 : 0), desk.state.place.total);
    let most = pending ? seen.loss : 0;
    for (let i = 0; i < n; i++) if (values[i] > most) most = values[i];
    most = nice(most || 1);
    const x = i => LEFT + i / (end - 1) * (WIDE - LEFT - RIGHT), y = v => HIGH - BOTTOM - Math.min(v, most) / most * (HIGH - BOTTOM - TOP);
    for (const v of [0, most / 2, most]) {
      parts.push(svg('line', { class: 'axis', x1: LEFT, x2: WIDE, y1: y(v), y2: y(v) }),
        svg('text', { x: LEFT - 5, y: y(v) + 4, 'text-anchor': 'end' }, short(v)));
    }
    parts.push(svg('text', { x: LEFT, y: HIGH - 3 }, '1'), svg('text', { x: WIDE - 2, y: HIGH - 3, 'text-anchor': 'end' }, `batch ${count(end)}`));
    for (const { batch, lr } of desk.state.marks ?? []) {
      const at = x(batch), late = at > WIDE - 70;
      parts.push(svg('line', { x1: at, x2: at, y1: TOP - 4, y2: HIGH - BOTTOM, stroke: 'var(--ink)', 'stroke-dasharray': '2 3' }),
        svg('text', { x: at + (late ? -3 : 3), y: TOP + 6, class: 'strong', 'text-anchor': late ? 'end' : 'start' }, `rate ${short(lr)}`));
    }
    for (const line of points(values, x, y)) parts.push(svg('polyline', { points: line }));
    const at = pending ? n : Math.min(desk.cursor ?? n - 1, n - 1), here = pending ? seen.loss : values[at];
    if (pending && n && Number.isFinite(values[n - 1])) parts.push(svg('line', { x1: x(n - 1), y1: y(values[n - 1]), x2: x(at), y2: y(here), stroke: 'var(--ink)', 'stroke-dasharray': '2 3' }));
    if (at >= 0 && Number.isFinite(here)) parts.push(svg('line', { class: 'cur', x1: x(at), x2: x(at), y1: TOP, y2: HIGH - BOTTOM }), svg('circle', { class: pending ? 'dot open' : 'dot', cx: x(at), cy: y(here), r: 5 }));
    fill(there, parts);
    write(value, at < 0 ? '–' : loss(here));
    const { means, place: { per_epoch: per } } = desk.state, spoken = at < means ? `mean of epoch ${Math.floor(at / per) + 1}` : `batch ${count(at + 1)}`;
    write(where, at < 0 ? 'no batch done yet' : pending ? 'this batch' : spoken);
    write(raw, means ? `means until batch ${count(means)}` : 'not smoothed');
    again.hidden = desk.cursor == null || desk.cursor >= n - 1 || desk.running || Boolean(desk.state.lost);
    raw.hidden = !again.hidden;
    there.setAttribute('aria-valuemax', String(Math.max(1, n)));
    there.setAttribute('aria-valuenow', String(Math.max(1, at + 1)));
    there.setAttribute('aria-valuetext', at < 0 ? 'no batch yet' : `${spoken}, loss ${loss(here)}`);
  }

  return { element, draw };
}
