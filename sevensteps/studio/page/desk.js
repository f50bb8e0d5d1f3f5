/**
 * What the train view looks at: the batch in hand with every number, the picture that is followed, the station that is
 * open, the pixel under the pointer. Looking is the page's own affair; progress is the server's.
 */

import { calm } from './dom.js';
import { decode } from './store.js';

/** Decode the arrays among the values of an object. */
const arrays = part => part && Object.fromEntries(
  Object.entries(part).map(([name, value]) => [name, value?.data === undefined ? value : decode(value)]));

/** The arrays of /xray, decoded, with what the view asks of each picture. */
function decoded(xray) {
  const seen = { ...arrays(xray), weights: arrays(xray.weights), filters: arrays(xray.filters) };
  const n = seen.labels.length, per = seen.probabilities ? seen.probabilities.shape[1] : 0;
  seen.answers = seen.labels.map((_, i) => {
    if (!per) return null;
    let best = 0;
    for (let k = 1; k < per; k++) {
      if (seen.probabilities.data[i * per + k] > seen.probabilities.data[i * per + best]) best = k;
    }
    return best;
  });
  seen.probability = (i, k) => seen.probabilities.data[i * per + k];
  seen.sure = i => seen.probability(i, seen.answers[i]);
  seen.wrong = i => seen.answers[i] != null && seen.answers[i] !== seen.labels[i];
  seen.order = Array.from({ length: n }, (_, i) => i).sort((a, b) => seen.losses.data[b] - seen.losses.data[a]);
  return seen;
}

const OVER = ['judging', 'done', 'failed'];
const sleep = ms => new Promise(done => setTimeout(done, ms));

/**
 * Open the desk of a train view.
 * @param {any} store
 * @param {(reason: string) => void} draw called when anything changed that is drawn
 */
export function openDesk(store, draw) {
  const { state } = store;
  const desk = {
    store, state,
    seen: null, chain: null, pictures: null, // /xray, /chain and the bytes of its pictures, decoded
    place: state.place, // as of the batch that is drawn
    look: Math.max(1, state.place?.station ?? 1),
    pick: 0, pixel: null, klass: null, magnify: true, cursor: null,
    guess: false, shown: true, guessed: null,
    get classes() { return state.run?.classes ?? []; },
    get kind() { return state.run?.kind ?? 'linear'; },
    get many() { return desk.classes.length > 2; },
    get running() { return state.place?.phase === 'running'; },
    /** Has training ended? Then the batch that is seen is the last one, or where that was not looked at, the one after. */
    get ended() { return ['judging', 'done'].includes(state.place?.phase); },
    get fast() {
      const { value, unit } = state.place?.speed ?? {};
      return desk.running && (value === 0 || value > 5 || (unit === 'batches' && value > 2.5));
    },
    /** Has this batch come to a station, and may its numbers be seen? */
    reached: n => Boolean(desk.seen) && (desk.ended || n <= (desk.place?.station ?? 1)),
    open: n => desk.reached(n) && (desk.shown || n !== desk.look),
    done: () => desk.place?.batch ?? 0,
  };
  let busy = false, again = false, closed = false, key = '';
  /**
   * The open station follows the progress until a place comes after this thing was asked for; null: it stays. So a place
   * that was on its way when a key was pressed does not end it.
   * @type {{asked: number} | null}
   */
  let walked = { asked: 0 };

  /** Keep one picture's whole way; its batch is `seen`. */
  const chained = (raw, seen) => raw && { ...arrays(raw), seen, pick: raw.number - 1,
    layers: raw.layers.map(layer => ({ ...layer, values: decode(layer.values) })) };

  /** Ask for the way of another picture of the batch that is drawn. */
  async function fetchChain() {
    const { seen, pick } = desk;
    if (!seen || desk.running || desk.look !== 2 || (desk.chain?.seen === seen && desk.chain.pick === pick)) return;
    const raw = await store.get(`chain?number=${pick + 1}`).catch(() => null);
    if (closed || !raw || desk.seen !== seen) return;
    desk.chain = chained(raw, seen);
    draw('chain');
  }

  /** The pictures of the batch where the model does not take pixels. */
  async function fetchPictures(seen) {
    if (!seen.features) return { ...seen.x, white: seen.x.data instanceof Uint8Array ? 255 : 1 };
    const ids = seen.ids.map(encodeURIComponent).join(',');
    const { pictures } = await store.get(`pictures?split=train&ids=${ids}`);
    return { ...decode(pictures), white: 255 };
  }

  function arrived(seen, pictures, place) {
    const first = !desk.seen, before = desk.place, stepwise = place.speed?.unit === 'steps' && desk.running;
    const newBatch = desk.seen?.batch !== seen.batch;
    Object.assign(desk, { seen, pictures, place });
    if (first || desk.pick >= seen.labels.length) [desk.pick] = seen.order;
    const ends = OVER.includes(place.phase) && (first || !OVER.includes(before?.phase)); // then the last station says why
    if (ends) Object.assign(desk, { look: 7, shown: true, guessed: null });
    else if (first || walked || stepwise) {
      if (desk.look !== place.station || newBatch) Object.assign(desk, { shown: !desk.guess, guessed: null });
      desk.look = place.station;
    }
    const step = before && before.station !== place.station && (walked || stepwise) && !first && !desk.fast;
    if (walked && place.asked >= walked.asked) walked = null;
    draw(step && before.station < place.station === (place.station - before.station === 1)
      ? `walk ${before.station} ${place.station}` : 'place');
    fetchChain();
  }

  async function follow() {
    if (busy) { again = true; return; }
    busy = true;
    do {
      again = false;
      const { place, run } = state;
      const now = JSON.stringify([run?.name, run?.parent, run?.story, place.batch, place.station, place.lr_now, place.epoch, OVER.includes(place.phase)]);
      if (!run || ['empty', 'opening'].includes(place.phase)) { Object.assign(desk, { seen: null, chain: null, place }); break; }
      if (now !== key) {
        try {
          // With the picture that is followed, so that both are of one batch however fast it runs.
          const raw = await store.get(desk.look === 2 || walked ? `xray?number=${desk.pick + 1}` : 'xray'), seen = decoded(raw);
          const pictures = await fetchPictures(seen);
          if (closed) return;
          key = now;
          desk.chain = chained(raw.chain, seen) ?? null;
          arrived(seen, pictures, place);
        } catch (error) {
          if (error.status === 0) break; // the banner says it
          desk.place = place;
        }
      } else { desk.place = place; }
      if (desk.running) await sleep(calm() ? 500 : desk.fast ? 250 : 60);
    } while (again && !closed);
    busy = false;
    if (!closed) draw('place');
  }

  const unsubscribe = store.subscribe(['place', 'run'], follow);
  const chainKeys = new Set(['pick', 'look']);
  return Object.assign(desk, {
    /** Change what is looked at, and draw. */
    set(changes, reason = 'look') {
      Object.assign(desk, changes);
      if ('look' in changes) walked = null; // a station that is chosen stays open, whatever was pressed before
      draw(reason);
      if (Object.keys(changes).some(name => chainKeys.has(name))) fetchChain();
    },
    /** Tell the server to do something; `walk` lets the open station follow the progress. */
    async act(verb, body, { walk = false } = {}) {
      const mine = walk ? { asked: Infinity } : null;
      walked = mine ?? walked;
      const { asked } = await store.act(verb, body) ?? {};
      if (mine) mine.asked = asked ?? 0;
      if (mine && mine === walked && desk.place?.asked >= mine.asked) walked = null;
      return asked !== undefined;
    },
    start: follow,
    close() { closed = true; unsubscribe(); },
  });
}
