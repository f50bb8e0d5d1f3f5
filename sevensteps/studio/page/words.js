/** What the stations say: names, one sentence each, and the question of "Guess first". */

import { count, plural } from './format.js';
import { top } from './paint.js';

export const NAMES = ['', 'Initialize', 'Predict', 'Loss', 'Gradient', 'Step', 'Repeat', 'Stop'];

/** "binary_cross_entropy_with_logits" and its family, by the start of the name. */
export const lossFamily = name =>
  /^sigmoid_l1/.test(name) ? 'l1' : /^(bce|binary_cross_entropy)/.test(name) ? 'binary'
    : /^(ce|cross_entropy|nll)/.test(name) ? 'entropy' : /^mse/.test(name) ? 'square' : 'other';

const LOSS = {
  l1: 'The loss says how wrong the answers are: 0 is right and sure, 1 is wrong and sure.',
  binary: 'The loss says how wrong the answers are: 0 is right and sure; for an answer that is wrong and sure it has no upper limit.',
  entropy: 'The loss says how wrong the answers are: 0 is right and sure; for an answer that is wrong and sure it has no upper limit.',
  square: 'The loss is the squared distance between the answer and the label: 0 is exactly right.',
  other: 'The loss says how wrong the answers are: the smaller, the better.',
};

/** Is the first layer of a network fully connected? Then each of its units weighs whole pictures, and nothing slides. */
export const isDense = ({ kind, seen }) => kind === 'network' && seen.layers[0]?.name === 'Linear';

function initialize(desk) {
  const { kind, seen, many } = desk, { parameters, filters, weights } = seen;
  const numbers = { zeros: 'zeros', normal: 'random numbers' }[desk.state.run.recipe.init] ?? 'small random numbers';
  if (kind === 'network' && filters) {
    const [n, , height, width] = filters.before.shape;
    if (isDense(desk)) return `The model starts as ${count(parameters)} ${numbers}: first, for each of ${n} units, one weight for each pixel.`;
    return `The model starts as ${count(parameters)} ${numbers}; these ${n} filters of ${height}×${width} are the first of them.`;
  }
  if (kind === 'backbone') return `Only the last part is new: ${count(parameters)} ${numbers}. Everything before it was trained by others.`;
  if (!weights) return `The model starts as ${count(parameters)} ${numbers}.`;
  const each = weights.before.shape.slice(1).reduce((a, b) => a * b, 1);
  const bias = weights.bias_before ? ', and a bias that is added to the sum' : '';
  return many ? `The model starts as ${count(parameters)} ${numbers}: for each class a weight for each pixel${bias}.`
    : `The model starts as ${count(parameters)} ${numbers}: ${count(each)} weights, one for each pixel${bias}.`;
}

function predict(desk) {
  const { kind, many } = desk;
  if (kind === 'backbone') return 'The frozen network turns each picture into features; the trained part turns these into probabilities.';
  if (isDense(desk)) return 'Each unit multiplies every pixel by its own weight and adds up; the last layer turns the sums into a probability.';
  if (kind === 'network') return 'Slide each filter over the picture, keep where it responds, and let the last layer turn that into a probability.';
  return many ? 'For each class, multiply each pixel by its weight and add it all up; then turn the sums into probabilities.'
    : 'Multiply each pixel by its weight, add it all up, and squeeze the sum into a probability.';
}

const gradient = ({ kind }) => kind === 'linear'
  ? 'The gradient says how the loss would change if each weight were a little larger.'
  : 'The gradient says how the loss would change if each number in each layer were a little larger.';

function step({ kind, seen }) {
  const what = kind === 'linear' ? 'weight' : 'number';
  return seen.optimizer.plain
    ? `Move every ${what} a little way against its gradient, so that the loss goes down.`
    : `Move every ${what} a little way, as ${optimizer(seen)} decides from this gradient and earlier ones.`;
}

/** Name the optimizer: "SGD with momentum 0.9", "AdamW". */
export const optimizer = ({ optimizer: { name, momentum } }) => momentum ? `${name} with momentum ${momentum}` : name;

/** The pictures of a whole batch: the last one of an epoch may be smaller. */
export const wholeBatch = ({ seen, state }) => seen.repeat.batch < seen.repeat.per_epoch ? seen.labels.length : state.run.recipe.batch_size;

