// The list of units on the left: filtered, or searched by words.

import { ask, byId, element, report } from "./api.js";

/** @typedef {import("./api.js").Entry} Entry */

/**
 * A unit as a line that opens its card.
 * @param {Entry} entry
 * @param {(entry: Entry) => void} open
 * @param {string} [measure]  what stands at the right
 */
export function line(entry, open, measure) {
  const button = element("button", "unit-line");
  button.type = "button";
  button.title = `${entry.site} ${entry.unit}`;
  button.append(
    element("span", "where", element("bdi", "", `${entry.site} `), element("b", "", String(entry.unit))),
    element("span", "measure", measure ?? entry.selectivity.toFixed(1)),
    element("span", "words", element("bdi", "", entry.text ?? entry.label ?? "no words yet")),
  );
  if (entry.text ?? entry.label) button.append(element("span", `chip chip-${entry.standing}`, entry.word));
  button.addEventListener("click", () => open(entry));
  return element("li", "", button);
}

/**
 * @param {() => number} dissection
 * @param {(entry: Entry) => void} open
 */
export function startList(dissection, open) {
  const list = byId("list");
  const more = byId("more");
  /** @type {HTMLInputElement} */
  const text = byId("text");
  /** @type {[HTMLSelectElement, HTMLSelectElement, HTMLSelectElement, HTMLSelectElement]} */
  const [mode, site, standing, sort] = [byId("mode"), byId("site"), byId("standing"), byId("sort")];
  let asked = 0;

  /** @param {boolean} further */
  async function show(further) {
    const mine = ++asked;
    const offset = further ? list.children.length : 0;
    const searching = mode.value === "search" && text.value.trim() !== "";
    for (const control of [site, standing, sort]) control.disabled = searching;
    const query = { d: dissection(), text: text.value, site: site.value, standing: standing.value, sort: sort.value, offset };
    /** @type {{total?: number, units: Entry[]}} */
    const answer = await ask(searching ? "/api/search" : "/api/units", query);
    if (mine !== asked) return; // something else was asked meanwhile
    const lines = answer.units.map((entry) => line(entry, open, searching ? entry.score?.toFixed(2) : undefined));
    if (further) list.append(...lines);
    else list.replaceChildren(...lines);
    const total = answer.total ?? answer.units.length;
    byId("count").textContent = searching ? `${total} units are near` : `${total.toLocaleString("en")} units`;
    more.hidden = searching || list.children.length >= total;
  }

  const refresh = () => show(false).catch(report);
  let waiting = 0;
  text.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = window.setTimeout(refresh, 200);
  });
  for (const control of [mode, site, standing, sort]) control.addEventListener("change", refresh);
  more.addEventListener("click", () => show(true).catch(report));
  return refresh;
}
