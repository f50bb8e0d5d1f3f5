// A picture file, as predict decodes it: turned as its EXIF data say, without transparency, gray or in color.
class Refused extends Error {
  constructor(message, hint = "") {
    super(message);
    this.hint = hint;
  }
}

const COPY = "Copy or export the picture again.", AS_PNG = "Save it as PNG.";
const MOST_PIXELS = 100_000_000;

function refuseTooLarge(width, height) {
  if (width * height > MOST_PIXELS) {
    const count = (width * height).toLocaleString("en");
    throw new Refused(`This picture has more than ${MOST_PIXELS.toLocaleString("en")} pixels: ${count}.`, "Reduce its size.");
  }
}

// How a picture is turned before it is displayed: 1 to 8; 0 if its EXIF data do not say (EXIF 2.3, tag 0x0112).
function orientationIn(bytes) {
  const isLittle = bytes[0] === 0x49, view = viewOf(bytes);
  try {
    const start = view.getUint32(4, isLittle), count = view.getUint16(start, isLittle);
    for (let at = start + 2; at < start + 2 + 12 * count; at += 12) {
      if (view.getUint16(at, isLittle) !== 0x0112) continue;
      const kind = view.getUint16(at + 2, isLittle);
      return { 1: () => view.getUint8(at + 8), 3: () => view.getUint16(at + 8, isLittle),
               4: () => view.getUint32(at + 8, isLittle) }[kind]?.() ?? 1;
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // damaged EXIF data
  }
  return 0;
}

function orientationInXmp(bytes) {
  return bytes ? Number(/tiff:Orientation(?:="|>)([0-9])/.exec(textOf(bytes))?.[1] ?? 0) : 0;
}

// A JPEG without what a browser would use to turn it or to change its colors, and what it says of itself.
function plainJpeg(bytes) {
  const view = viewOf(bytes), kept = [bytes.subarray(0, 2)];
  let at = 2, orientation = 0, xmp, frame;
  while (at + 4 <= bytes.length) {
    if (bytes[at] !== 0xff) throw new Refused("This JPEG is damaged.", COPY);
    const marker = bytes[at + 1];
    if (marker === 0xff) { at++; continue; }
    if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8)) { at += 2; continue; }
    const end = at + 2 + view.getUint16(at + 2), body = bytes.subarray(at + 4, end);
    const name = textOf(body.subarray(0, 29));
    if (marker === 0xe1 && name.startsWith("Exif\0\0")) orientation ||= orientationIn(body.subarray(6));
    else if (marker === 0xe1 && name === "http://ns.adobe.com/xap/1.0/\0") xmp ??= body;
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      const [bits, parts] = [body[0], body[5]], size = viewOf(body);
      frame = { kind: marker, bits, parts, height: size.getUint16(1), width: size.getUint16(3) };
    }
    const isApp = marker >= 0xe0 && marker <= 0xef;
    // APP0 and APP14 say how the numbers stand for colors.
    if (!(isApp && marker !== 0xe0 && marker !== 0xee) && marker !== 0xfe) kept.push(bytes.subarray(at, end));
    at = end;
    if (marker === 0xda) break;
  }
  if (!frame || at >= bytes.length) throw new Refused("This JPEG is damaged or cut short.", COPY);
  refuseTooLarge(frame.width, frame.height);
  if (frame.parts === 4) throw new Refused("This JPEG is CMYK, for printing, and browsers show its colors differently.", AS_PNG);
  if (frame.bits !== 8) throw new Refused(`This JPEG has ${frame.bits} bits; browsers keep only 8 of them.`, AS_PNG);
  if (frame.parts === 2 || frame.kind > 0xc2) throw new Refused("Browsers cannot read this kind of JPEG.", AS_PNG);
  let end = bytes.length;
  while (end > at && !(bytes[end - 2] === 0xff && bytes[end - 1] === 0xd9)) end--;
  if (end <= at) throw new Refused("This JPEG is cut short: its end is missing.", COPY);
  kept.push(bytes.subarray(at));
  return { blob: new Blob(kept, { type: "image/jpeg" }), orientation: orientation || orientationInXmp(xmp) };
}