/**
 * Return the sentence of a station.
 * @param {number} station
 * @param {any} desk see `desk.js`
 */
export function sentence(station, desk) {
  const { seen } = desk;
  if (!seen) return '';
  return ['', initialize, predict, () => LOSS[lossFamily(seen.loss_name)], gradient, step,
    () => `Do steps 2 to 5 again with the next ${plural(wholeBatch(desk), 'picture')}; going once through all pictures is one epoch.`,
    () => 'After every batch a rule decides: go on, or stop and say why.'][station](desk);
}

/** Where the gradient of a linear model of two classes is strongest: where this batch's classes differ, at an edge, or neither. */
function strongest({ seen, pictures, many }) {
  const { weights, labels } = seen;
  if (!weights || many || pictures?.shape[1] !== 1) return null;
  const [, , height, width] = pictures.shape, size = height * width, sums = [new Float64Array(size), new Float64Array(size)], counts = [0, 0];
  labels.forEach((label, i) => {
    counts[label] += 1;
    for (let at = 0; at < size; at++) sums[label][at] += pictures.data[i * size + at];
  });
  if (!counts[0] || !counts[1]) return null;
  const apart = Array.from(sums[0], (sum, at) => Math.abs(sum / counts[0] - sums[1][at] / counts[1]));
  let best = 0;
  for (let at = 1; at < size; at++) if (Math.abs(weights.gradient.data[at]) > Math.abs(weights.gradient.data[best])) best = at;
  const row = Math.floor(best / width), column = best % width;
  if (apart[best] >= Math.max(...apart) / 2) return 'Where the classes differ';
  return Math.min(row, column, height - 1 - row, width - 1 - column) < 2 ? 'At the edge' : 'Where all are alike';
}

/** Which layer of a network most of the gradient reaches; alike where the first and the last get shares that are near. */
function reached({ layers }) {
  const trained = layers.filter(layer => layer.gradient_norm != null), first = trained[0]?.gradient_norm, last = trained.at(-1)?.gradient_norm;
  if (trained.length < 2) return null;
  return first > 1.5 * last ? 'In the first layer' : last > 1.5 * first ? 'In the last layer' : 'Alike in all';
}

/** Whether a step can be seen at the weights' own scale. */
function visible({ weights, filters }) {
  const drawn = weights ?? filters;
  if (!drawn) return null;
  const moved = drawn.before.data.reduce((most, value, i) => Math.max(most, Math.abs(value - drawn.after.data[i])), 0);
  return moved > top(drawn.before.data) / 4 ? 'Yes' : 'Hardly';
}

/**
 * Return what "Guess first" asks at a station: the question, and the answers to choose from, or the range of a number.
 * @param {number} station
 * @param {any} desk
 */
export function question(station, desk) {
  const { seen, kind, classes } = desk, n = seen.labels.length, { repeat } = seen;
  return [null,
    { ask: 'Before you look: will the numbers of this model show shapes, or noise?', choose: ['Shapes', 'Noise'] },
    { ask: `Before you look: how many of the ${n} pictures will it get right?`, most: n, is: () => seen.right },
    { ask: 'Before you look: what does the picture show that it gets most wrong?', choose: classes,
      is: () => classes[seen.labels[seen.order[0]]] },
    { ask: 'Before you look: where will the gradient be strongest?',
      choose: kind === 'linear' ? ['Where the classes differ', 'Where all are alike', 'At the edge'] : ['In the first layer', 'In the last layer', 'Alike in all'],
      is: () => kind === 'linear' ? strongest(desk) : reached(seen) },
    { ask: 'Before you look: will you see the difference between old and new?', choose: ['Yes', 'Hardly'], is: () => visible(seen) },
    { ask: 'Before you look: how many pictures has it learned from in this epoch, with this batch?', most: 1e7, is: () => (repeat.batch - 1) * wholeBatch(desk) + n },
    { ask: 'Before you look: would you stop here?', choose: ['Stop', 'Go on'],
      is: () => seen.stop.rules.some(rule => rule.met) ? 'Stop' : 'Go on' },
  ][station];
}
