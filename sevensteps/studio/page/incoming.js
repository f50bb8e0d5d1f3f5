/** Pictures from outside: dropped folders and files, a chosen folder, the clipboard; and their way to the server. */

const LOOKS_LIKE = /\.(jpe?g|jfif|png|webp|bmp|gif|tiff?|pgm|ppm|avif)$/i;
const AT_ONCE = 4; // uploads under way; a browser has six connections to an address, and the stream takes one

/** @typedef {{file: File, name: string, of: string | null}} Incoming a picture, and the folder that it lies in */

const isPicture = file => file.type.startsWith('image/') || LOOKS_LIKE.test(file.name);
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
  found.push({ file, path: entry.fullPath });
}

/** Sort files into pictures and others. @returns {{pictures: Incoming[], others: string[]}} */
function sorted(found) {
  const pictures = [], others = [];
  for (const { file, path } of found) {
    if (isHidden(path)) continue;
    if (isPicture(file)) pictures.push({ file, name: path.replace(/^\//, ''), of: folderOf(path) });
    else others.push(path.replace(/^\//, ''));
  }
  return { pictures, others };
}

/** What was dropped or pasted; folders are read with all that is in them. */
async function dropped(transfer) {
  const entries = [...transfer.items ?? []].filter(one => one.kind === 'file').map(one => one.webkitGetAsEntry?.());
  if (entries.length && entries.every(Boolean)) {
    const found = [];
    for (const entry of entries) await walk(entry, found);
    return sorted(found);
  }
  return chosen(transfer.files);
}

/**
 * Let the whole page take what is dropped or pasted, so that nobody has to aim.
 * @param {HTMLElement} drop the part of the page that shows it
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
export const chosen = files => sorted([...files].map(file => ({ file, path: file.webkitRelativePath || file.name })));

/**
 * Send pictures to the server, a few at a time.
 * @param {any} store
 * @param {{file: Blob, name: string, of: string}[]} pictures
 * @param {{largest: number, progress: (done: number) => void, refuse: (name: string, reason: string) => void, signal: AbortSignal}} how
 */
export async function upload(store, pictures, { largest, progress, refuse, signal }) {
  let next = 0, done = 0;
  async function worker() {
    while (next < pictures.length && !signal.aborted) {
      const { file, name, of } = pictures[next++];
      if (file.size > largest) refuse(name, 'it is too large');
      else {
        try {
          await store.send(`gather?${new URLSearchParams({ class: of, name })}`, file, signal);
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
    const image = await createImageBitmap(file, { resizeWidth: side, resizeQuality: 'medium' });
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
