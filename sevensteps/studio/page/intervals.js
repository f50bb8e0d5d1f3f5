/** Shares with their intervals on one scale: a dot and a line for each. */

import { h, svg } from './dom.js';
import { percent } from './format.js';

const WIDTH = 900, RIGHT = 800, ROW = 44, LONGEST = 44; // letters of a name

/** Round ends and ticks around all intervals that matter; what lies far to the left is told in words. */
function scaleOf(rows) {
  const close = rows.filter(row => row.high > rows[0].low - 0.25), near = close.length > 1 ? close : rows;
  const low = Math.min(...near.map(row => row.low)), high = Math.max(...near.map(row => row.high));
  const step = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25].find(one => (high - low) / one <= 6) ?? 0.25;
  const from = Math.max(0, Math.floor(low / step - 0.2) * step), to = Math.min(1, Math.ceil(high / step + 0.2) * step);
  const ticks = [];
  for (let at = from; at <= to + 1e-9; at += step) ticks.push(Math.round(at * 1000) / 1000);
  return { from, to, ticks, near, far: rows.filter(row => !near.includes(row)) };
}

/**
 * @param {{name: string, accuracy: number, low: number, high: number}[]} rows the first is the model
 * @param {{digits?: number, signed?: boolean}} [how]
 */
export function intervals(rows, { digits = 1 } = {}) {
  const { from, to, ticks, near, far } = scaleOf(rows), high = near.length * ROW + 34;
  const named = name => name.length > LONGEST ? `${name.slice(0, LONGEST - 1)}…` : name, left = Math.max(210, 8.4 * Math.max(...near.map(row => named(row.name).length)) + 20);
  const x = value => left + (RIGHT - left) * (value - from) / (to - from || 1);
  const words = near.map(row => `${row.name} ${percent(row.accuracy, digits)}, ${percent(row.low, digits)} to ${percent(row.high, digits)}`).join('; ');
  const wide = svg('svg', { viewBox: `0 0 ${WIDTH} ${high}`, class: 'intervals', role: 'img', 'aria-label': words },
    ticks.map(tick => [
      svg('line', { x1: x(tick), x2: x(tick), y1: 2, y2: near.length * ROW + 4, stroke: 'var(--line)' }),
      svg('text', { x: x(tick), y: high - 8, 'text-anchor': 'middle', class: 'gridtick' }, `${Math.round(tick * 1000) / 10}\u00a0%`)]),
    near.map((row, i) => {
      const y = i * ROW + ROW / 2, first = i === 0;
      return [
        svg('text', { x: 0, y: y + 5, class: first ? 'rowname strong' : 'rowname' }, named(row.name)),
        svg('line', { x1: x(row.low), x2: x(row.high), y1: y, y2: y, stroke: first ? 'var(--ink)' : 'var(--edge)', 'stroke-width': first ? 7 : 3.5, 'stroke-linecap': 'round' }),
        svg('circle', { cx: x(row.accuracy), cy: y, r: first ? 9 : 6, fill: first ? 'var(--lamp)' : 'var(--surface)', stroke: first ? 'var(--ink)' : 'var(--edge)', 'stroke-width': 3 }),
        svg('text', { x: WIDTH, y: y + 5, 'text-anchor': 'end', class: first ? 'rowname strong' : 'rowname' }, percent(row.accuracy, digits))];
    }));
  const small = h('ul', { class: 'intervalrows' }, near.map((row, i) => h('li', {}, h(i ? 'span' : 'b', {}, row.name),
    h('span', { class: 'num' }, percent(row.accuracy, digits)),
    h('span', { class: 'rangebar' }, h('i', { style: { left: `${100 * (row.low - from) / (to - from || 1)}%`, width: `${100 * (row.high - row.low) / (to - from || 1)}%` }, class: i ? '' : 'ours' })))));
  return { chart: [wide, small], far };
}
