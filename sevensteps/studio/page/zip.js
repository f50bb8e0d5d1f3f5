/** A zip in the page: what is in it, and each file as it is asked for. It is read where it lies; only pictures are unpacked. */

const END = 0x06054b50, ENTRY = 0x02014b50, LOCAL = 0x04034b50; // signatures: PKWARE's APPNOTE, sections 4.3.16, 4.3.12, 4.3.7
const LONGEST_END = 22 + 0xffff; // bytes: the end of a zip with the longest comment
const LARGEST_LIST = 32 << 20; // bytes of the list of files: 65,535 names of 450 letters
const ENCRYPTED = 1, UTF_8 = 0x800, LINK = 0xa000, DOS = 0, STORED = 0, DEFLATED = 8;

const CRC = Uint32Array.from({ length: 256 }, (_, i) => {
  for (let bit = 0; bit < 8; bit++) i = i & 1 ? (i >>> 1) ^ 0xedb88320 : i >>> 1;
  return i;
});
const crcOf = bytes => {
  let sum = ~0;
  for (let i = 0; i < bytes.length; i++) sum = (sum >>> 8) ^ CRC[(sum ^ bytes[i]) & 0xff];
  return ~sum >>> 0;
};

/** An error that says what is wrong with a zip, and what to do. */
export const unusable = (message, hint = 'Copy or download it again, or drop the folder itself.') => Object.assign(new Error(message), { hint });

const viewOf = async (file, from, length) => {
  const bytes = new Uint8Array(await file.slice(from, from + length).arrayBuffer());
  if (bytes.length !== length) throw unusable(`${file.name} is damaged: it ends too early.`);
  return { bytes, view: new DataView(bytes.buffer) };
};

/** A name as UTF-8, which macOS writes without saying so; else as letters of Western Europe. */
function nameOf(bytes, flags) {
  try { return new TextDecoder('utf-8', { fatal: !(flags & UTF_8) }).decode(bytes); } catch { return new TextDecoder('windows-1252').decode(bytes); }
}

/** Where the list of files begins, and how far the zip is from where it says: something may stand before it. */
async function listOf(file) {
  const length = Math.min(file.size, LONGEST_END), { view } = await viewOf(file, file.size - length, length);
  let at = length - 22;
  while (at >= 0 && !(view.getUint32(at, true) === END && at + 22 + view.getUint16(at + 20, true) === length)) at -= 1;
  if (at < 0) throw unusable(`${file.name} cannot be read as a zip.`);
  const count = view.getUint16(at + 10, true), size = view.getUint32(at + 12, true), says = view.getUint32(at + 16, true);
  const begin = file.size - length + at - size;
  if (count === 0xffff || says === 0xffffffff || size > LARGEST_LIST) {
    throw unusable(`${file.name} has too many files for this page.`, `Open it by its path: sevensteps studio ${file.name}`);
  }
  if (begin < 0 || view.getUint16(at + 4, true)) throw unusable(`${file.name} is only a part of a zip.`);
  return { count, size, begin, shift: begin - says };
}

/**
 * List the files in a zip; folders are left out.
 * @param {File} file
 * @returns {Promise<{path: string, size: number, packed: number, at: number, crc: number, method: number, why: string}[]>} `why`: the reason
 *   why one cannot be used, "" for none
 */
export async function listZip(file) {
  const { count, size, begin, shift } = await listOf(file), { bytes, view } = await viewOf(file, begin, size), found = [];
  for (let i = 0, at = 0; i < count; i++) {
    if (at + 46 > size || view.getUint32(at, true) !== ENTRY) throw unusable(`${file.name} is damaged: its list of files cannot be read.`);
    const flags = view.getUint16(at + 8, true), named = view.getUint16(at + 28, true), mode = view.getUint32(at + 38, true) >>> 16;
    const path = nameOf(bytes.subarray(at + 46, at + 46 + named), flags);
    found.push({
      path, size: view.getUint32(at + 24, true), packed: view.getUint32(at + 20, true), at: view.getUint32(at + 42, true) + shift,
      crc: view.getUint32(at + 16, true), method: view.getUint16(at + 10, true), system: bytes[at + 5],
      why: (mode & 0xf000) === LINK ? 'it is a link, and links in a zip are not followed' : flags & ENCRYPTED ? 'it is encrypted' : '',
    });
    at += 46 + named + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
  // Some programs of Windows write its separator, against the standard. Beside a slash, it is a letter.
  const slashes = found.some(one => one.path.includes('/'));
  for (const one of found) {
    if (!one.path.includes('/') && (!slashes || one.system === DOS)) one.path = one.path.replaceAll('\\', '/');
    if (one.path.startsWith('/') || one.path.replace(/\/$/, '').split('/').some(part => ['', '.', '..'].includes(part))) one.why ||= 'its path leads outside the zip';
    else if (![STORED, DEFLATED].includes(one.method)) one.why ||= 'it is packed in a way that this page cannot unpack';
  }
  return found.filter(one => !one.path.endsWith('/'));
}

/** Unpack one file, and never more bytes than the list promises. @returns {Promise<Blob>} */
export async function unpack(file, { path, size, packed, at, crc, method }) {
  const damaged = () => unusable(`${path} is damaged.`), { view } = await viewOf(file, at, 30);
  if (view.getUint32(0, true) !== LOCAL) throw damaged();
  const from = at + 30 + view.getUint16(26, true) + view.getUint16(28, true), content = file.slice(from, from + packed);
  const stream = method === DEFLATED ? content.stream().pipeThrough(new DecompressionStream('deflate-raw')) : content.stream();
  const bytes = new Uint8Array(size), reader = stream.getReader();
  let have = 0;
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      if (have + value.length > size) throw damaged();
      bytes.set(value, have);
      have += value.length;
    }
  } catch {
    reader.cancel().catch(() => {});
    throw damaged();
  }
  if (have !== size || crcOf(bytes) !== crc) throw damaged();
  return new Blob([bytes]);
}
