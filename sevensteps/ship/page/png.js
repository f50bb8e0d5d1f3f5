// PNG, decoded here: a canvas multiplies colors by their opacity, manages colors, and keeps only 8 of 16 bits.
const PNG = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const GRAY = 0, RGB = 2, PALETTE = 3, GRAY_ALPHA = 4, RGB_ALPHA = 6;
const PLANES = { [GRAY]: 1, [RGB]: 3, [PALETTE]: 1, [GRAY_ALPHA]: 2, [RGB_ALPHA]: 4 };
// First column, first row, and the steps between columns and rows of each pass of an interlaced picture.
const PASSES = [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];

const CRC = Uint32Array.from({ length: 256 }, (_, value) => {
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

function crcOf(bytes) {
  let crc = -1;
  for (const byte of bytes) crc = CRC[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

function viewOf(bytes) {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function textOf(bytes) {
  return String.fromCharCode(...bytes.subarray(0, 1 << 16));
}

// The samples of a PNG, and what it says of them.
async function readPng(bytes) {
  const view = viewOf(bytes), parts = [], png = { orientation: 0 };
  let ended = false;
  for (let at = 8; at + 12 <= bytes.length && !ended; ) {
    const length = view.getUint32(at), name = textOf(bytes.subarray(at + 4, at + 8));
    const body = bytes.subarray(at + 8, at + 8 + length);
    if (at + 12 + length > bytes.length) throw new Refused("This PNG is cut short.", COPY);
    const fits = crcOf(bytes.subarray(at + 4, at + 8 + length)) === view.getUint32(at + 8 + length);
    const isCritical = name[0] === name[0].toUpperCase();
    // Pillow checks what stands before the pixels, and looks at none of it behind them.
    const isBefore = !parts.length;
    if (!fits && (isCritical || isBefore)) throw new Refused("This PNG is damaged: a checksum does not match.", COPY);
    if (name === "IHDR" && png.kind !== undefined) throw new Refused("This PNG is damaged: it has two headers.", COPY);
    else if (name === "IHDR") readHeader(png, body);
    else if (name === "PLTE" && isBefore) png.palette = body;
    else if (name === "tRNS" && isBefore) png.clear = body;
    else if (name === "IDAT") parts.push(body);
    else if (name === "eXIf" && fits) png.orientation ||= orientationIn(body);
    else if (name === "iTXt" && textOf(body).startsWith("XML:com.adobe.xmp\0")) png.xmp = body;
    else if (name === "IEND") ended = true;
    at += 12 + length;
  }
  if (!png.width || !parts.length) throw new Refused("This PNG is damaged: it has no pixels.", COPY);
  png.orientation ||= orientationInXmp(png.xmp);
  const passes = png.isInterlaced ? PASSES : [[0, 0, 1, 1]];
  const sizes = passes.map(([x, y, stepX, stepY]) => ({
    x, y, stepX, stepY,
    columns: Math.ceil((png.width - x) / stepX),
    rows: Math.ceil((png.height - y) / stepY),
  })).filter(({ columns, rows }) => columns > 0 && rows > 0);
  const bits = png.planes * png.bits;
  const rowOf = columns => Math.ceil((columns * bits) / 8);
  const total = sizes.reduce((sum, { columns, rows }) => sum + rows * (1 + rowOf(columns)), 0);
  const packed = await inflated(parts, total);
  const samples = new (png.bits === 16 ? Uint16Array : Uint8Array)(png.width * png.height * png.planes);
  let start = 0;
  for (const pass of sizes) {
    const length = rowOf(pass.columns);
    unfilter(packed, start, length, pass.rows, Math.max(1, bits >> 3));
    for (let row = 0; row < pass.rows; row++) {
      const from = start + row * (length + 1) + 1;
      const to = ((pass.y + row * pass.stepY) * png.width + pass.x) * png.planes;
      spread(packed, from, samples, to, png, pass.columns, pass.stepX);
    }
    start += pass.rows * (length + 1);
  }
  return { ...png, samples };
}

function readHeader(png, body) {
  const view = viewOf(body);
  [png.width, png.height] = [view.getUint32(0), view.getUint32(4)];
  [png.bits, png.kind] = [body[8], body[9]];
  png.isInterlaced = body[12] === 1;
  png.planes = PLANES[png.kind];
  const depths = { [GRAY]: [1, 2, 4, 8, 16], [PALETTE]: [1, 2, 4, 8] }[png.kind] ?? [8, 16];
  if (!png.planes || !depths.includes(png.bits)) throw new Refused("This PNG is damaged: its header is not valid.", COPY);
  refuseTooLarge(png.width, png.height);
}

async function inflated(parts, length) {
  const done = new Uint8Array(length);
  const reader = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate")).getReader();
  let at = 0;
  try {
    while (at < length) {
      const { value, done: isEnd } = await reader.read();
      if (isEnd) break;
      done.set(value.subarray(0, length - at), at);
      at += value.length;
    }
  } catch {
    at = Math.min(at, length - 1); // damaged
  }
  reader.cancel().catch(() => {});
  if (at < length) throw new Refused("This PNG is damaged: its pixels cannot be unpacked.", COPY);
  return done;
}

// Undo the filters of rows (PNG, section 9), in place; each row follows a byte that names its filter.
function unfilter(bytes, start, length, rows, step) {
  for (let row = 0; row < rows; row++) {
    const from = start + row * (length + 1) + 1, filter = bytes[from - 1], above = from - length - 1;
    if (filter > 4) throw new Refused("This PNG is damaged: a row has an unknown filter.", COPY);
    if (!filter) continue;
    for (let k = 0; k < length; k++) {
      const left = k >= step ? bytes[from + k - step] : 0;
      const up = row ? bytes[above + k] : 0;
      let guess = filter === 1 ? left : filter === 2 ? up : (left + up) >> 1;
      if (filter === 4) {
        const corner = row && k >= step ? bytes[above + k - step] : 0, estimate = left + up - corner;
        const [a, b, c] = [left, up, corner].map(value => Math.abs(estimate - value));
        guess = a <= b && a <= c ? left : b <= c ? up : corner;
      }
      bytes[from + k] += guess;
    }
  }
}

function spread(bytes, from, samples, to, { bits, planes }, columns, step) {
  for (let column = 0, k = 0; column < columns; column++, to += step * planes) {
    for (let plane = 0; plane < planes; plane++, k++) {
      if (bits === 8) samples[to + plane] = bytes[from + k];
      else if (bits === 16) samples[to + plane] = bytes[from + 2 * k] * 256 + bytes[from + 2 * k + 1];
      else samples[to + plane] = (bytes[from + ((k * bits) >> 3)] >> (8 - bits - ((k * bits) & 7))) & ((1 << bits) - 1);
    }
  }
}

// A PNG as predict sees it: either gray numbers of 16 bits, or red, green, blue and opacity of 8 bits.
function pixelsOfPng(png, range) {
  const { width, height, planes, kind, bits, samples, clear, palette } = png, count = width * height;
  const takesDeep = range?.depths.includes("integers");
  if (clear && [GRAY, RGB].includes(kind) && clear.length < 2 * planes) throw new Refused("This PNG is damaged: its transparent color is cut short.", COPY);
  const marked = clear && (kind === GRAY || kind === RGB)
    ? Array.from({ length: planes }, (_, plane) => clear[2 * plane] * 256 + clear[2 * plane + 1]) : null;
  if (kind === GRAY && bits === 16) {
    const scale = takesDeep ? scaled(range) : value => roundedToEven(value * (255 / 65535));
    const gray = Uint8Array.from(samples, value => (marked && value === marked[0] ? 0 : scale(value)));
    return { width, height, rgba: rgbaOf(count, at => [gray[at], gray[at], gray[at], 255]), isDeep: true, hasAlpha: false };
  }
  if (bits === 16 && takesDeep && !marked && (kind === RGB || kind === RGB_ALPHA)) {
    const scale = scaled(range);
    const rgba = rgbaOf(count, at => {
      const opacity = planes === 4 ? samples[4 * at + 3] / 65535 : 1;
      return [...[0, 1, 2].map(plane => roundedToEven(scale(samples[planes * at + plane]) * opacity)), 255];
    });
    return { width, height, rgba, isDeep: true, hasAlpha: false };
  }
  // 16 bits become the upper 8, as Pillow has it; smaller ones are spread from 0 to 255.
  const eight = bits === 16 ? value => value >> 8 : value => value * (255 / ((1 << Math.min(bits, 8)) - 1));
  // Of a number that is too large for the samples, Pillow takes the lower bits.
  const clearest = bits === 1 ? value => value && 255 : value => eight(value) & 255;
  const opaque = (...values) => (marked?.every((value, plane) => clearest(value) === values[plane]) ? 0 : 255);
  const of = {
    [GRAY]: at => [0, 0, 0].fill(eight(samples[at])).concat(opaque(eight(samples[at]))),
    [RGB]: at => {
      const color = [0, 1, 2].map(plane => eight(samples[3 * at + plane]));
      return [...color, opaque(...color)];
    },
    [PALETTE]: at => {
      const entry = samples[at];
      return [0, 1, 2].map(plane => palette?.[3 * entry + plane] ?? 0).concat(clear?.[entry] ?? 255);
    },
    [GRAY_ALPHA]: at => [0, 0, 0].fill(eight(samples[2 * at])).concat(eight(samples[2 * at + 1])),
    [RGB_ALPHA]: at => [0, 1, 2, 3].map(plane => eight(samples[4 * at + plane])),
  }[kind];
  const hasAlpha = Boolean(clear) || kind === GRAY_ALPHA || kind === RGB_ALPHA;
  // Even where a model wants a white ground, predict chooses one for colors of 16 bits with opacity.
  return { width, height, rgba: rgbaOf(count, of), isDeep: false, hasAlpha, anyGround: bits === 16 && kind === RGB_ALPHA };
}

function rgbaOf(count, of) {
  const rgba = new Uint8Array(4 * count);
  for (let at = 0; at < count; at++) rgba.set(of(at), 4 * at);
  return rgba;
}

// The function from values to whole numbers from 0 to 255 that a range of black and white asks for.
function scaled({ low, high }) {
  const times = 255 / (high - low || 1);
  return value => roundedToEven(Math.min(Math.max((value - low) * times, 0), 255));
}
