// The layers of a model, as they compute when it predicts. A tensor is { channels, height, width, data }, and a row of
// numbers has height 1 and width 1. Sums are in double precision.
function pair(size) {
  return typeof size === "number" ? [size, size] : size;
}

function each(x, change) {
  const data = new Float32Array(x.data.length);
  for (let at = 0; at < data.length; at++) data[at] = change(x.data[at]);
  return { ...x, data };
}

function byChannel(x, change) {
  const size = x.height * x.width, data = new Float32Array(x.data.length);
  for (let channel = 0; channel < x.channels; channel++) {
    const { times, plus } = change(channel);
    for (let at = channel * size; at < (channel + 1) * size; at++) data[at] = x.data[at] * times + plus;
  }
  return { ...x, data };
}

function padded({ channels, height, width, data }, [left, right, top, bottom], value = 0) {
  if (!(left || right || top || bottom)) return { channels, height, width, data };
  const wide = width + left + right, high = height + top + bottom;
  const done = new Float32Array(channels * wide * high).fill(value);
  for (let channel = 0; channel < channels; channel++) {
    for (let row = 0; row < height; row++) {
      const start = (channel * height + row) * width;
      done.set(data.subarray(start, start + width), (channel * high + row + top) * wide + left);
    }
  }
  return { channels, height: high, width: wide, data: done };
}

function convolution(layer, tensors, x) {
  const [down, across] = pair(layer.stride), [spreadY, spreadX] = pair(layer.dilation);
  const [kernelY, kernelX] = pair(layer.kernel_size);
  const reachY = spreadY * (kernelY - 1), reachX = spreadX * (kernelX - 1);
  let margins;
  if (layer.padding === "same") {
    const [top, left] = [Math.floor(reachY / 2), Math.floor(reachX / 2)];
    margins = [left, reachX - left, top, reachY - top];
  } else {
    const [y, xs] = layer.padding === "valid" ? [0, 0] : pair(layer.padding);
    margins = [xs, xs, y, y];
  }
  const given = padded(x, margins), { data, width: wide } = given;
  const height = Math.floor((given.height - reachY - 1) / down) + 1;
  const width = Math.floor((wide - reachX - 1) / across) + 1;
  const { weight, bias } = tensors, channels = layer.out_channels, size = height * width;
  const inGroup = layer.in_channels / layer.groups, outGroup = channels / layer.groups;
  // Where the numbers lie that count for an output, and where each output begins.
  const offsets = new Int32Array(inGroup * kernelY * kernelX), starts = new Int32Array(size);
  for (let k = 0; k < offsets.length; k++) {
    const tap = k % (kernelY * kernelX), channel = Math.floor(k / (kernelY * kernelX));
    const y = Math.floor(tap / kernelX) * spreadY, column = (tap % kernelX) * spreadX;
    offsets[k] = (channel * given.height + y) * wide + column;
  }
  for (let at = 0; at < size; at++) starts[at] = Math.floor(at / width) * down * wide + (at % width) * across;
  const done = new Float32Array(channels * size);
  const add = outGroup < BLOCK ? addOneByOne : addInBlocks;
  for (let group = 0; group < layer.groups; group++) {
    const plane = group * inGroup * given.height * wide;
    add(data.subarray(plane), offsets, starts, weight, bias, group * outGroup, outGroup, done);
  }
  return { channels, height, width, data: done };
}

const BLOCK = 4, TILE = 16; // output channels, and pixels, that are computed together

function addOneByOne(data, offsets, starts, weight, bias, first, count, done) {
  const size = starts.length;
  for (let channel = first; channel < first + count; channel++) {
    const from = channel * offsets.length;
    for (let at = 0; at < size; at++) {
      const start = starts[at];
      let sum = bias ? bias[channel] : 0;
      for (let k = 0; k < offsets.length; k++) sum += weight[from + k] * data[start + offsets[k]];
      done[channel * size + at] = sum;
    }
  }
}

