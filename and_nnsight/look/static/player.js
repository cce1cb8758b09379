// The sounds of exemplars: buttons everywhere, one audio element behind them, a cursor that follows it.

/**
 * @typedef {object} Playback
 * @property {HTMLElement} exemplar  whose sound is played
 * @property {HTMLElement | null} button  by which it was begun; null: by a click on its picture
 * @property {number} until  where it ends, in seconds of the sound
 */

const BEFORE = 0.4; // seconds that are played before and after the moment
const AFTER = 0.6;

/**
 * Let the exemplars below a root be played.
 * @param {Element} root
 * @param {(key: string) => string} address  of a sound, by its key: anything that an audio element can open
 */
function startPlayer(root, address) {
  const audio = new Audio();
  /** @type {Playback | null} */
  let playback = null;
  let frame = 0;

  function stop() {
    audio.pause();
    cancelAnimationFrame(frame);
    playback?.exemplar.classList.remove("playing");
    playback?.button?.setAttribute("aria-pressed", "false");
    playback = null;
  }

  function follow() {
    if (!playback) return;
    moveCursor(playback.exemplar, audio.currentTime);
    if (audio.ended || audio.currentTime >= playback.until) stop();
    else frame = requestAnimationFrame(follow);
  }

  /**
   * @param {HTMLElement} exemplar
   * @param {HTMLElement | null} button
   * @param {number} from
   * @param {number} until
   */
  function play(exemplar, button, from, until) {
    stop();
    const begun = { exemplar, button, until };
    playback = begun;
    exemplar.classList.add("playing");
    button?.setAttribute("aria-pressed", "true");
    moveCursor(exemplar, from);
    const key = button?.dataset["sound"] ?? exemplar.dataset["sound"] ?? "";
    if (audio.dataset["sound"] !== key) {
      audio.dataset["sound"] = key;
      audio.src = address(key);
    }
    audio.currentTime = from;
    audio.play().then(
      () => {
        if (playback === begun) follow();
      },
      () => {
        if (playback === begun) stop();
      },
    );
  }

  root.addEventListener("click", (event) => {
    const target = /** @type {Element} */ (event.target);
    const exemplar = /** @type {HTMLElement | null} */ (target.closest(".exemplar[data-sound]"));
    if (!exemplar) return;
    const button = /** @type {HTMLElement | null} */ (target.closest("[data-play]"));
    const picture = target.closest(".picture");
    if (button && button.getAttribute("aria-pressed") === "true") stop();
    else if (button) play(exemplar, button, ...stretch(exemplar, button.dataset["play"] === "moment"));
    else if (picture) play(exemplar, null, pointed(exemplar, picture, /** @type {MouseEvent} */ (event)), Infinity);
  });
  return { stop, audio };
}

/**
 * Where a cursor stands.
 * @param {HTMLElement} exemplar
 * @param {number} time  seconds of its sound
 */
function moveCursor(exemplar, time) {
  const cursor = /** @type {HTMLElement} */ (exemplar.querySelector(".cursor"));
  const width = /** @type {HTMLElement} */ (cursor.parentElement).clientWidth;
  const share = Math.min(1, time / Number(exemplar.dataset["seconds"]));
  cursor.style.transform = `translateX(${(share * width).toFixed(1)}px)`;
}

/**
 * What is played of an exemplar's sound, in seconds of the sound: around the moment at which the unit fires, or all.
 * @param {HTMLElement} exemplar
 * @param {boolean} moment
 * @returns {[number, number]}
 */
function stretch(exemplar, moment) {
  const { start, end, from } = exemplar.dataset;
  if (!moment || start === undefined || end === undefined) return [0, Infinity];
  const opening = Number(from);
  return [Math.max(0, Number(start) - opening - BEFORE), Number(end) - opening + AFTER];
}

/**
 * The second of a sound that a click on its picture points at.
 * @param {HTMLElement} exemplar
 * @param {Element} picture
 * @param {MouseEvent} event
 */
function pointed(exemplar, picture, event) {
  const box = picture.getBoundingClientRect();
  return ((event.clientX - box.left) / box.width) * Number(exemplar.dataset["seconds"]);
}
