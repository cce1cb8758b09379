// The microphone: samples to the server, the units that fire now from it, over a running spectrogram.

import { byId, clearProblem, report } from "./api.js";
import { Spectrogram, Strips } from "./strips.js";

/**
 * @typedef {{site: string, unit: number, activation: number | null, deviation: number | null, of_record: number | null}} Response
 * @typedef {{seconds: number, took: number, units: Response[], followed: Response[]}} Update
 * @typedef {{context: AudioContext, media: MediaStream, socket: WebSocket, analyser: AnalyserNode, kept: Float32Array[], frame: number, updated: number}} Session
 */

const KEPT_SECONDS = 10;
const MOST_FOLLOWED = 16; // that the server takes
const PATIENCE = 2000; // milliseconds without an update, before it is said why
/** @type {Record<string, string>} */
const REFUSALS = {
  NotAllowedError: "The browser does not let this page use the microphone: allow it (at the left of the address), and start again.",
  NotFoundError: "The browser finds no microphone: plug one in, and start again. A sound file can be opened instead.",
  NotReadableError: "The microphone cannot be read: another program may be using it.",
};

/**
 * @param {object} page
 * @param {() => number} page.dissection
 * @param {() => [string, number][]} page.followed  units that are shown whatever they do
 * @param {(site: string, unit: number) => string} page.words
 * @param {(site: string, unit: number) => void} page.open
 * @param {(wav: Blob) => void} page.hear  what is done with the last seconds
 */
export function startLive(page) {
  /** @type {HTMLButtonElement} */
  const start = byId("start");
  /** @type {HTMLButtonElement} */
  const keep = byId("keep");
  /** @type {HTMLInputElement} */
  const explained = byId("explained");
  /** @type {Session | null} */
  let session = null;

  async function begin() {
    clearProblem();
    const media = await microphone();
    const context = new AudioContext();
    try {
      await context.audioWorklet.addModule("/static/explore/worklet.js");
    } catch (error) {
      for (const track of media.getTracks()) track.stop();
      void context.close();
      throw error;
    }
    const source = context.createMediaStreamSource(media);
    const node = new AudioWorkletNode(context, "microphone", { numberOfOutputs: 0 });
    const analyser = new AnalyserNode(context, { fftSize: 1024, smoothingTimeConstant: 0 });
    source.connect(node);
    source.connect(analyser);
    const socket = new WebSocket(`ws://${location.host}/live?d=${page.dissection()}`);
    socket.binaryType = "arraybuffer";
    const now = { context, media, socket, analyser, kept: /** @type {Float32Array[]} */ ([]), frame: 0, updated: performance.now() };
    session = now;
    node.port.addEventListener("message", (event) => {
      now.kept.push(event.data);
      if (now.kept.length > KEPT_SECONDS * 10) now.kept.shift();
      if (socket.readyState === WebSocket.OPEN && socket.bufferedAmount < 1e6) socket.send(event.data);
    });
    node.port.start();
    socket.addEventListener("open", () => {
      socket.send(JSON.stringify({ rate: context.sampleRate }));
      tell();
    });
    socket.addEventListener("message", (event) => {
      now.updated = performance.now();
      show(JSON.parse(event.data));
    });
    socket.addEventListener("close", (event) => {
      if (session !== now) return;
      end();
      report(new Error(event.reason || "The server no longer listens: it was stopped, or restarted."));
    });
    start.textContent = "Stop the microphone";
    keep.disabled = false;
    byId("strip").hidden = false;
    draw(now);
  }

  /** Stop, and free the microphone, the connection and the audio thread. */
  function end() {
    const ended = session;
    session = null;
    if (!ended) return;
    cancelAnimationFrame(ended.frame);
    for (const track of ended.media.getTracks()) track.stop();
    ended.socket.close();
    void ended.context.close();
    start.textContent = "Start the microphone";
    keep.disabled = true;
  }

  /** Say which units are to be shown. */
  function tell() {
    if (session?.socket.readyState !== WebSocket.OPEN) return;
    session.socket.send(JSON.stringify({ follow: page.followed().slice(-MOST_FOLLOWED), explained: explained.checked }));
  }

  const spectrogram = new Spectrogram(byId("spectrogram"));
  const strips = new Strips(byId("now"), page);

  /** @param {Update} update */
  function show(update) {
    strips.update(update.followed, update.units);
    byId("pace").textContent = `${update.seconds.toFixed(1)} s heard; the last update took ${(update.took * 1000).toFixed(0)} ms`;
    const strip = byId("strip");
    strip.dataset["updates"] = String(Number(strip.dataset["updates"] ?? 0) + 1);
  }

  /** @param {Session} now */
  function draw(now) {
    spectrogram.column(now.analyser);
    strips.column();
    if (performance.now() - now.updated > PATIENCE) byId("pace").textContent = "Waiting for the model, which is at something else.";
    now.frame = requestAnimationFrame(() => draw(now));
  }

  async function toggle() {
    if (session) return end();
    start.disabled = true; // a second click meanwhile would open a second microphone
    try {
      await begin();
    } catch (error) {
      end();
      report(error);
    } finally {
      start.disabled = false;
    }
  }

  start.addEventListener("click", toggle);
  keep.addEventListener("click", () => session && page.hear(wav(session.kept, session.context.sampleRate)));
  explained.addEventListener("change", tell);
  addEventListener("pagehide", end);
  return { tell, end };
}

/** Throws an Error that says what to do where there is none. */
async function microphone() {
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    });
  } catch (error) {
    const reason = REFUSALS[error instanceof DOMException ? error.name : ""];
    throw new Error(reason ?? `No microphone: ${error}`, { cause: error });
  }
}

/**
 * Samples as a wav file, 32-bit float, mono.
 * @param {Float32Array[]} chunks
 * @param {number} rate
 */
export function wav(chunks, rate) {
  const samples = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  const header = new DataView(new ArrayBuffer(44));
  /** @type {(at: number, text: string) => void} */
  const write = (at, text) => [...text].forEach((letter, i) => header.setUint8(at + i, letter.charCodeAt(0)));
  write(0, "RIFF");
  header.setUint32(4, 36 + 4 * samples, true);
  write(8, "WAVEfmt ");
  header.setUint32(16, 16, true);
  header.setUint16(20, 3, true);
  header.setUint16(22, 1, true);
  header.setUint32(24, rate, true);
  header.setUint32(28, 4 * rate, true);
  header.setUint16(32, 4, true);
  header.setUint16(34, 32, true);
  write(36, "data");
  header.setUint32(40, 4 * samples, true);
  return new Blob([header, ...chunks.map((chunk) => new Float32Array(chunk))], { type: "audio/wav" });
}
