/**
 * What the page knows: the server's latest state, and the ways to ask the server and to tell it.
 * The server sends sections of one object; the page keeps them and tells those who watch them.
 */

/** @typedef {{shape: number[], data: Float32Array | Uint8Array}} Numbers */

/** An answer of the server that is not what was asked for: what is wrong, and what to do. */
export class Refused extends Error {
  constructor(status, { code = 'error', message = 'The Studio did not answer.', hint = '' } = {}) {
    super(message);
    Object.assign(this, { status, code, hint });
  }
}

const TYPES = { f32: Float32Array, u8: Uint8Array };
const SILENCE = 15_000; // the server writes every 5 s at least; after 15 s without a word the line is dead

/**
 * Decode an array of the wire.
 * @param {{shape: number[], type: string, data: string} | null} wire
 * @returns {Numbers | null}
 */
export function decode(wire) {
  if (!wire) return null;
  const text = atob(wire.data), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return { shape: wire.shape, data: new TYPES[wire.type](bytes.buffer) };
}

/** Append what came of the loss curve to what is here; `curve` is a view of a buffer that grows by doubling. */
function grown(curve, { from, values }) {
  const { data } = decode(values), end = from + data.length;
  let buffer = curve.buffer;
  if (buffer.byteLength < end * 4) {
    buffer = new ArrayBuffer(Math.max(4096, end * 8));
    new Float32Array(buffer).set(curve.subarray(0, from));
  }
  const whole = new Float32Array(buffer, 0, end);
  whole.set(data, from);
  return whole;
}

const sleep = ms => new Promise(done => setTimeout(done, ms));
const shown = () => new Promise(done => {
  if (!document.hidden) return done();
  document.addEventListener('visibilitychange', () => done(), { once: true });
}).then(() => document.hidden ? shown() : undefined);

/** In a notebook's frame no cookie is sent: the token stands in the address, /frame/TOKEN/, and goes into a header. */
const frameToken = () => /\/frame\/([^/]+)\//.exec(location.pathname)?.[1];

/** Open the page's store; `connect()` starts to follow the server. */
export function openStore() {
  const token = frameToken();
  const headers = token ? { 'X-Sevensteps-Token': token } : {};
  /** @type {any} */
  const state = { curve: new Float32Array(), means: 0, lost: null, problem: null };
  const watchers = new Set();
  let changed = new Set(), control = new AbortController(), hopeless = false;

  function tell() {
    const now = changed;
    changed = new Set();
    for (const { sections, f } of [...watchers]) if (sections.some(name => now.has(name))) f(state, now);
  }

  /** Put sections into the state, and tell those who watch them with the next frame. */
  function put(sections) {
    if (!changed.size) requestAnimationFrame(tell);
    for (const [name, value] of Object.entries(sections)) {
      state[name] = name === 'curve' ? grown(state.curve, value) : value;
      if (name === 'curve') state.means = value.means; // of so many batches only their epoch's mean loss is saved
      changed.add(name);
    }
  }

  async function refused(answer) {
    let said = {};
    try { said = (await answer.json()).error; } catch { /* not our JSON: the status says enough */ }
    return new Refused(answer.status, said);
  }

  async function ask(path, options = {}) {
    let answer;
    try {
      answer = await fetch(path, { ...options, headers: { ...headers, ...options.headers }, credentials: 'same-origin' });
    } catch (error) {
      if (error.name === 'AbortError') throw error;
      throw new Refused(0, { code: 'lost', message: 'The Studio does not answer.', hint: 'Is its program still running?' });
    }
    if (!answer.ok) throw await refused(answer);
    return answer;
  }

  /** GET a path; return its JSON. */
  const get = async path => (await ask(path)).json();

  /** POST a raw body (a Blob, a File) to a path; return the JSON of the answer. */
  const send = async (path, body, signal) =>
    (await ask(path, { method: 'POST', body, signal, headers: { 'X-Sevensteps': '1' } })).json();

  /** POST a verb with a JSON body; return the JSON of the answer, or throw `Refused`. */
  const post = async (verb, body = {}) => (await ask(`do/${verb}`, {
    method: 'POST', body: JSON.stringify(body), headers: { 'X-Sevensteps': '1', 'Content-Type': 'application/json' },
  })).json();

  /** POST a verb; show the error, if there is one, above the page. Return the answer, or null where it was not done. */
  async function act(verb, body = {}) {
    try {
      return await post(verb, body);
    } catch (error) {
      complain(error);
      return null;
    }
  }

  /** Show an error above the page until it is closed or something works. */
  function complain(error) {
    if (error.code === 'lost') return; // the banner of the lost server says it
    put({ problem: { message: error.message, hint: error.hint ?? '' } });
  }

  /** Fetch a file and hand it to the browser's downloads: a plain link would not carry the frame's token. */
  async function download(path, name) {
    const there = URL.createObjectURL(await (await ask(path)).blob());
    const link = document.createElement('a');
    Object.assign(link, { href: there, download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(there), 10_000);
  }

  function take(text) {
    for (const line of text.split('\n')) if (line.startsWith('data:')) put(JSON.parse(line.slice(5)));
  }

  async function read(body) {
    const reader = body.getReader(), decoder = new TextDecoder();
    let rest = '', alarm;
    const wake = () => { clearTimeout(alarm); alarm = setTimeout(() => control.abort(), SILENCE); };
    try {
      for (;;) {
        wake();
        const { value, done } = await reader.read();
        if (done) return;
        const parts = (rest + decoder.decode(value, { stream: true })).split('\n\n');
        rest = parts.pop() ?? '';
        parts.forEach(take);
      }
    } finally {
      clearTimeout(alarm);
    }
  }

  /** More tabs than the server streams to: ask once a second instead, until the tab is hidden. */
  async function poll() {
    while (!document.hidden) {
      put(await get('state'));
      await sleep(1000);
    }
  }

  async function follow() {
    let failures = 0;
    while (!hopeless) {
      await shown();
      control = new AbortController();
      try {
        const answer = await ask('events', { signal: control.signal });
        failures = 0;
        put({ lost: null });
        await read(answer.body);
      } catch (error) {
        if (error.status === 503) await poll().catch(() => {});
        else if (error.status === 401 || error.status === 403) {
          hopeless = true;
          put({ lost: { stranger: true } });
        }
      }
      if (document.hidden || hopeless) continue;
      failures += 1;
      if (failures > 1) put({ lost: { stranger: false } });
      await sleep(Math.min(200 * 2 ** failures, 4000));
    }
  }

  return {
    state, put, get, post, send, act, complain, download, decode,

    /**
     * Call `f(state, changed)` whenever one of the sections changed. Return what ends it.
     * @param {string[]} sections
     * @param {(state: any, changed: Set<string>) => void} f
     */
    subscribe(sections, f) {
      const watcher = { sections, f };
      watchers.add(watcher);
      return () => { watchers.delete(watcher); };
    },

    /** Follow the server until the page is closed. A hidden tab lets go of its stream. */
    connect() {
      document.addEventListener('visibilitychange', () => { if (document.hidden) control.abort(); });
      follow();
    },
  };
}