// A WebP without color profile and EXIF data, and how it is turned.
function plainWebp(bytes) {
  const view = viewOf(bytes), kept = [];
  let orientation = 0, xmp;
  for (let at = 12; at + 8 <= bytes.length; ) {
    const name = textOf(bytes.subarray(at, at + 4)), length = view.getUint32(at + 4, true);
    const end = Math.min(at + 8 + length + (length & 1), bytes.length), body = bytes.slice(at, end);
    if (name === "EXIF") {
      const skipped = textOf(body.subarray(8, 14)) === "Exif\0\0" ? 14 : 8;
      orientation = orientationIn(body.subarray(skipped));
    } else if (name === "XMP ") xmp = body;
    else if (name !== "ICCP") {
      if (name === "VP8X") body[8] &= ~0b00101100; // no color profile, EXIF data or XMP
      kept.push(body);
    }
    at = end;
  }
  const size = 4 + kept.reduce((sum, part) => sum + part.length, 0), head = new Uint8Array(12);
  head.set(bytes.subarray(0, 4));
  viewOf(head).setUint32(4, size, true);
  head.set(bytes.subarray(8, 12), 8);
  return { blob: new Blob([head, ...kept], { type: "image/webp" }), orientation: orientation || orientationInXmp(xmp) };
}

// The pixels of a file that the browser decodes, in bands, since some browsers limit the size of a canvas.
async function pixelsByBrowser({ blob, orientation }) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, { imageOrientation: "none", premultiplyAlpha: "none", colorSpaceConversion: "none" });
  } catch {
    throw new Refused("Your browser cannot decode this picture: it is damaged, or of an unknown kind.", AS_PNG);
  }
  const { width, height } = bitmap;
  refuseTooLarge(width, height);
  const rows = Math.max(1, Math.min(height, Math.floor((1 << 22) / width)));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, rows];
  const context = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  const rgba = new Uint8Array(4 * width * height);
  for (let top = 0; top < height; top += rows) {
    context.clearRect(0, 0, width, rows);
    context.drawImage(bitmap, 0, -top);
    const band = context.getImageData(0, 0, width, Math.min(rows, height - top)).data;
    rgba.set(band, 4 * width * top);
  }
  bitmap.close();
  let hasAlpha = false;
  for (let at = 3; at < rgba.length; at += 4) {
    if (rgba[at] === 255) continue;
    hasAlpha = true;
    // The canvas has multiplied the color by the opacity, and rounded.
    if (rgba[at]) throw new Refused("Some pixels are half transparent, and browsers change their colors.", AS_PNG);
  }
  return { width, height, rgba, orientation, isDeep: false, hasAlpha };
}

const startsWith = (bytes, ...head) => head.every((byte, at) => bytes[at] === byte);

async function decoded(bytes, range) {
  const name = textOf(bytes.subarray(0, 16));
  if (!bytes.length) throw new Refused("This file is empty.", COPY);
  if (startsWith(bytes, ...PNG)) {
    const png = await readPng(bytes);
    return { ...pixelsOfPng(png, range), orientation: png.orientation };
  }
  if (startsWith(bytes, 0xff, 0xd8, 0xff)) return pixelsByBrowser(plainJpeg(bytes));
  if (name.startsWith("RIFF") && name.slice(8, 12) === "WEBP") return pixelsByBrowser(plainWebp(bytes));
  if (/^GIF8[79]a/.test(name)) return pixelsByBrowser({ blob: new Blob([bytes], { type: "image/gif" }), orientation: 1 });
  if (/^BM/.test(name)) {
    const bits = bytes.length > 30 ? viewOf(bytes).getUint16(28, true) : 0;
    if (bits === 16 || bits === 32) throw new Refused(`This BMP has ${bits} bits per pixel, which browsers read differently.`, AS_PNG);
    return pixelsByBrowser({ blob: new Blob([bytes], { type: "image/bmp" }), orientation: 1 });
  }
  if (/^(II\*\0|MM\0\*)/.test(name)) throw new Refused("Browsers cannot read TIFF files.", AS_PNG);
  if (/^P[1-7Ff]\s/.test(name)) throw new Refused("Browsers cannot read PNM files.", AS_PNG);
  if (name.slice(4, 8) === "ftyp") throw new Refused("HEIC and AVIF files cannot be read, by this page or by predict.", "Save it as JPEG or PNG.");
  throw new Refused("This is not a picture in a known format.", "Choose a PNG, JPEG, WebP, GIF or BMP file.");
}

