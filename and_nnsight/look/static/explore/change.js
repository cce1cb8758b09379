// Silence or amplify units, and see what the model says instead.

import { ask, byId, clearProblem, element, report } from "./api.js";

/** @typedef {import("./api.js").Said} Said */

/** @param {() => number} dissection */
export function startChanges(dissection) {
  const tray = byId("tray");
  /** @type {HTMLSelectElement} */
  const how = byId("how");
  /** @type {HTMLInputElement} */
  const gain = byId("gain");
  /** @type {HTMLSelectElement} */
  const heard = byId("heard");
  /** @type {HTMLButtonElement} */
  const compare = byId("compare");
  /** @type {Map<string, [string, number]>} */
  const units = new Map();
  /** @type {() => void} */
  let changed = () => {};

  function show() {
    tray.replaceChildren(
      ...[...units.entries()].map(([key, [site, unit]]) => {
        const button = element("button", "tag", element("bdi", "", `${site} ${unit} `), "×");
        button.type = "button";
        button.setAttribute("aria-label", `take ${site} ${unit} out`);
        button.addEventListener("click", () => {
          units.delete(key);
          show();
        });
        return button;
      }),
    );
    if (!units.size) tray.textContent = "none yet: add them on their cards";
    compare.disabled = units.size === 0 || heard.options.length === 0;
    changed();
  }

  async function say() {
    clearProblem();
    byId("said").replaceChildren(element("p", "note", "Listening …"));
    const [kind, key] = heard.value.split(" ");
    const asked = {
      units: [...units.values()],
      how: how.value,
      ...(how.value === "amplify" ? { gain: gain.valueAsNumber } : {}),
      ...(kind === "clip" ? { clip: Number(key) } : { sound: key }),
    };
    /** @type {Said} */
    const said = await ask("/api/change", { d: dissection() }, { method: "POST", body: JSON.stringify(asked) });
    byId("said").replaceChildren(said.kind === "text" ? texts(said) : classes(said));
  }

  how.addEventListener("change", () => (gain.disabled = how.value !== "amplify"));
  compare.addEventListener("click", () => say().catch((error) => (byId("said").replaceChildren(), report(error))));
  show();
  return {
    /** @type {(site: string, unit: number) => void} */
    add(site, unit) {
      units.set(`${site} ${unit}`, [site, unit]);
      show();
    },
    /** @type {(value: string, name: string) => void} */
    offer(value, name) {
      const there = [...heard.options].find((option) => option.value === value);
      there?.remove();
      heard.prepend(new Option(name, value, true, true));
      while (heard.options.length > 12) heard.options[heard.options.length - 1]?.remove();
      show();
    },
    clear() {
      units.clear();
      heard.replaceChildren();
      byId("said").replaceChildren();
      show();
    },
    followed: () => [...units.values()],
    /** @param {() => void} listener */
    onChange(listener) {
      changed = listener;
    },
  };
}

/** @param {Said} said */
function texts(said) {
  return element(
    "dl",
    "said",
    element("dt", "", "as it is"),
    element("dd", "", element("bdi", "", said.before || "(nothing)")),
    element("dt", "", "changed"),
    element("dd", "", element("bdi", "", said.after || "(nothing)")),
  );
}

/** With its sign, unless there is none to be seen. @param {{before: number, after: number}} each */
function difference({ before, after }) {
  const rounded = (after - before).toFixed(3);
  if (Number(rounded) === 0) return "0";
  return after > before ? `+${rounded}` : rounded.replace("-", "−");
}

/** @param {Said} said */
function classes(said) {
  const rows = said.classes.map((each) =>
    element(
      "tr",
      "",
      element("th", "", element("bdi", "", each.name)),
      element("td", "", each.before.toFixed(3)),
      element("td", "", each.after.toFixed(3)),
      element("td", "", difference(each)),
    ),
  );
  const head = ["class", "as it is", "changed", "difference"].map((name) => element("th", "", name));
  const caption = element("caption", "note", "Probability of the classes that are likeliest");
  return element("table", "said", caption, element("thead", "", element("tr", "", ...head)), element("tbody", "", ...rows));
}
