// A unit's card, as the report has it, and the units that fire on the same clips.

import { ask, byId, clearProblem, element, report } from "./api.js";
import { line } from "./list.js";

/**
 * @typedef {import("./api.js").Entry} Entry
 * @typedef {import("./api.js").Card} Card
 * @typedef {{flac: string, picture: string, seconds: number, text: string}} Need
 */

/**
 * The part of a clip that a unit needs, as something that can be played like an exemplar.
 * @param {Need} need
 * @param {string} key
 */
function needed(need, key) {
  const image = element("i", "image");
  image.style.backgroundImage = `url(${need.picture})`;
  const picture = element("div", "picture", image, element("i", "cursor"));
  picture.setAttribute("role", "img");
  picture.setAttribute("aria-label", "Spectrogram of what the unit needs");
  const play = element("button", "", "what it hears");
  play.type = "button";
  play.dataset["play"] = "all";
  const part = element("div", "exemplar need", picture, element("div", "controls", play), element("p", "note", need.text));
  Object.assign(part.dataset, { sound: key, seconds: need.seconds.toFixed(3), from: "0" });
  return part;
}

/**
 * @param {object} page
 * @param {() => number} page.dissection
 * @param {() => {name: string}[]} page.dissections
 * @param {(site: string, unit: number) => void} page.change
 * @param {(clip: number, name: string) => void} page.offer
 */
export function startCard(page) {
  const place = byId("card");
  /** @type {Record<string, string>} */
  let sounds = {};
  // From the report: one audio element behind all buttons.
  const player = startPlayer(place, (key) => sounds[key] ?? "");
  let asked = 0;
  let shown = "";

  /**
   * @param {string} site
   * @param {number} unit
   */
  async function open(site, unit) {
    const mine = ++asked;
    player.stop();
    clearProblem();
    place.setAttribute("aria-busy", "true");
    const at = { d: page.dissection(), site, unit };
    try {
      /** @type {Card} */
      const card = await ask("/card", at);
      if (mine !== asked) return;
      sounds = Object.fromEntries(Object.entries(card.sounds).map(([key, flac]) => [key, `data:audio/flac;base64,${flac}`]));
      place.innerHTML = card.html; // made and escaped by our own templates; scripts in it would not run either
      for (const picture of place.querySelectorAll(/** @type {"i"} */ (".image"))) {
        const key = [...picture.classList].find((name) => name in card.images) ?? "";
        picture.style.backgroundImage = `url(${card.images[key]})`;
      }
      for (const exemplar of place.querySelectorAll(/** @type {"li"} */ (".exemplar[data-sound]"))) offerNeed(exemplar, at);
      if (card.problem) place.prepend(element("p", "note", `No sounds: ${card.problem}`));
      place.querySelector("header")?.append(actions(site, unit));
      for (const { clip, name } of card.clips.toReversed()) page.offer(clip, name);
      shown = `#${encodeURIComponent(site)}:${unit}`;
      if (location.hash !== shown) location.hash = shown;
      place.focus({ preventScroll: true });
      place.scrollIntoView({ block: "nearest" });
      await neighbours(at, mine);
    } finally {
      if (mine === asked) place.removeAttribute("aria-busy");
    }
  }

  /**
   * A button behind which is the part of the clip that the unit needs.
   * @param {HTMLElement} exemplar
   * @param {{d: number, site: string, unit: number}} at
   */
  function offerNeed(exemplar, at) {
    const clip = exemplar.dataset["clip"] ?? "";
    const button = element("button", "", "what it hears");
    button.type = "button";
    button.title = `the part of clip ${clip} that the unit needs`;
    button.addEventListener("click", async () => {
      button.disabled = true;
      button.textContent = "listening …";
      try {
        /** @type {Need} */
        const need = await ask("/api/need", { ...at, clip }, { method: "POST" });
        const key = `need-${clip}`;
        sounds[key] = `data:audio/flac;base64,${need.flac}`;
        button.replaceWith(needed(need, key));
      } catch (error) {
        button.replaceWith(element("span", "note", error instanceof Error ? error.message : String(error)));
      }
    });
    exemplar.querySelector(".controls")?.after(button);
  }

  /**
   * @param {string} site
   * @param {number} unit
   */
  function actions(site, unit) {
    const add = element("button", "", "Change it below");
    add.type = "button";
    add.id = "add-unit";
    add.addEventListener("click", () => page.change(site, unit));
    const buttons = element("p", "row", add);
    for (const [name, step] of /** @type {[string, number][]} */ ([["previous unit", -1], ["next unit", 1]])) {
      const button = element("button", "", name);
      button.type = "button";
      button.addEventListener("click", () => open(site, unit + step).catch(report));
      if (unit + step >= 0) buttons.append(button);
    }
    return buttons;
  }

  /**
   * @param {{d: number, site: string, unit: number}} at
   * @param {number} mine
   */
  async function neighbours(at, mine) {
    const names = page.dissections();
    for (const [other, { name }] of names.entries()) {
      /** @type {{units: Entry[]}} */
      const answer = await ask("/api/neighbours", { ...at, other });
      if (mine !== asked) return;
      const here = other === at.d;
      const title = here ? "Units that fire on the same clips" : `In ${name}: units that fire on the same clips`;
      const lines = answer.units.map((entry) => {
        const measure = `${Math.round(100 * (entry.overlap ?? 0))} %`;
        return line(entry, () => (here ? open(entry.site, entry.unit).catch(report) : openIn(other, entry)), measure);
      });
      const list = lines.length ? element("ol", "neighbours", ...lines) : element("p", "note", "None shares a clip.");
      place.append(element("section", "near", element("h3", "", title), list));
    }
  }

  /** @type {(dissection: number, entry: Entry) => void} */
  let openIn = () => {};
  return {
    open,
    /** Show no unit; one that was asked for no longer comes. */
    close() {
      asked++;
      shown = "";
      player.stop();
      place.removeAttribute("aria-busy");
      place.replaceChildren(element("p", "note", "Choose a unit on the left, or let it hear something."));
    },
    /** @param {string} hash  whether its unit is the one that is shown */
    isAt: (hash) => hash === shown,
    /** @param {(dissection: number, entry: Entry) => void} listener */
    onOther(listener) {
      openIn = listener;
    },
  };
}
