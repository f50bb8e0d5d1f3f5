// From the pixels that a model takes to its answer: probabilities, the distance from all classes, and "not sure" or "none
// of these" where the model should not be trusted.
class Model {
  constructor(about, numbers) {
    Object.assign(this, about);
    const floats = new Float32Array(numbers.buffer), parts = {};
    for (const [name, [start, length]] of Object.entries(about.tensors)) {
      const dot = name.indexOf(".");
      (parts[name.slice(0, dot)] ??= {})[name.slice(dot + 1)] = floats.subarray(start, start + length);
    }
    this.network = new Network(about.layers, parts.model ?? {});
    this.backbone = about.backbone && Object.assign(new Network(about.backbone.layers, parts.backbone), about.backbone);
    this.far = parts.abstain;
  }

  // What the layers take: the bytes of a picture, or those that a pretrained network makes of it.
  seen(picture) {
    if (!this.backbone) return planes(picture, 1);
    const [channels, height, width] = this.shape, scale = Math.fround(255 / this.backbone.largest);
    const data = this.backbone.scores(planes(picture, 255)).map(value => {
      return Math.min(Math.max(roundedToEven(Math.fround(value * scale)), 0), 255);
    });
    return { channels, height, width, data };
  }

  // The answer to a picture in the shape that the model takes.
  answer(picture) {
    const seen = this.seen(picture), x = each(seen, value => value / 255);
    const probabilities = this.probabilities(this.network.scores(this.flat ? row(x) : x));
    if (!probabilities.every(Number.isFinite)) throw new Refused("The model's scores of this picture are not finite.");
    const best = probabilities.indexOf(Math.max(...probabilities));
    const distance = this.limits ? this.distance(seen) : null;
    let reason = null;
    // A limit is compared with single precision, as the model's own program does.
    if (distance !== null && !(distance <= this.limits.distance)) reason = "none of these";
    else if (distance !== null && !(probabilities[best] >= this.limits.confidence)) reason = "not sure";
    return { class: this.classes[best], best, probabilities, distance, reason, hint: this.hint(picture, distance, reason) };
  }

  probabilities(scores) {
    const { loss, temperature } = this, single = scores.length === 1;
    if (loss === "mse_loss") {
      if (single) {
        const share = Math.min(Math.max((scores[0] + 1) / 2, 0), 1);
        return [1 - share, share];
      }
      const shares = Array.from(scores, score => Math.max((score + 1) / 2, 0)), total = shares.reduce(plus, 0);
      return total > 1e-6 ? shares.map(share => share / total) : softmax(scores);
    }
    return softmax(single ? [0, scores[0] / temperature] : Array.from(scores, score => score / temperature));
  }

  // How far a picture is from the nearest class, in double precision; about 1 for a picture like those of training.
  distance(seen) {
    const { means, directions, precision } = this.far, values = means.length / precision.length;
    const x = reduced(seen, values === seen.channels);
    const along = directions.length / means.length;
    let nearest = Infinity;
    for (let k = 0; k < precision.length; k++) {
      let far = 0, explained = 0;
      const steps = new Float64Array(values);
      for (let at = 0; at < values; at++) {
        steps[at] = x[at] - means[k * values + at];
        far += steps[at] * steps[at];
      }
      for (let direction = 0; direction < along; direction++) {
        let sum = 0;
        const start = (k * along + direction) * values;
        for (let at = 0; at < values; at++) sum += directions[start + at] * steps[at];
        explained += sum * sum;
      }
      nearest = Math.min(nearest, precision[k] * far - explained);
    }
    return Math.max(nearest, 0) / values;
  }

