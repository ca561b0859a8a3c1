// The page: bring a scan, ask for a job, watch the queue, look at the result. Every text goes in as text, never as HTML.

import { fillFields, fillJobs, jobLabel, set, suit, values } from "/form.js";
import { Scans } from "/scans.js";
import { Viewer } from "/viewer.js";

const byId = (id) => document.getElementById(id);
const STATES = { waiting: "waiting", running: "restoring", done: "done", failed: "failed", cancelled: "cancelled" };
const FIGURES = { seconds: "time", residual: "residual |Ax - y| / |y|", network_calls: "network calls", peak_memory_bytes: "peak memory" };
const SEVERAL = "sr";  // the job that makes one volume of several scans
const page = { jobs: [], queue: [], shown: null, awaited: null };
const viewer = new Viewer(byId("before"), byId("after"), (text) => { byId("place").textContent = text; });

async function ask(path, options = {}) {
  const answer = await fetch(path, options);
  const text = await answer.text();
  let body = null;
  try { body = text ? JSON.parse(text) : null; } catch { body = null; }
  if (!answer.ok) throw new Error(body?.error ?? `the server answered ${answer.status}`);
  return body;
}

const send = (path, body) => ask(path, {
  method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body ?? {}),
});

function problem(text) { byId("problem").textContent = text; }

const scans = new Scans({ ask, send }, problem, chosen);

// --- the job ----------------------------------------------------------------------------------------------------------

// Other scans are chosen: a job that does not start from them gives way to one that does.
function chosen() {
  const found = scans.chosen;
  if (found.length && !fits(current(), found)) {
    const next = page.jobs.find((job) => fits(job, found));
    if (next) choose(next.name);
  }
  ready();
}

function fits(job, found) {
  if (!job.takes.length) return true;
  if (!found.length || (found.length > 1 && job.name !== SEVERAL)) return false;
  return found.every((scan) => job.takes.includes(scan.kind));
}

async function demo() {
  await scans.demo();
  choose("sr");
  set("simulate", true);
  set("axis", "j");
}

const current = () => page.jobs.find((job) => job.name === byId("job").value);

function choose(name) {
  byId("job").value = name;
  byId("job-hint").textContent = current().title;
  fillFields(byId("fields"), byId("more-fields"), current());
  ready();
}

function ready() {
  const job = current();
  byId("start").disabled = !fits(job, scans.chosen);
  suit(job, scans.chosen.length);
}

async function start(event) {
  event.preventDefault();
  problem("");
  const job = current();
  byId("start").disabled = true;
  try {
    const from = job.takes.length ? { upload: scans.upload, scans: scans.chosen.map((scan) => scan.place) } : {};
    const made = await send("/api/jobs", { job: job.name, options: values(job), ...from });
    page.awaited = made.id;
    byId("queue-title").scrollIntoView({ block: "nearest" });
  } catch (error) {
    problem(error.message);
  }
  ready();
}

// --- the queue --------------------------------------------------------------------------------------------------------

function watch() {
  const source = new EventSource("/api/events");
  source.onmessage = (event) => {
    page.queue = JSON.parse(event.data);
    drawQueue();
    const awaited = page.queue.find((job) => job.id === page.awaited);
    if (awaited?.state === "done") { page.awaited = null; show(awaited); }
  };
}

function button(text, act, name) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "small";
  made.textContent = text;
  made.setAttribute("aria-label", name);
  made.addEventListener("click", () => act().catch((error) => problem(error.message)));
  return made;
}

function drawQueue() {
  byId("empty").hidden = page.queue.length > 0;
  const old = new Map([...byId("queue").children].map((row) => [row.dataset.id, row]));
  const rows = page.queue.map((job) => {
    const row = old.get(job.id) ?? document.createElement("li");
    const state = JSON.stringify([job.state, page.shown === job.id]);
    if (row.dataset.state !== state) drawRow(row, job, state);
    if (job.state === "running") drawProgress(row, job);
    return row;
  });
  if (rows.length !== old.size || rows.some((row, k) => byId("queue").children[k] !== row)) byId("queue").replaceChildren(...rows);
}

function drawRow(row, job, state) {
  row.dataset.id = job.id;
  row.dataset.state = state;
  row.className = `${job.state}${page.shown === job.id ? " shown" : ""}`;
  const title = document.createElement("span");
  title.className = "title";
  const together = job.scans?.length > 1 ? `, ${job.scans.length} scans together` : "";
  title.textContent = `Job ${job.number}: ${jobLabel(job.job)}${together}, ${STATES[job.state] ?? job.state}`;
  const bar = document.createElement("progress");
  bar.setAttribute("aria-label", `Progress of job ${job.number}`);
  bar.hidden = job.state !== "running";
  const left = document.createElement("span");
  left.className = "hint left";
  const note = document.createElement("p");
  note.className = "problem";
  note.hidden = !job.message;
  note.textContent = job.message;
  const acts = document.createElement("div");
  acts.className = "row";
  const name = `job ${job.number}`;
  if (job.state === "done") acts.append(button("Show", () => show(job), `Show ${name}`));
  if (job.state === "waiting" || job.state === "running") {
    acts.append(button("Cancel", () => send(`/api/jobs/${job.id}/cancel`), `Cancel ${name}`));
  } else {
    acts.append(button("Remove", () => remove(job), `Remove ${name}`));
  }
  row.replaceChildren(title, bar, left, note, acts);
}

function drawProgress(row, job) {
  const bar = row.querySelector("progress");
  const left = row.querySelector(".left");
  if (!job.progress) { bar.removeAttribute("value"); left.textContent = "starting"; return; }
  const [done, total] = job.progress;
  bar.max = total;
  bar.value = done;
  left.textContent = `${done} of ${total} network calls`;
}

