/** The camera: a live picture, and a button that takes one. */

import { fill, h } from './dom.js';

const LONGEST = 640; // pixels of the longer side of what is taken

const OPEN_ALONE = window === window.top ? '' : ' Or open the Studio in a page of its own: the link is below this frame.';
const REASONS = {
  NotAllowedError: `The browser does not let this page use the camera. Allow it in the address bar, then try again.${OPEN_ALONE}`,
  NotFoundError: 'There is no camera here.',
  SecurityError: `Browsers give the camera only to pages of this computer, or with https.${OPEN_ALONE}`,
  NotReadableError: 'Another program uses the camera.',
};

/**
 * A panel with the camera; `stop` ends it.
 * @param {{label: string, take: (picture: Blob) => any, close: () => void, extra?: any}} how what to do with a picture; `take`
 *   may return a sentence, which is shown
 */
function camera({ label, take, close, extra = null }) {
  /** @type {MediaStream | null} */
  let stream = null, stopped = false;
  const video = h('video', { playsinline: true, 'aria-label': 'What the camera sees' });
  video.muted = true;
  const shoot = h('button', { class: 'btn main', type: 'button', disabled: true, onclick: snap }, label);
  const line = h('p', { class: 'small muted', role: 'status' }, 'Asking for the camera …');
  const root = h('div', { class: 'camera' }, video, extra, h('div', { class: 'btns' }, shoot,
    h('button', { class: 'btn', type: 'button', onclick: close }, 'Close the camera')), line);

  async function start() {
    try {
      if (!navigator.mediaDevices) throw new DOMException('', isSecureContext ? 'NotFoundError' : 'SecurityError');
      stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 }, facingMode: 'environment' } });
      if (stopped) return stop();
      video.srcObject = stream;
      await video.play();
      shoot.disabled = false;
      fill(line, 'Pictures go to the program on this computer, and nowhere else.');
    } catch (error) {
      fill(line, REASONS[error.name] ?? `The camera cannot be used: ${error.message || error.name}.`);
      line.classList.add('bad');
      video.hidden = true;
    }
  }

  async function snap() {
    if (!video.videoWidth) return;
    const scale = Math.min(1, LONGEST / Math.max(video.videoWidth, video.videoHeight));
    const canvas = h('canvas', { width: Math.round(video.videoWidth * scale), height: Math.round(video.videoHeight * scale) });
    canvas.getContext('2d').drawImage(video, 0, 0, canvas.width, canvas.height);
    const picture = await new Promise(done => canvas.toBlob(done, 'image/jpeg', 0.92));
    const told = picture && await take(picture);
    if (told) fill(line, told);
  }

  function stop() {
    stopped = true;
    for (const track of stream?.getTracks() ?? []) track.stop();
    video.srcObject = null;
  }

  start();
  return { root, stop, focus: () => shoot.focus() };
}

/**
 * A place where a button opens the camera, and closes it again.
 * @param {HTMLElement} place
 * @param {() => {label: string, take: (picture: Blob) => any, extra?: any}} how what it does, asked at each opening
 */
export function cameraAt(place, how) {
  let lens = null;

  function close() {
    lens?.stop();
    lens = null;
    fill(place);
  }

  function toggle() {
    if (lens) return close();
    lens = camera({ ...how(), close });
    fill(place, lens.root);
    lens.focus();
  }

  return { toggle, close };
}