// The same for many channels: numbers are gathered once for a tile of pixels, and sums of 4 x 4 stay in registers.
function addInBlocks(data, offsets, starts, weight, bias, first, count, done) {
  const size = starts.length, terms = offsets.length;
  const sums = new Float64Array(BLOCK * BLOCK), tile = new Float64Array(terms * TILE);
  const blocks = inBlocks(weight, first, count, terms);
  for (let from = 0; from < size; from += TILE) {
    const pixels = Math.min(TILE, size - from);
    for (let k = 0; k < terms; k++) {
      const offset = offsets[k];
      for (let t = 0; t < pixels; t++) tile[k * TILE + t] = data[offset + starts[from + t]];
    }
    for (let channel = 0; channel < count; channel += BLOCK) {
      for (let t = 0; t < pixels; t += BLOCK) {
        let a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0;
        let c0 = 0, c1 = 0, c2 = 0, c3 = 0, d0 = 0, d1 = 0, d2 = 0, d3 = 0;
        for (let k = 0, w = channel * terms, x = t; k < terms; k++, w += BLOCK, x += TILE) {
          const p = blocks[w], q = blocks[w + 1], r = blocks[w + 2], s = blocks[w + 3];
          const x0 = tile[x], x1 = tile[x + 1], x2 = tile[x + 2], x3 = tile[x + 3];
          a0 += p * x0; a1 += p * x1; a2 += p * x2; a3 += p * x3;
          b0 += q * x0; b1 += q * x1; b2 += q * x2; b3 += q * x3;
          c0 += r * x0; c1 += r * x1; c2 += r * x2; c3 += r * x3;
          d0 += s * x0; d1 += s * x1; d2 += s * x2; d3 += s * x3;
        }
        sums[0] = a0; sums[1] = a1; sums[2] = a2; sums[3] = a3; sums[4] = b0; sums[5] = b1; sums[6] = b2; sums[7] = b3;
        sums[8] = c0; sums[9] = c1; sums[10] = c2; sums[11] = c3; sums[12] = d0; sums[13] = d1; sums[14] = d2; sums[15] = d3;
        for (let k = 0; k < BLOCK && channel + k < count; k++) {
          const plus = bias ? bias[first + channel + k] : 0, at = (first + channel + k) * size + from + t;
          for (let j = 0; j < BLOCK && t + j < pixels; j++) done[at + j] = sums[BLOCK * k + j] + plus;
        }
      }
    }
  }
}

// Weights in the order in which they are read: four output channels at a time.
function inBlocks(weight, first, count, terms) {
  const blocks = new Float64Array(Math.ceil(count / BLOCK) * BLOCK * terms);
  for (let channel = 0; channel < count; channel++) {
    const start = Math.floor(channel / BLOCK) * BLOCK * terms + (channel % BLOCK);
    for (let k = 0; k < terms; k++) blocks[start + k * BLOCK] = weight[(first + channel) * terms + k];
  }
  return blocks;
}

function linear(layer, { weight, bias }, x) {
  const values = layer.in_features, data = new Float32Array(layer.out_features);
  for (let row = 0; row < data.length; row++) {
    let sum = 0;
    for (let k = 0, at = row * values; k < values; k++, at++) sum += weight[at] * x.data[k];
    data[row] = sum + (bias ? bias[row] : 0);
  }
  return { channels: data.length, height: 1, width: 1, data };
}

function pooled(layer, x, empty, add, finish) {
  const [kernelY, kernelX] = pair(layer.kernel_size), [down, across] = pair(layer.stride);
  const [top, left] = pair(layer.padding);
  const given = padded(x, [left, left, top, top], empty);
  const height = Math.floor((given.height - kernelY) / down) + 1;
  const width = Math.floor((given.width - kernelX) / across) + 1;
  const data = new Float32Array(x.channels * height * width);
  let at = 0;
  for (let channel = 0; channel < x.channels; channel++) {
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++, at++) {
        let sum = empty;
        for (let y = 0; y < kernelY; y++) {
          const start = (channel * given.height + row * down + y) * given.width + column * across;
          for (let k = start; k < start + kernelX; k++) sum = add(sum, given.data[k]);
        }
        data[at] = finish(sum, kernelY * kernelX);
      }
    }
  }
  return { channels: x.channels, height, width, data };
}

function pooledTo(layer, x, empty, add, finish) {
  const [height, width] = pair(layer.output_size), data = new Float32Array(x.channels * height * width);
  let at = 0;
  for (let channel = 0; channel < x.channels; channel++) {
    for (let row = 0; row < height; row++) {
      const top = Math.floor((row * x.height) / height), bottom = Math.ceil(((row + 1) * x.height) / height);
      for (let column = 0; column < width; column++, at++) {
        const left = Math.floor((column * x.width) / width), right = Math.ceil(((column + 1) * x.width) / width);
        let sum = empty;
        for (let y = top; y < bottom; y++) {
          for (let k = left; k < right; k++) sum = add(sum, x.data[(channel * x.height + y) * x.width + k]);
        }
        data[at] = finish(sum, (bottom - top) * (right - left));
      }
    }
  }
  return { channels: x.channels, height, width, data };
}

const larger = (one, other) => (one > other ? one : other);
const plus = (one, other) => one + other;
const asIs = value => value;
const mean = (sum, count) => sum / count;
const sigmoid = value => 1 / (1 + Math.exp(-value));

// The error function: a series without differences (Abramowitz and Stegun, 7.1.6).
function erf(x) {
  const far = Math.abs(x);
  if (far > 6) return Math.sign(x);
  let term = far, sum = far;
  for (let n = 1; term > sum * 1e-17; n++) sum += term *= (2 * far * far) / (2 * n + 1);
  return (Math.sign(x) * 2 * sum * Math.exp(-far * far)) / Math.sqrt(Math.PI);
}

function softmax(scores) {
  const most = Math.max(...scores), powers = Array.from(scores, score => Math.exp(score - most));
  const total = powers.reduce(plus, 0);
  return powers.map(power => power / total);
}