async function remove(job) {
  await ask(`/api/jobs/${job.id}`, { method: "DELETE" });
  if (page.shown === job.id) { page.shown = null; byId("viewer").hidden = true; byId("no-result").hidden = false; }
}

// --- the result -------------------------------------------------------------------------------------------------------

async function show(job) {
  const at = (name) => `/api/jobs/${job.id}/files/${name}`;
  page.shown = job.id;
  drawQueue();
  byId("no-result").hidden = true;
  byId("viewer").hidden = false;
  byId("before-pane").hidden = !job.outcome.before;
  byId("result-title").textContent = `Result: job ${job.number}`;
  drawFacts(job, at);
  const sights = sightsOf(job);
  byId("beside").replaceChildren(...sights.map((sight, k) => new Option(sight.name, k)));
  for (const id of ["beside", "beside-label"]) byId(id).hidden = sights.length < 2;
  byId("beside").onchange = () => look(job, sights[Number(byId("beside").value)], true);
  await look(job, sights[0], false);
}

// What can be looked at: each scan beside the result, or each frame beside what was measured of it.
function sightsOf(job) {
  const { outcome } = job;
  const images = outcome.images ?? [outcome.image];
  const count = Math.max(images.length, Number(outcome.before));
  return Array.from({ length: count }, (_, k) => ({
    name: images.length > 1 ? `frame ${Number(/frame-(\d+)/.exec(images[k])?.[1] ?? k)}` : `scan ${job.scans?.[k] ?? k + 1}`,
    before: outcome.before ? `/api/jobs/${job.id}/inputs/${k + 1}` : null,
    image: images[Math.min(k, images.length - 1)],
  }));
}

async function look(job, sight, stay) {
  const at = (name) => `/api/jobs/${job.id}/files/${name}`;
  const { files } = job.outcome;
  const std = files.find((file) => file === sight.image.replace(/\.nii(\.gz)?$/, "_std.nii$1"));
  byId("viewer").dataset.ready = "";
  byId("before-name").textContent = byId("beside").hidden ? "Input, as measured" : `Input: ${sight.name}`;
  byId("preview").hidden = true;
  try {
    await viewer.show({ before: sight.before, output: at(sight.image), std: std ? at(std) : null }, stay);
    byId("mix").min = sight.before ? 0 : 1;
    byId("mix").max = std ? 2 : 1;
    if (!stay) byId("mix").value = 1;
    byId("stop-input").hidden = !sight.before;
    byId("stop-std").hidden = !std;
    byId("mix").disabled = !sight.before && !std;
    mixed();
    viewer.plane(byId("view").value);
  } catch (error) {
    byId("place").textContent = `The viewer needs WebGL 2, which this browser does not give (${error.message}).`;
    const preview = files.find((file) => file.endsWith("_preview.png"));
    if (preview) { byId("preview").src = at(preview); byId("preview").hidden = false; }
  }
  byId("viewer").dataset.ready = job.id;
}

function mixed() {
  const value = Number(byId("mix").value);
  const name = Viewer.nameOf(value);
  viewer.mix(value);
  byId("mix-name").textContent = name;
  byId("mix").setAttribute("aria-valuetext", name);
  byId("after-name").textContent = `Result: ${name}`;
}

function drawFacts(job, at) {
  const { figures, files, comparison, residuals } = job.outcome;
  const lines = Object.entries(FIGURES).filter(([key]) => key in figures).map(([key, name]) => [name, figure(key, figures[key])]);
  (residuals ?? []).forEach((one, k) => lines.push([`residual, scan ${job.scans?.[k] ?? k + 1}`, figure("residual", one)]));
  for (const [name, one] of Object.entries(comparison ?? {})) {
    if (typeof one.psnr === "number") lines.push([`PSNR, ${name}`, `${one.psnr.toFixed(2)} dB`]);
  }
  byId("figures").replaceChildren(...lines.flatMap(([name, text]) => [textual("dt", name), textual("dd", text)]));
  const links = files.map((file) => [file, at(file)]);
  links.unshift(["Everything (zip)", `/api/jobs/${job.id}/all.zip`]);
  byId("files").replaceChildren(...links.map(([name, url]) => {
    const line = document.createElement("li");
    const link = document.createElement("a");
    link.href = url;
    link.download = "";
    link.textContent = name;
    line.append(link);
    return line;
  }));
  byId("warnings").replaceChildren(...(figures.warnings ?? []).map((text) => textual("li", text)));
}

function figure(key, value) {
  if (key === "seconds") return `${value.toFixed(1)} s`;
  if (key === "peak_memory_bytes") return `${Math.round(value / 1e6)} MB`;
  return key === "residual" ? value.toExponential(1) : String(value);
}

function textual(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

// --- begin ------------------------------------------------------------------------------------------------------------

function listen() {
  scans.listen();
  byId("choose-demo").addEventListener("click", demo);
  byId("job").addEventListener("change", () => choose(byId("job").value));
  byId("form").addEventListener("submit", start);
  byId("mix").addEventListener("input", mixed);
  byId("view").addEventListener("change", () => viewer.plane(byId("view").value));
}

async function begin() {
  const form = await ask("/api/form");
  page.jobs = form.jobs;
  fillJobs(byId("job"), page.jobs);
  choose(page.jobs[0].name);
  byId("about").textContent = `Voxprior ${form.version}. Everything stays on this machine; files are removed after ${form.keep_hours} hours.`;
  listen();
  watch();
}

begin().catch((error) => problem(error.message));
