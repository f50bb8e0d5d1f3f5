// Resizing as Pillow 13 does it (its file Resample.c): two passes, each rounded to bytes. How much an old pixel counts in
// a new one is a whole number, and those of a new pixel add up to 2^22. A canvas scales in other ways.
const WHOLE = 2 ** 22;
const FILTERS = {
  bilinear: { support: 1, weight: x => Math.max(0, 1 - Math.abs(x)) },
  bicubic: {
    support: 2,
    weight: x => {
      x = Math.abs(x);
      if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
      return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
    },
  },
};

// For each of `count` new pixels: the first old pixel that counts, and how much it and those after it count.
function sharesOf(side, begin, end, count, filter) {
  [begin, end] = [Math.fround(begin), Math.fround(end)]; // Pillow has them in single precision
  const scale = Math.fround(end - begin) / count;
  const stretch = Math.max(scale, 1), support = filter.support * stretch;
  return Array.from({ length: count }, (_, place) => {
    const middle = begin + (place + 0.5) * scale;
    const first = Math.max(Math.trunc(middle - support + 0.5), 0);
    const last = Math.min(Math.trunc(middle + support + 0.5), side);
    const weights = [];
    for (let old = first; old < last; old++) weights.push(filter.weight((old - middle + 0.5) * (1 / stretch)));
    let total = 0;
    for (const weight of weights) total += weight;
    const shares = weights.map(weight => {
      const share = (total ? weight / total : weight) * WHOLE;
      return Math.trunc(share < 0 ? share - 0.5 : share + 0.5);
    });
    return { first, shares: Int32Array.from(shares) };
  });
}

function clipped(sum) {
  const value = (sum + WHOLE / 2) >> 22;
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

function resizedAcross({ height, width, channels, data }, shares) {
  const done = new Uint8Array(height * shares.length * channels);
  let at = 0;
  for (let row = 0; row < height; row++) {
    for (const { first, shares: of } of shares) {
      const start = (row * width + first) * channels;
      for (let channel = 0; channel < channels; channel++, at++) {
        let sum = 0;
        for (let k = 0, old = start + channel; k < of.length; k++, old += channels) sum += data[old] * of[k];
        done[at] = clipped(sum);
      }
    }
  }
  return { height, width: shares.length, channels, data: done };
}

function resizedDown({ width, channels, data }, shares) {
  const stride = width * channels;
  const done = new Uint8Array(shares.length * stride), sums = new Int32Array(stride);
  shares.forEach(({ first, shares: of }, row) => {
    sums.fill(0);
    for (let k = 0; k < of.length; k++) {
      const start = (first + k) * stride, share = of[k];
      for (let x = 0; x < stride; x++) sums[x] += data[start + x] * share;
    }
    for (let x = 0; x < stride; x++) done[row * stride + x] = clipped(sums[x]);
  });
  return { height: shares.length, width, channels, data: done };
}

function resized(picture, width, height, filter, [left, top, right, bottom]) {
  const across = sharesOf(picture.width, left, right, width, filter);
  const down = sharesOf(picture.height, top, bottom, height, filter);
  const needsAcross = width !== picture.width || left || right !== width;
  const needsDown = height !== picture.height || top || bottom !== height;
  const passes = [
    ...(needsAcross ? [given => resizedAcross(given, across)] : []),
    ...(needsDown ? [given => resizedDown(given, down)] : []),
  ];
  // From version 13 on, Pillow begins with the height where that loses more than twice as many pixels as the width.
  if (picture.height - height > 2 * Math.max(picture.width - width, 0)) passes.reverse();
  return passes.reduce((given, pass) => pass(given), picture);
}

// Python rounds a half to the even number.
function roundedToEven(value) {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest < 0.5 || (rest === 0.5 && floor % 2 === 0) ? floor : floor + 1;
}

// A picture in the size that the model takes; see data/fit.py.
function fitted(picture, width, height, fit, interpolation) {
  if (picture.width === width && picture.height === height) return picture;
  const filter = FILTERS[interpolation], way = fit.replace("-fast", "");
  const across = width / picture.width, down = height / picture.height;
  let left = 0, top = 0;
  if (way === "letterbox") {
    const scale = Math.min(across, down);
    const inner = [picture.width, picture.height].map(side => Math.max(1, roundedToEven(side * scale)));
    const small = resized(picture, ...inner, filter, [0, 0, picture.width, picture.height]);
    const { channels } = picture, framed = new Uint8Array(width * height * channels);
    const [x, y] = [Math.floor((width - inner[0]) / 2), Math.floor((height - inner[1]) / 2)];
    for (let row = 0; row < inner[1]; row++) {
      const start = row * inner[0] * channels;
      framed.set(small.data.subarray(start, start + inner[0] * channels), ((y + row) * width + x) * channels);
    }
    return { height, width, channels, data: framed };
  }
  if (way === "crop") {
    const scale = Math.max(across, down);
    left = Math.max((picture.width - width / scale) / 2, 0);
    top = Math.max((picture.height - height / scale) / 2, 0);
  }
  return resized(picture, width, height, filter, [left, top, picture.width - left, picture.height - top]);
}