function row(x) {
  return { channels: x.data.length, height: 1, width: 1, data: x.data };
}

const LAYERS = {
  Normalize: (layer, { mean, std }, x) =>
    byChannel(x, channel => {
      const of = values => values[values.length > 1 ? channel : 0];
      return { times: 1 / of(std), plus: -of(mean) / of(std) };
    }),
  Conv2d: convolution,
  Linear: linear,
  BatchNorm1d: batchNorm,
  BatchNorm2d: batchNorm,
  Dropout: (layer, tensors, x) => x,
  Flatten: (layer, tensors, x) => row(x),
  MaxPool2d: (layer, tensors, x) => pooled(layer, x, -Infinity, larger, asIs),
  AvgPool2d: (layer, tensors, x) => pooled(layer, x, 0, plus, mean),
  AdaptiveAvgPool2d: (layer, tensors, x) => pooledTo(layer, x, 0, plus, mean),
  AdaptiveMaxPool2d: (layer, tensors, x) => pooledTo(layer, x, -Infinity, larger, asIs),
  MaxAndMeanPool: (layer, tensors, x) => {
    const whole = { output_size: 1 };
    const most = pooledTo(whole, x, -Infinity, larger, asIs), means = pooledTo(whole, x, 0, plus, mean);
    return row({ data: Float32Array.of(...most.data, ...means.data) });
  },
  ZeroPad2d: (layer, tensors, x) => {
    const margins = typeof layer.padding === "number" ? Array(4).fill(layer.padding) : layer.padding;
    return padded(x, margins);
  },
  ReLU: (layer, tensors, x) => each(x, value => (value > 0 ? value : 0)),
  ReLU6: (layer, tensors, x) => each(x, value => Math.min(Math.max(value, 0), 6)),
  GELU: (layer, tensors, x) => each(x, value => (value * (1 + erf(value / Math.SQRT2))) / 2),
  SiLU: (layer, tensors, x) => each(x, value => value * sigmoid(value)),
  Tanh: (layer, tensors, x) => each(x, Math.tanh),
  Sigmoid: (layer, tensors, x) => each(x, sigmoid),
  LeakyReLU: (layer, tensors, x) => each(x, value => (value > 0 ? value : value * layer.negative_slope)),
  Softmax: (layer, tensors, x) => ({ ...x, data: Float32Array.from(softmax(x.data)) }),
  LogSoftmax: (layer, tensors, x) => ({ ...x, data: Float32Array.from(softmax(x.data), Math.log) }),
  RootOfShare: (layer, tensors, x) => {
    const least = Math.max(x.data.reduce(plus, 0) / x.data.length, layer.eps);
    return each(x, value => Math.sqrt(Math.max(value / least, 0)));
  },
};

function batchNorm(layer, { weight, bias, running_mean, running_var }, x) {
  return byChannel(x, channel => {
    const times = weight[channel] / Math.sqrt(running_var[channel] + layer.eps);
    return { times, plus: bias[channel] - running_mean[channel] * times };
  });
}

// A model: `tensors` has its numbers by the places of its layers, such as "3.0.1.".
class Network {
  constructor(description, tensors) {
    this.description = description;
    this.tensors = {};
    for (const [name, numbers] of Object.entries(tensors)) {
      const dot = name.lastIndexOf(".") + 1;
      (this.tensors[name.slice(0, dot)] ??= {})[name.slice(dot)] = numbers;
    }
    this.described = {};
  }

  scores(x) {
    const layers = this.#parts(this.description);
    if (layers[0]?.[1].layer !== "WithMirror") return this.#computed(this.description, "", x).data;
    const inner = layers.slice(1, -1);
    const [one, other] = [x, mirrored(x)].map(each => this.#sequence(inner, "", each).data);
    return one.map((score, place) => (score + other[place]) / 2);
  }

  #parts(layer) {
    return [...(layer.layers ?? []).map((part, place) => [String(place), part]), ...(layer.named ?? [])];
  }

  #sequence(parts, place, x) {
    return parts.reduce((given, [name, part]) => this.#computed(part, `${place}${name}.`, given), x);
  }

  #computed(layer, place, x) {
    if (layer.layer === "Sequential") return this.#sequence(this.#parts(layer), place, x);
    if (layer.layer === "Residual") {
      const added = this.#sequence(this.#parts(layer), place, x);
      return { ...x, data: x.data.map((value, at) => value + added.data[at]) };
    }
    if (layer.layer === "Again") {
      place = `${layer.at}.`;
      layer = this.described[place];
    }
    this.described[place] = layer;
    return LAYERS[layer.layer](layer, this.tensors[place] ?? {}, x);
  }
}

function mirrored(x) {
  const data = new Float32Array(x.data.length), last = x.width - 1;
  for (let start = 0; start < data.length; start += x.width) {
    for (let column = 0; column < x.width; column++) data[start + column] = x.data[start + last - column];
  }
  return { ...x, data };
}
