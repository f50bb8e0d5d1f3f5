// The layers of a model, as they compute when it predicts. A tensor is { channels, height, width, data }, and a row of
// numbers has height 1 and width 1. Sums are in double precision.
function pair(size) {
  return typeof size === "number" ? [size, size] : size;
}

function each(x, change) {
  return { ...x, data: Float32Array.from(x.data, change) };
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
  const { weight, bias } = tensors, channels = layer.out_channels;
  const perGroup = layer.in_channels / layer.groups, outPerGroup = channels / layer.groups;
  const size = height * width, taps = kernelY * kernelX;
  const done = new Float32Array(channels * size);
  const FOUR = 4, sums = Array.from({ length: FOUR }, () => new Float64Array(size));
  for (let first = 0; first < channels; ) {
    const group = Math.floor(first / outPerGroup);
    const count = Math.min(FOUR, (group + 1) * outPerGroup - first); // output channels that read the same pixels
    for (let k = 0; k < count; k++) sums[k].fill(bias ? bias[first + k] : 0);
    const [a, b, c, d] = sums;
    for (let channel = 0; channel < perGroup; channel++) {
      const plane = (group * perGroup + channel) * given.height * wide;
      for (let tap = 0; tap < taps; tap++) {
        const y = Math.floor(tap / kernelX) * spreadY, xs = (tap % kernelX) * spreadX;
        const of = k => weight[((first + k) * perGroup + channel) * taps + tap];
        if (count === FOUR) {
          const p = of(0), q = of(1), r = of(2), s = of(3);
          for (let row = 0, at = 0; row < height; row++) {
            let from = plane + (row * down + y) * wide + xs;
            for (let end = at + width; at < end; at++, from += across) {
              const value = data[from];
              a[at] += p * value;
              b[at] += q * value;
              c[at] += r * value;
              d[at] += s * value;
            }
          }
        } else {
          for (let k = 0; k < count; k++) {
            const sum = sums[k], p = of(k);
            for (let row = 0, at = 0; row < height; row++) {
              let from = plane + (row * down + y) * wide + xs;
              for (let end = at + width; at < end; at++, from += across) sum[at] += p * data[from];
            }
          }
        }
      }
    }
    for (let k = 0; k < count; k++) done.set(sums[k], (first + k) * size);
    first += count;
  }
  return { channels, height, width, data: done };
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
