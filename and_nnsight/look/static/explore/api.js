// What the page asks its server.

/**
 * @typedef {object} Entry
 * @property {string} site
 * @property {number} unit
 * @property {string | null} text
 * @property {string | null} label
 * @property {string} standing
 * @property {string} word
 * @property {number} selectivity
 * @property {number} [overlap]
 * @property {number} [score]
 * @property {string} [matched]
 */

/**
 * @typedef {Entry & {activation: number | null, deviation: number | null, of_record: number | null, start: number[], curve: (number | null)[]}} Answer
 * @typedef {{key: string, seconds: number, picture: string, units: Answer[]}} Sound
 * @typedef {{html: string, images: Record<string, string>, sounds: Record<string, string>, clips: {clip: number, name: string}[], problem: string | null}} Card
 * @typedef {{kind: string, classes: {name: string, before: number, after: number}[], before: string | null, after: string | null}} Said
 * @typedef {{name: string, model: string, data: string | null, clips: number, units: number, explained: number,
 *   standings: {key: string, word: string, count: number}[], sites: {name: string, units: number}[],
 *   silent: string | null, doubt: string | null, unreadable: string | null, live: {seconds: number | null, shortened: boolean} | null}} Dissection
 */

/**
 * Ask, and give the answer. Throws an Error whose message the server wrote.
 * @template T
 * @param {string} path
 * @param {Record<string, string | number>} query
 * @param {RequestInit} [options]
 * @returns {Promise<T>}
 */
export async function ask(path, query, options) {
  const words = new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)]));
  const response = await fetch(`${path}?${words}`, options).catch(() => {
    throw new Error("The server does not answer: it was stopped. Start `and-nnsight explore` again, and open the address that it prints.");
  });
  const isJson = response.headers.get("content-type")?.startsWith("application/json");
  const answer = isJson ? await response.json() : { error: await response.text() };
  if (!response.ok) throw new Error(answer.error || `the server answered ${response.status}`);
  return answer;
}

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @returns {T}
 */
export function byId(id) {
  return /** @type {T} */ (document.getElementById(id));
}

/**
 * An element with text, which is never HTML.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} name
 * @param {string} className
 * @param {...(string | Node)} content
 * @returns {HTMLElementTagNameMap[K]}
 */
export function element(name, className, ...content) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...content);
  return made;
}

/** @param {unknown} error */
export function report(error) {
  const problem = byId("problem");
  problem.textContent = error instanceof Error ? error.message : String(error);
  problem.hidden = false;
}

export function clearProblem() {
  byId("problem").hidden = true;
}
