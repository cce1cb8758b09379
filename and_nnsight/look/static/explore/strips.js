// What moves while the microphone is on: a spectrogram, and below it a strip a unit, all with the same time.

import { element } from "./api.js";

/** @typedef {import("./live.js").Response} Response */

const HIGHEST = 6; // standard deviations that make a strip brightest
const ROWS = 8;
const PATIENCE = 2000; // milliseconds that a unit keeps its strip after it has ceased to be among the strongest
const BANDS = 180; // of the analyser's bins that are drawn: up to 8 kHz

/** Moves a canvas by a pixel, and gives its brush. @param {HTMLCanvasElement} canvas */
function moved(canvas) {
  const brush = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  brush.drawImage(canvas, -1, 0);
  return brush;
}

/** @param {number} level  from 0 to 1 */
function colour(level) {
  return `hsl(${260 - 215 * level} 75% ${Math.round(8 + 70 * level)}%)`;
}

/** Pitch goes up by equal steps, time to the left. */
export class Spectrogram {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    /** @type {Uint8Array<ArrayBuffer>} */
    this.bins = new Uint8Array(512);
  }

  /** @param {AnalyserNode} analyser */
  column(analyser) {
    const { canvas, bins } = this;
    analyser.getByteFrequencyData(bins);
    const brush = moved(canvas);
    for (let y = 0; y < canvas.height; y++) {
      const bin = Math.floor(BANDS ** (1 - y / canvas.height));
      brush.fillStyle = colour((bins[bin] ?? 0) / 255);
      brush.fillRect(canvas.width - 1, y, 1, 1);
    }
  }
}

/** A unit's line: where it is, its words, and its strip. */
class Row {
  /**
   * @param {Response} unit
   * @param {boolean} followed
   * @param {(site: string, unit: number) => void} open
   */
  constructor(unit, followed, open) {
    this.canvas = element("canvas", "");
    Object.assign(this.canvas, { width: 800, height: 14 });
    this.canvas.setAttribute("aria-hidden", "true");
    this.measure = element("span", "measure");
    this.text = element("bdi", "");
    const button = element(
      "button",
      followed ? "unit-line followed" : "unit-line",
      element("span", "where", element("bdi", "", `${unit.site} `), element("b", "", String(unit.unit))),
      this.measure,
      element("span", "words", this.text),
    );
    button.type = "button";
    button.addEventListener("click", () => open(unit.site, unit.unit));
    this.element = element("li", "", this.canvas, button);
    this.followed = followed;
    this.deviation = 0;
    this.seen = performance.now();
  }

  /**
   * @param {Response} unit
   * @param {string} words
   * @param {number} now
   */
  show(unit, words, now) {
    this.seen = now;
    this.deviation = unit.deviation ?? 0;
    this.measure.textContent = measure(unit);
    this.text.textContent = words;
  }
}

/** A strip each for the units that are followed and for those that stand out: the brighter, the further. */
export class Strips {
  /**
   * @param {HTMLElement} list
   * @param {{words: (site: string, unit: number) => string, open: (site: string, unit: number) => void}} page
   */
  constructor(list, page) {
    this.list = list;
    this.page = page;
    /** @type {Map<string, Row>} */
    this.rows = new Map();
  }

  /**
   * @param {Response[]} followed
   * @param {Response[]} units  that stand out now, the strongest first
   */
  update(followed, units) {
    const now = performance.now();
    const kept = new Set(followed.map(key));
    for (const [name, row] of this.rows) {
      row.deviation = 0;
      if (row.followed !== kept.has(name) || (!row.followed && now - row.seen > PATIENCE)) this.remove(name, row);
    }
    for (const unit of followed) this.show(unit, true, now);
    for (const unit of units) if (!kept.has(key(unit))) this.show(unit, false, now);
  }

  /**
   * @param {Response} unit
   * @param {boolean} followed
   * @param {number} now
   */
  show(unit, followed, now) {
    let row = this.rows.get(key(unit));
    if (!row && !followed && this.free() <= 0) return; // the strips of units that have just ceased stay readable
    if (!row) {
      row = new Row(unit, followed, this.page.open);
      this.rows.set(key(unit), row);
      this.list.append(row.element);
    }
    row.show(unit, this.page.words(unit.site, unit.unit), now);
  }

  free() {
    return ROWS - [...this.rows.values()].filter((row) => !row.followed).length;
  }

  /**
   * @param {string} name
   * @param {Row} row
   */
  remove(name, row) {
    row.element.remove();
    this.rows.delete(name);
  }

  column() {
    for (const { canvas, deviation } of this.rows.values()) {
      const brush = moved(canvas);
      brush.fillStyle = colour(Math.max(0, Math.min(1, deviation / HIGHEST)));
      brush.fillRect(canvas.width - 1, 0, 1, canvas.height);
    }
  }
}

/**
 * How much a unit stands out, in words. @param {{deviation: number | null, of_record: number | null}} unit
 */
export function measure(unit) {
  if (unit.deviation === null) return "the same on every dissected clip";
  const beyond = unit.deviation > HIGHEST ? `over ${HIGHEST}` : unit.deviation.toFixed(1);
  return `${beyond} σ, ${Math.round(100 * (unit.of_record ?? 0))} % of its highest`;
}

/** @param {Response} unit */
function key(unit) {
  return `${unit.site} ${unit.unit}`;
}
