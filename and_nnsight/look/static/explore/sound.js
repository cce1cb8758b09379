// A sound that was dropped, opened or recorded: its spectrogram, a player, and the units that answer to it, over time.

import { ask, byId, clearProblem, element, report } from "./api.js";
import { line } from "./list.js";
import { measure } from "./strips.js";

/** @typedef {import("./api.js").Sound} Sound */

const SVG = "http://www.w3.org/2000/svg";

/**
 * A unit's activation over a sound, as an SVG path in a box of 200 by 40.
 * @param {import("./api.js").Answer} unit
 * @param {number} seconds
 */
function curve(unit, seconds) {
  const values = unit.curve.map((value) => value ?? 0);
  const highest = Math.max(3, ...values);
  const lowest = Math.min(0, ...values);
  const points = values.map((value, i) => {
    const x = (200 * (unit.start[i] ?? 0)) / seconds;
    const y = 38 - (36 * (value - lowest)) / (highest - lowest);
    return `${x.toFixed(1)} ${y.toFixed(1)}`;
  });
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("viewBox", "0 0 200 40");
  drawing.setAttribute("preserveAspectRatio", "none");
  drawing.setAttribute("role", "img");
  drawing.setAttribute("aria-label", `activation over time, at most ${highest.toFixed(1)} standard deviations above its mean`);
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("class", "curve");
  path.setAttribute("d", points.length ? `M${points.join("L")}` : "");
  drawing.append(path);
  return drawing;
}

/**
 * @param {object} page
 * @param {() => number} page.dissection
 * @param {(entry: import("./api.js").Entry) => void} page.open
 * @param {(sound: Sound) => void} page.heard
 */
export function startSounds(page) {
  const place = byId("sound");
  const audio = new Audio();
  let frame = 0;
  let follow = () => {};
  audio.addEventListener("pause", () => follow());

  /** @param {Blob} content */
  async function hear(content) {
    clearProblem();
    place.hidden = false;
    place.replaceChildren(element("p", "note", "Listening …"));
    /** @type {HTMLInputElement} */
    const explained = byId("explained");
    try {
      const query = { d: page.dissection(), explained: explained.checked ? 1 : 0 };
      /** @type {Sound} */
      const sound = await ask("/api/sound", query, { method: "POST", body: content });
      show(sound);
      page.heard(sound);
    } catch (error) {
      place.hidden = true;
      report(error);
    }
  }

  /** @param {Sound} sound */
  function show(sound) {
    audio.pause();
    audio.src = `/sound/${encodeURIComponent(sound.key)}?d=${page.dissection()}`;
    const play = element("button", "", "Play");
    play.type = "button";
    play.id = "play-sound";
    play.addEventListener("click", () => (audio.paused ? audio.play().then(() => follow(), report) : audio.pause()));
    const picture = element("img", "");
    picture.src = sound.picture;
    picture.alt = `Spectrogram, ${sound.seconds.toFixed(1)} seconds`;
    const cursors = [element("i", "cursor")];
    const rows = sound.units.map((unit) => {
      const row = line(unit, page.open, measure(unit));
      const cursor = element("i", "cursor");
      cursors.push(cursor);
      row.append(element("div", "over-time", curve(unit, sound.seconds), cursor));
      return row;
    });
    place.replaceChildren(
      element("div", "row", play, element("span", "note", `${sound.seconds.toFixed(1)} s. The units that it moves most: standard deviations (σ) above the mean over the dissected clips, and how near that is to the highest that any of them reached.`)),
      element("div", "over-time picture", picture, /** @type {Node} */ (cursors[0])),
      element("ol", "answers", ...rows),
    );
    place.dataset["seconds"] = String(sound.seconds);

    follow = () => {
      const share = audio.currentTime / sound.seconds;
      play.textContent = audio.paused ? "Play" : "Pause";
      for (const cursor of cursors) {
        const width = cursor.parentElement?.clientWidth ?? 0;
        cursor.style.transform = `translateX(${(share * width).toFixed(1)}px)`;
      }
      cancelAnimationFrame(frame);
      if (!audio.paused) frame = requestAnimationFrame(follow);
    };
  }

  /** @type {HTMLInputElement} */
  const file = byId("file");
  file.addEventListener("change", () => {
    if (file.files?.[0]) void hear(file.files[0]);
    file.value = "";
  });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    const dropped = event.dataTransfer?.files[0];
    if (dropped) void hear(dropped);
  });
  return { hear, stop: () => audio.pause() };
}
