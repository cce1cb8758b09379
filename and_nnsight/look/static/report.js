// The report: its tools above the cards, its keys, and the sounds that stand at its end.

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @returns {T}
 */
function byId(id) {
  return /** @type {T} */ (document.getElementById(id));
}

/**
 * A sound of this file, as an address.
 * @param {string} key
 */
function soundOf(key) {
  return `data:audio/flac;base64,${(document.getElementById(key)?.textContent ?? "").trim()}`;
}

/** Let units be searched, chosen and ordered. Gives those that are shown, in their order. */
function startTools() {
  const main = byId("units");
  const nothing = byId("nothing");
  /** @type {HTMLInputElement} */
  const search = byId("search");
  /** @type {HTMLSelectElement} */
  const site = byId("site");
  /** @type {HTMLSelectElement} */
  const standing = byId("standing");
  /** @type {HTMLSelectElement} */
  const order = byId("order");
  /** @type {HTMLElement[]} */
  let units = [...main.querySelectorAll(/** @type {"div"} */ (".unit"))];

  function show() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = { words, site: site.value, standing: standing.value };
    const shown = units.filter((unit) => (unit.hidden = !fits(unit, wanted)) === false);
    byId("count").textContent =
      shown.length === units.length ? `${units.length} units` : `${shown.length} of ${units.length} units`;
    nothing.hidden = shown.length > 0;
    highlight(shown, words);
  }

  function arrange() {
    units = ordered(units, order.value);
    nothing.before(...units);
  }

  function reset() {
    search.value = site.value = standing.value = "";
    show();
  }

  search.addEventListener("input", show);
  site.addEventListener("change", show);
  standing.addEventListener("change", show);
  order.addEventListener("change", arrange);
  byId("reset").addEventListener("click", reset);
  document.querySelector(".sites")?.addEventListener("click", (event) => {
    const chosen = /** @type {HTMLElement} */ (event.target).closest("[data-choose-site]");
    if (!chosen) return;
    site.value = chosen.getAttribute("data-choose-site") ?? "";
    show();
    search.scrollIntoView({ block: "nearest" });
  });
  arrange(); // a browser may remember what was chosen
  show();
  return () => units.filter((unit) => !unit.hidden);
}

/**
 * Keys: search, from unit to unit, play, stop.
 * @param {() => HTMLElement[]} shown
 * @param {() => void} stop
 */
function startKeys(shown, stop) {
  /** @param {number} step */
  function go(step) {
    const units = shown();
    const now = document.activeElement?.closest(".unit");
    const place = units.findIndex((unit) => unit === now);
    const next = units[place < 0 ? 0 : place + step];
    next?.focus({ preventScroll: true });
    next?.scrollIntoView({ block: "start" });
  }

  /** @type {Record<string, () => void>} */
  const actions = {
    "/": () => byId("search").focus(),
    j: () => go(1),
    k: () => go(-1),
    p: () => document.activeElement?.closest(".unit")?.querySelector(/** @type {"button"} */ ("[data-play]"))?.click(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") stop();
    const typing = /** @type {Element} */ (event.target).matches("input, select, textarea");
    const action = actions[event.key];
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !action) return;
    event.preventDefault();
    action();
  });
}

const shownUnits = startTools();
startKeys(shownUnits, startPlayer(document.documentElement, soundOf).stop);
