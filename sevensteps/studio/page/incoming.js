/** Pictures from outside: dropped folders, files and zips, a chosen folder, the clipboard; and their way to the server. */

import { count, plural } from './format.js';
import { listZip, unpack, unusable } from './zip.js';

const LOOKS_LIKE = /\.(jpe?g|jfif|png|webp|bmp|gif|tiff?|pgm|ppm|avif)$/i;
const AT_ONCE = 4; // uploads under way; a browser has six connections to an address, and the stream takes one

/**
 * @typedef {{file: File | (() => Promise<Blob>), path: string, size: number, why?: string}} Found a file, or what unpacks it; and why it
 *   cannot be used
 * @typedef {{file: File | (() => Promise<Blob>), size: number, name: string, of: string | null}} Incoming a picture, and the folder
 *   that it lies in
 */

/** The bytes of what was brought: a file of a zip is unpacked only now. @returns {Promise<Blob>} */
export const contentOf = async file => typeof file === 'function' ? file() : file;

const isPicture = ({ file, path }) => file.type?.startsWith('image/') || LOOKS_LIKE.test(path);
const isZip = ({ path }) => /^\/?[^/]+\.zip$/i.test(path);
const whyNot = path => /\.(zip|tar|t[bgx]z2?|gz|bz2|xz|7z|rar)$/i.test(path)
  ? 'it is an archive: drop a zip by itself, or the folder' : 'it is not a picture';
const isHidden = path => path.split('/').some(part => part.startsWith('.') || part === '__MACOSX') || /thumbs\.db$/i.test(path);

/** The class of a path is the folder that the file lies in. */
const folderOf = path => {
  const parts = path.split('/').filter(Boolean);
  return parts.length > 1 ? parts[parts.length - 2] : null;
};

/** Read a whole folder: its entries come in portions, until one is empty. */
async function entriesOf(folder) {
  const reader = folder.createReader(), all = [];
  for (;;) {
    const some = await new Promise((done, fail) => reader.readEntries(done, fail));
    if (!some.length) return all;
    all.push(...some);
  }
}

async function walk(entry, found) {
  if (isHidden(entry.fullPath)) return;
  if (entry.isDirectory) {
    for (const one of await entriesOf(entry)) await walk(one, found);
    return;
  }
  const file = await new Promise((done, fail) => entry.file(done, fail));
  found.push({ file, path: entry.fullPath, size: file.size });
}

/**
 * Put what is in a zip in its place, as if a folder of its name had been brought.
 * @param {Found[]} found
 * @param {any} limits of the server: a zip here keeps to those of one that it reads
 * @returns {Promise<Found[]>}
 */
export async function withZips(found, limits) {
  return (await Promise.all(found.map(one => isZip(one) ? insideOf(one.file, limits) : one))).flat();
}

/** The files in a zip. @returns {Promise<Found[]>} */
async function insideOf(zip, { pictures, bytes, unpacked_bytes: sure, unpacked_ratio: ratio }) {
  const members = (await listZip(zip)).filter(({ path, why }) => why || !isHidden(path)), files = members.filter(({ path }) => LOOKS_LIKE.test(path));
  const instead = `Open it by its path: sevensteps studio ${zip.name}`, all = files.reduce((sum, { size }) => sum + size, 0);
  if (!members.length) throw unusable(`${zip.name} holds no files.`, 'Put a folder of pictures for each class into it.');
  if (files.length > pictures) throw unusable(`${zip.name} holds ${plural(files.length, 'picture')}, and this page takes ${count(pictures)}.`, instead);
  if (all > bytes) throw unusable(`${zip.name} unpacks to ${Math.round(all / 1e9)} GB, and this page takes ${Math.round(bytes / 1e9)}.`, instead);
  return members.map(member => ({
    file: () => unpack(zip, member), path: `${zip.name.replace(/\.zip$/i, '')}/${member.path}`, size: member.size,
    why: member.why || (member.size > Math.max(sure, ratio * member.packed)
      ? `it unpacks from ${count(member.packed)} to ${count(member.size)} bytes, as no picture does` : ''),
  }));
}

