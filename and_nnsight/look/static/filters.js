// Which units are shown, and in which order.

/**
 * @typedef {object} Wanted
 * @property {string[]} words  all of which a unit's card has to hold
 * @property {string} site  "": any
 * @property {string} standing  "": any
 */

/** From the best standing of a claim to none. */
const STANDINGS = ["holds", "predicts", "fails", "unjudged", "untested"];

/** @type {(unit: HTMLElement) => number} */
const bySelectivity = (unit) => -Number(unit.dataset["selectivity"]);

/** @type {Record<string, (unit: HTMLElement) => number>} */
const ORDERS = {
  selectivity: bySelectivity,
  depth: (unit) => Number(unit.dataset["depth"]),
  standing: (unit) => STANDINGS.indexOf(unit.dataset["standing"] ?? ""),
};

/** @type {WeakMap<HTMLElement, string>} */
const texts = new WeakMap();

/**
 * What a unit's card says of the data, in small letters; read once. (The page's own words are in no `bdi`.)
 * @param {HTMLElement} unit
 */
function textOf(unit) {
  let text = texts.get(unit);
  if (text === undefined) {
    text = [unit.id, ...[...unit.querySelectorAll("bdi")].map((each) => each.textContent)].join("\n").toLowerCase();
    texts.set(unit, text);
  }
  return text;
}

/**
 * @param {HTMLElement} unit
 * @param {Wanted} wanted
 */
function fits(unit, wanted) {
  if (wanted.site && unit.dataset["site"] !== wanted.site) return false;
  if (wanted.standing && unit.dataset["standing"] !== wanted.standing) return false;
  return wanted.words.every((word) => textOf(unit).includes(word));
}

/**
 * Units in an order: those that are alike in it stay as they are.
 * @param {HTMLElement[]} units
 * @param {string} order  selectivity, depth or standing
 */
function ordered(units, order) {
  const key = ORDERS[order] ?? bySelectivity;
  return units.toSorted((one, other) => key(one) - key(other) || bySelectivity(one) - bySelectivity(other));
}

/**
 * Mark words where they stand in the units that are shown.
 * @param {HTMLElement[]} units
 * @param {string[]} words
 */
function highlight(units, words) {
  if (!("highlights" in CSS)) return;
  const ranges = words.length ? units.slice(0, 40).flatMap((unit) => [...occurrences(unit, words)]) : [];
  CSS.highlights.set("search", new Highlight(...ranges));
}

/**
 * @param {HTMLElement} unit
 * @param {string[]} words
 * @returns {Generator<Range>}
 */
function* occurrences(unit, words) {
  for (const node of [...unit.querySelectorAll("bdi")].flatMap((each) => [...each.childNodes])) {
    const text = (node.nodeValue ?? "").toLowerCase();
    for (const word of words) {
      for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + word.length)) {
        if (at + word.length > (node.nodeValue ?? "").length) break; // small letters may be more than large ones
        const range = new Range();
        range.setStart(node, at);
        range.setEnd(node, at + word.length);
        yield range;
      }
    }
  }
}