// Color on a ground, in whole numbers as Pillow computes it (AlphaComposite.c).
function onGround(value, opacity, ground) {
  const sum = value * opacity * 128 + ground * (255 - opacity) * 128 + (128 << 7);
  return ((sum >> 8) + sum) >> 8 >> 7;
}

// Whether a drawing on a transparent ground is so dark that hardly any of it would be visible on black.
function isHiddenByBlack(rgba) {
  let least = 255, most = 0, drawn = 0, visible = 0;
  for (let at = 0; at < rgba.length; at += 4) {
    const opacity = rgba[at + 3];
    least = Math.min(least, opacity);
    most = Math.max(most, opacity);
    drawn += opacity;
    if (Math.max(rgba[at], rgba[at + 1], rgba[at + 2]) * opacity > 32 * 255) visible += opacity;
  }
  return least < most && visible <= 0.02 * drawn;
}

// A decoded picture in the size and with the channels that the model takes.
function seenBy(model, picture) {
  const { rgba, hasAlpha, isDeep } = picture, channels = model.input[0], count = picture.width * picture.height;
  const data = new Uint8Array(count * channels);
  const ground = hasAlpha && ((model.onWhite && !picture.anyGround) || isHiddenByBlack(rgba)) ? 255 : 0;
  const scale = !isDeep && model.range?.depths.includes("bytes") ? scaled(model.range) : asIs;
  const color = [0, 0, 0];
  for (let at = 0; at < count; at++) {
    const opacity = hasAlpha ? rgba[4 * at + 3] : 255;
    for (let plane = 0; plane < 3; plane++) {
      const value = rgba[4 * at + plane];
      color[plane] = opacity === 255 ? value : opacity ? onGround(value, opacity, ground) : ground;
    }
    if (channels === 1) data[at] = scale((color[0] * 19595 + color[1] * 38470 + color[2] * 7471 + 0x8000) >> 16);
    else for (let plane = 0; plane < 3; plane++) data[3 * at + plane] = scale(color[plane]);
  }
  const whole = turned({ width: picture.width, height: picture.height, channels, data }, picture.orientation);
  return fitted(whole, model.input[2], model.input[1], model.fit, model.interpolation);
}

function turned(picture, orientation) {
  if (!(orientation > 1 && orientation < 9)) return picture;
  const { width, height, channels, data } = picture, isSideways = orientation > 4;
  const [wide, high] = isSideways ? [height, width] : [width, height];
  const isMirroredX = [2, 3, 7, 8].includes(orientation), isMirroredY = [3, 4, 6, 7].includes(orientation);
  const done = new Uint8Array(data.length);
  for (let row = 0, at = 0; row < high; row++) {
    for (let column = 0; column < wide; column++, at += channels) {
      const [x, y] = isSideways ? [row, column] : [column, row];
      const from = ((isMirroredY ? height - 1 - y : y) * width + (isMirroredX ? width - 1 - x : x)) * channels;
      for (let k = 0; k < channels; k++) done[at + k] = data[from + k];
    }
  }
  return { width: wide, height: high, channels, data: done };
}