/** Sort files into pictures and others. @param {Found[]} found @returns {{pictures: Incoming[], others: {name: string, reason: string}[]}} */
export function sorted(found) {
  const pictures = [], others = [];
  for (const one of found) {
    const { file, path, size, why } = one, name = path.replace(/^\//, '');
    if (!why && isHidden(path)) continue;
    if (why || !isPicture(one)) others.push({ name, reason: why || whyNot(path) });
    else pictures.push({ file, size, name, of: folderOf(path) });
  }
  return { pictures, others };
}

/** What was dropped or pasted; folders are read with all that is in them. */
async function dropped(transfer) {
  const entries = [...transfer.items ?? []].filter(one => one.kind === 'file').map(one => one.webkitGetAsEntry?.());
  if (entries.length && entries.every(Boolean)) {
    const found = [];
    for (const entry of entries) await walk(entry, found);
    return found;
  }
  return chosen(transfer.files);
}

/**
 * Let the whole page take what is dropped or pasted, so that nobody has to aim.
 * @param {HTMLElement} drop the part of the page that shows it
 * @param {(found: Found[]) => any} take
 * @returns a function that ends it
 */
export function takeAnywhere(drop, take) {
  async function bring(event, transfer) {
    event.preventDefault();
    drop.classList.remove('over');
    take(await dropped(transfer));
  }

  const heard = {
    dragover: event => { event.preventDefault(); drop.classList.add('over'); },
    dragleave: event => { if (!event.relatedTarget) drop.classList.remove('over'); },
    drop: event => bring(event, event.dataTransfer),
    paste: event => { if (event.clipboardData?.files.length) bring(event, event.clipboardData); },
  };
  for (const [name, hear] of Object.entries(heard)) addEventListener(name, hear);
  return () => { for (const [name, hear] of Object.entries(heard)) removeEventListener(name, hear); };
}

/** What was chosen in a dialog of files or of a folder. */
export const chosen = files => [...files].map(file => ({ file, path: file.webkitRelativePath || file.name, size: file.size }));

/**
 * Send pictures to the server, a few at a time.
 * @param {any} store
 * @param {Incoming[]} pictures
 * @param {{largest: number, progress: (done: number) => void, taken: (picture: Incoming) => void,
 *   refuse: (name: string, reason: string) => void, signal: AbortSignal}} how
 */
export async function upload(store, pictures, { largest, progress, taken, refuse, signal }) {
  let next = 0, done = 0;
  async function worker() {
    while (next < pictures.length && !signal.aborted) {
      const one = pictures[next++], { file, size, name, of } = one;
      if (size > largest) refuse(name, 'it is too large');
      else {
        try {
          const told = await store.send(`gather?${new URLSearchParams({ class: of, name })}`, await contentOf(file), signal);
          if (told.taken) taken(one);
        } catch (error) {
          if (error.name === 'AbortError') return;
          if (error.code === 'lost') throw error;
          refuse(name, [error.message, error.hint].filter(Boolean).join(' '));
        }
      }
      progress(++done);
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

/** A small square picture of a file, as a canvas; null if the browser cannot read it. */
export async function preview(file, side = 96) {
  try {
    const image = await createImageBitmap(await contentOf(file), { resizeWidth: side, resizeQuality: 'medium' });
    const canvas = document.createElement('canvas');
    canvas.width = canvas.height = side;
    canvas.setAttribute('aria-hidden', 'true');
    const scale = Math.max(side / image.width, side / image.height), w = image.width * scale, high = image.height * scale;
    canvas.getContext('2d').drawImage(image, (side - w) / 2, (side - high) / 2, w, high);
    image.close();
    return canvas;
  } catch {
    return null;
  }
}