  // What to do about a picture that is dark where those of training are light.
  hint(picture, distance, reason) {
    if (!reason || this.backbone) return "";
    const inverted = { ...picture, data: picture.data.map(value => 255 - value) };
    const other = this.distance(planes(inverted, 1));
    if (other > this.limits.distance || other >= distance) return "";
    const { width, height, channels, data } = picture;
    let sum = 0;
    const add = at => { for (let k = 0; k < channels; k++) sum += data[at * channels + k]; };
    for (let x = 0; x < width; x++) { add(x); add((height - 1) * width + x); }
    for (let y = 0; y < height; y++) { add(y * width); add(y * width + width - 1); }
    const isLight = sum / (2 * (width + height) * channels) > 127;
    const [yours, theirs] = isLight ? ["dark on light", "light on dark"] : ["light on dark", "dark on light"];
    return `Your picture is ${yours}, those of training are ${theirs}: invert it.`;
  }
}

// Pixels as planes of numbers, one for each channel.
function planes({ width, height, channels, data }, largest) {
  const size = width * height, done = new Float32Array(size * channels);
  for (let at = 0; at < size; at++) {
    for (let channel = 0; channel < channels; channel++) done[channel * size + at] = data[at * channels + channel] / largest;
  }
  return { channels, height, width, data: done };
}

// A picture averaged over squares so that no side is longer than 16, or as a whole, as numbers from 0 to 1; see
// ship/abstention.py.
function reduced({ channels, height, width, data }, whole) {
  const [stepY, stepX] = [height, width].map(side => (whole ? side : Math.ceil(side / 16)));
  const done = [];
  for (let channel = 0; channel < channels; channel++) {
    for (let top = 0; top < height; top += stepY) {
      const bottom = Math.min(top + stepY, height);
      for (let left = 0; left < width; left += stepX) {
        const right = Math.min(left + stepX, width);
        let sum = 0;
        for (let x = left; x < right; x++) {
          let column = 0;
          for (let y = top; y < bottom; y++) column += data[(channel * height + y) * width + x];
          sum += column / (bottom - top);
        }
        done.push(sum / (right - left) / 255);
      }
    }
  }
  return done;
}

// Made-up pictures, the same as in ship/page/golden.py: noise, waves, bars and spots.
function mixed(value) {
  value = Math.imul(value ^ (value >>> 16), 0x45d9f3b);
  value = Math.imul(value ^ (value >>> 16), 0x45d9f3b);
  return (value ^ (value >>> 16)) >>> 0;
}

function madeUp(number, channels, height, width) {
  const rgba = new Uint8Array(4 * width * height).fill(255);
  for (let channel = 0; channel < 3; channel++) {
    const seed = mixed(number * 4 + (channel % channels) + 1), low = seed & 127, span = (seed >>> 8) & 127, pace = 1 + ((seed >>> 16) & 7);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        let share;
        if (number % 4 === 0) share = mixed(seed + y * width + x) & 255;
        else if (number % 4 === 1) share = Math.abs(((Math.floor((x * 256 * pace) / width) + Math.floor((y * 256) / height)) & 511) - 255);
        else if (number % 4 === 2) share = Math.floor((x * pace) / width + (y * 2) / height) & 1 ? 255 : 0;
        else {
          const [far, near] = [2 * x - width, 2 * y - height];
          share = Math.max(255 - Math.floor((255 * (far * far + near * near)) / (width * width + height * height)), 0);
        }
        rgba[4 * (y * width + x) + channel] = low + ((share * (span + 1)) >> 8);
      }
    }
  }
  return { width, height, rgba, hasAlpha: false, isDeep: false };
}

const MOST_APART = 1e-5;

// Answer the made-up pictures, and compare; returns the largest difference of a probability.
async function checked(model) {
  let apart = 0;
  for (const [number, { size: [height, width], probabilities, distance }] of model.golden.entries()) {
    const picture = madeUp(number, model.input[0], height, width);
    const given = model.answer(seenBy(model, picture));
    const differences = probabilities.map((wanted, place) => Math.abs(wanted - given.probabilities[place]));
    if (distance !== null) differences.push(Math.abs(given.distance - distance) / Math.max(distance, 1));
    apart = Math.max(apart, ...differences.map(difference => (Number.isFinite(difference) ? difference : Infinity)));
    if (number % 4 === 3) await new Promise(done => setTimeout(done)); // let the page draw
  }
  return apart;
}
