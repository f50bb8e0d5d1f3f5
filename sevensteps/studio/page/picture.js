/** A large picture with its scale and a pointer to one pixel, which all pictures of a station share. */

import { fill, h, write } from './dom.js';
import { short } from './format.js';
import { canvas, heat, photo, plane, scaleBar } from './paint.js';

/** The sign between two pictures of an equation. */
export const sign = text => h('div', { class: 'op', 'aria-hidden': 'true' }, h('span', {}, text));

/** Pictures in a row, with signs between them, that read as an equation. */
export const equation = (...parts) => h('div', { class: 'eq' }, parts);

/**
 * Make the pointer of a station: it marks the same pixel in all of its pictures and reads out its arithmetic.
 * @param {any} desk
 */
export function pointer(desk) {
  const marks = [], line = h('p', { class: 'read num' });
  let size = [28, 28], read = () => '';

  function show() {
    const [height, width] = size;
    desk.pixel ??= [Math.floor(height * 0.38), Math.floor(width * 0.44)];
    const row = Math.min(desk.pixel[0], height - 1), column = Math.min(desk.pixel[1], width - 1);
    for (const mark of marks) {
      mark.style.left = `${100 * column / width}%`;
      mark.style.top = `${100 * row / height}%`;
      mark.style.width = `${100 / width}%`;
      mark.style.height = `${100 / height}%`;
    }
    fill(line, h('span', { class: 'where' }, `row ${row + 1}, column ${column + 1}: `), read(row * width + column));
  }

  function to(row, column) {
    const [height, width] = size;
    desk.pixel = [(row + height) % height, (column + width) % width];
    show();
  }

  /** Let the pointer of mouse and keys move over a box that shows a picture. */
  function attach(box) {
    const mark = h('span', { class: 'at' });
    marks.push(mark);
    box.append(mark);
    box.addEventListener('pointermove', event => {
      const { left, top, width, height } = box.getBoundingClientRect();
      const at = (value, n) => Math.max(0, Math.min(n - 1, Math.floor(value * n)));
      to(at((event.clientY - top) / height, size[0]), at((event.clientX - left) / width, size[1]));
    });
    box.addEventListener('keydown', event => {
      const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      if (!move) return;
      event.preventDefault();
      event.stopPropagation();
      to(desk.pixel[0] + move[0], desk.pixel[1] + move[1]);
    });
  }

  return {
    line, attach,
    /** Set the size of the pictures and what the pointer reads out of a pixel. */
    reads(shape, f) { [size, read] = [shape, f]; show(); },
  };
}

/**
 * Make one picture of an equation.
 * @param {string} title
 * @param {ReturnType<typeof pointer>} point
 * @param {{signed?: boolean}} [options] signed: numbers about zero in two colors; else a picture of pixels
 */
export function picture(title, point, { signed = true } = {}) {
  const name = h('b', {}, title), note = h('small', {}), there = canvas('', 28, 28), bar = canvas('', 257, 1);
  const low = h('span'), high = h('span');
  const box = h('div', {
    class: 'px', tabindex: 0, role: 'img', 'aria-label': `${title}. The arrow keys move the pixel that is read out.`,
  }, there);
  point.attach(box);
  const element = h('figure', {}, h('figcaption', {}, name, ' ', note), box,
    h('div', { class: 'scale', 'aria-hidden': 'true' }, bar, h('div', { class: 'nums' }, low, h('span', {}, signed ? '0' : ''), high)));
  return {
    element,
    /**
     * Draw numbers; `scale` is the value with the full color, or the value of white.
     * @param {{shape: number[], data: any}} numbers
     */
    draw(numbers, scale, words = '') {
      if (signed) {
        const flat = plane(numbers);
        heat(there, flat.data, flat.shape, scale);
      } else photo(there, numbers.data, numbers.shape, scale);
      scaleBar(bar, signed);
      write(low, signed ? `−${short(scale)}` : '0');
      write(high, signed ? `+${short(scale)}` : '1');
      write(note, words);
    },
    rename(text) { write(name, text); },
  };
}

/**
 * Make a grid of small pictures that share one scale: filters, maps, one picture a class.
 * @param {string} title
 * @param {{signed?: boolean, columns?: number}} [options] columns: how many stand in a row at most
 */
export function tiles(title, { signed = true, columns = 0 } = {}) {
  const name = h('b', {}, title), note = h('small', {}), grid = h('div', { class: 'tiles' });
  const element = h('figure', { class: 'tileset' }, h('figcaption', {}, name, ' ', note), grid);
  let cells = [];

  function make(n, names) {
    cells = Array.from({ length: n }, (_, i) => {
      const there = canvas('', 1, 1), label = names && h('span', { class: 'tilename' }, names[i]);
      return { cell: h('div', { class: 'tile' }, there, label), there };
    });
    grid.style.setProperty('--n', String(columns ? Math.min(n, columns) : n > 36 ? 8 : n > 16 ? 6 : n > 10 ? 4 : n > 6 ? Math.ceil(n / 2) : Math.min(n, 4)));
    fill(grid, cells.map(one => one.cell));
  }

  return {
    element,
    /**
     * Draw planes or pictures; a scale for all of them.
     * @param {{shape: number[], data: any}} numbers [n, c, h, w] or [n, h, w]
     */
    draw(numbers, scale, words = '', { names } = {}) {
      const [n, ...rest] = numbers.shape, size = rest.reduce((a, b) => a * b, 1);
      if (cells.length !== n) make(n, names);
      cells.forEach(({ there }, i) => {
        const one = { shape: rest, data: numbers.data.subarray(i * size, (i + 1) * size) };
        const flat = plane(one);
        if (signed) heat(there, flat.data, flat.shape, scale);
        else photo(there, flat.data, [1, ...flat.shape], scale);
      });
      write(note, words);
    },
  };
}
