// The page: puts its parts together.

import { ask, byId, report } from "./api.js";
import { startCard } from "./card.js";
import { startChanges } from "./change.js";
import { startList } from "./list.js";
import { startLive } from "./live.js";
import { startSounds } from "./sound.js";

/** @type {{dissections: import("./api.js").Dissection[]}} */
const overview = await ask("/api/overview", {}).catch((error) => {
  report(error);
  throw error;
});
/** @type {HTMLSelectElement} */
const choice = byId("dissection");
choice.replaceChildren(...overview.dissections.map((each, i) => new Option(each.name, String(i))));
byId("dissections").hidden = overview.dissections.length < 2;
const dissection = () => Number(choice.value);

/** @type {Map<string, string>} */
const words = new Map();
const changes = startChanges(dissection);
const card = startCard({
  dissection,
  dissections: () => overview.dissections,
  change: changes.add,
  offer: (clip, name) => changes.offer(`clip ${clip}`, name),
});
/** @param {import("./api.js").Entry} entry */
const open = (entry) => card.open(entry.site, entry.unit).catch(report);
const refresh = startList(dissection, open);
const hear = startSounds({
  dissection,
  open,
  heard: (sound) => changes.offer(`sound ${sound.key}`, `the sound above, ${sound.seconds.toFixed(1)} s`),
});
const live = startLive({
  dissection,
  followed: changes.followed,
  words: said,
  open: (site, unit) => void card.open(site, unit).catch(report),
  hear: (wav) => void hear.hear(wav),
});
changes.onChange(live.tell);

/**
 * What is said of a unit, once it is known.
 * @param {string} site
 * @param {number} unit
 */
function said(site, unit) {
  const key = `${dissection()} ${site} ${unit}`;
  const known = words.get(key);
  if (known !== undefined) return known;
  words.set(key, "");
  ask("/api/unit", { d: dissection(), site, unit })
    .then((/** @type {import("./api.js").Entry} */ entry) => words.set(key, entry.text ?? entry.label ?? "no words yet"))
    .catch(() => words.delete(key));
  return "";
}

/** Show what belongs to the dissection that was chosen. */
function choose() {
  const chosen = overview.dissections[dissection()];
  if (!chosen) return;
  live.end();
  changes.clear();
  byId("model").textContent = chosen.model.split(/[\\/]/).filter(Boolean).pop() ?? chosen.model;
  byId("about").textContent =
    `${chosen.units.toLocaleString("en")} units at ${chosen.sites.length} sites, dissected over ` +
    `${chosen.clips.toLocaleString("en")} clips of ${chosen.data ?? "data without a name"}; ` +
    `${chosen.explained.toLocaleString("en")} have words.`;
  offer("site", chosen.sites.map((each) => new Option(each.name, each.name)));
  const standings = chosen.standings.filter((each) => each.count);
  offer("standing", standings.map((each) => new Option(`${each.word} (${each.count.toLocaleString("en")})`, each.key)));
  /** @type {HTMLButtonElement} */
  const start = byId("start");
  start.disabled = chosen.live === null;
  /** @type {HTMLInputElement} */ (byId("file")).disabled = chosen.live === null;
  byId("window").textContent = chosen.live ? hearing(chosen.live) : `Nothing can be heard here: ${chosen.silent}`;
  byId("doubt").textContent = chosen.doubt ? `Mind: ${chosen.doubt}.` : "";
  byId("doubt").hidden = chosen.doubt === null;
  byId("unreadable").textContent = chosen.unreadable ?? "Choose units on their cards and a sound; the model runs with them and without.";
  byId("sound").hidden = true;
  hear.stop();
  card.close();
  void refresh();
}

/**
 * Let one of the options be chosen, or, as now, all of them by the first.
 * @param {string} id
 * @param {HTMLOptionElement[]} options
 */
function offer(id, options) {
  /** @type {HTMLSelectElement} */
  const select = byId(id);
  select.length = 1;
  select.append(...options);
}

/** @param {{seconds: number | null, shortened: boolean}} window */
function hearing(window) {
  const length = `Live, the last ${window.seconds?.toFixed(0) ?? "few"} seconds are heard again and again, and shown is what units make of the last half second`;
  const short = window.shortened
    ? ": a window shorter than the model's own, so that it keeps up; late blocks say somewhat other things than in the dissection"
    : "";
  return `${length}${short}. A sound that is dropped anywhere on this page is heard as the dissected clips were.`;
}

card.onOther((other, entry) => {
  choice.value = String(other);
  choose();
  open(entry);
});
choice.addEventListener("change", choose);
choose();
/** Open the unit that the address names, unless it is open. */
function openPlace() {
  const place = /^#(.+):(\d+)$/.exec(location.hash);
  if (place && !card.isAt(location.hash)) void card.open(decoded(place[1] ?? ""), Number(place[2])).catch(report);
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // nothing that this page wrote
  }
}

addEventListener("hashchange", openPlace); // the browser's way back
openPlace();
document.documentElement.dataset["ready"] = "yes";
