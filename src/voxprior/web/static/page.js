// The page: bring a scan, ask for a job, watch the queue, look at the result. Every text goes in as text, never as HTML.

import { fillFields, fillJobs, jobLabel, set, values } from "/form.js";
import { Viewer } from "/viewer.js";

const byId = (id) => document.getElementById(id);
const STATES = { waiting: "waiting", running: "restoring", done: "done", failed: "failed", cancelled: "cancelled" };
const FIGURES = { seconds: "time", residual: "residual |Ax - y| / |y|", network_calls: "network calls", peak_memory_bytes: "peak memory" };
const SCAN_FILE = /\.(nii|nii\.gz|mgz|zip|h5|mrd|npz|npy|mat)$/i;
const page = { jobs: [], upload: null, kind: null, queue: [], shown: null, awaited: null };
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

// --- the scan ---------------------------------------------------------------------------------------------------------

async function bring(files) {
  const chosen = files.filter((file) => file.size > 0 && !file.name.startsWith("."));
  if (!chosen.length) return;
  const total = chosen.reduce((sum, file) => sum + file.size, 0);
  await arrive(async (id) => {
    let sent = 0;
    for (const file of chosen) {
      await put(`/api/uploads/${id}/files`, file, (part) => progress((sent + part) / total));
      sent += file.size;
    }
  }, chosen.length === 1 ? "1 file" : `${chosen.length} files`);
}

async function arrive(fill, what) {
  problem("");
  byId("scan").textContent = `Sending ${what} ...`;
  progress(0);
  page.upload = page.kind = null;
  ready();
  let id = null;
  try {
    ({ id } = await send("/api/uploads"));
    await fill(id);
    const scan = await send(`/api/uploads/${id}/finish`);
    page.upload = id;
    page.kind = scan.kind;
    const kinds = { image: "an image", kspace: "k-space or X-ray views", dicom: `a DICOM series of ${scan.files} files` };
    byId("scan").textContent = `Ready: ${kinds[scan.kind] ?? scan.kind}.`;
    const current = page.jobs.find((job) => job.name === byId("job").value);
    if (!current.takes.includes(scan.kind)) choose(page.jobs.find((job) => job.takes.includes(scan.kind)).name);
  } catch (error) {
    byId("scan").textContent = "";
    problem(error.message);
    if (id) ask(`/api/uploads/${id}`, { method: "DELETE" }).catch(() => {});
  }
  byId("sending").hidden = true;
  ready();
}

function progress(part) {
  byId("sending").hidden = false;
  byId("sending").value = part;
}

// fetch does not tell how much was sent.
function put(path, file, told) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", path);
    request.upload.onprogress = (event) => told(event.loaded);
    request.onload = () => {
      if (request.status < 300) { resolve(); return; }
      let reason = `the server answered ${request.status}`;
      try { reason = JSON.parse(request.responseText).error ?? reason; } catch { /* no reason given */ }
      reject(new Error(reason));
    };
    request.onerror = () => reject(new Error("the scan was not taken: it may be too large, or the server has ended"));
    request.send(file);
  });
}

async function dropped(items) {
  const entries = [...items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const files = [];
  const walk = async (entry) => {
    if (entry.isFile) { files.push(await new Promise((done, fail) => entry.file(done, fail))); return; }
    const reader = entry.createReader();
    for (;;) {
      const part = await new Promise((done, fail) => reader.readEntries(done, fail));
      if (!part.length) return;
      for (const child of part) await walk(child);
    }
  };
  for (const entry of entries) await walk(entry);
  return files;
}

async function demo() {
  await arrive((id) => send(`/api/uploads/${id}/demo`), "the demo head");
  choose("sr");
  set("simulate", true);
  set("axis", "j");
}

// --- the job ----------------------------------------------------------------------------------------------------------

const current = () => page.jobs.find((job) => job.name === byId("job").value);

function choose(name) {
  byId("job").value = name;
  byId("job-hint").textContent = current().title;
  fillFields(byId("fields"), byId("more-fields"), current());
  ready();
}

function ready() {
  const job = current();
  const fits = job && (job.takes.length ? page.upload !== null && job.takes.includes(page.kind) : true);
  byId("start").disabled = !fits;
}

async function start(event) {
  event.preventDefault();
  problem("");
  const job = current();
  byId("start").disabled = true;
  try {
    const made = await send("/api/jobs", { job: job.name, options: values(job), upload: job.takes.length ? page.upload : null });
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
  title.textContent = `Scan ${job.number}: ${jobLabel(job.job)}, ${STATES[job.state] ?? job.state}`;
  const bar = document.createElement("progress");
  bar.setAttribute("aria-label", `Progress of scan ${job.number}`);
  bar.hidden = job.state !== "running";
  const left = document.createElement("span");
  left.className = "hint left";
  const note = document.createElement("p");
  note.className = "problem";
  note.hidden = !job.message;
  note.textContent = job.message;
  const acts = document.createElement("div");
  acts.className = "row";
  const name = `scan ${job.number}`;
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
  const { outcome } = job;
  const named = (tag) => outcome.files.find((file) => file.startsWith(`restored_${tag}.nii`));
  page.shown = job.id;
  drawQueue();
  byId("no-result").hidden = true;
  byId("viewer").hidden = false;
  byId("before-pane").hidden = !outcome.before;
  byId("result-title").textContent = `Result: scan ${job.number}`;
  drawFacts(job, at);
  byId("viewer").dataset.ready = "";
  const preview = outcome.files.find((file) => file.endsWith("_preview.png"));
  byId("preview").hidden = true;
  try {
    await viewer.show({
      before: outcome.before ? `/api/jobs/${job.id}/input.nii.gz` : null,
      output: at(outcome.image),
      std: named("std") ? at(named("std")) : null,
    });
    byId("mix").min = outcome.before ? 0 : 1;
    byId("mix").max = named("std") ? 2 : 1;
    byId("mix").value = 1;
    byId("stop-input").hidden = !outcome.before;
    byId("stop-std").hidden = !named("std");
    byId("mix").disabled = !outcome.before && !named("std");
    mixed();
    viewer.plane(byId("view").value);
  } catch (error) {
    byId("place").textContent = `The viewer needs WebGL 2, which this browser does not give (${error.message}).`;
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
  const { figures, files, comparison } = job.outcome;
  const lines = Object.entries(FIGURES).filter(([key]) => key in figures).map(([key, name]) => [name, figure(key, figures[key])]);
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
  const drop = byId("drop");
  byId("choose-file").addEventListener("click", () => byId("file").click());
  byId("choose-folder").addEventListener("click", () => byId("folder").click());
  byId("choose-demo").addEventListener("click", demo);
  for (const id of ["file", "folder"]) {
    byId(id).addEventListener("change", async (event) => {
      await bring([...event.target.files]);
      event.target.value = "";
    });
  }
  for (const target of [drop, document.body]) {
    target.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
    target.addEventListener("dragleave", () => drop.classList.remove("over"));
  }
  document.body.addEventListener("drop", async (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    const { items, files } = event.dataTransfer;
    const found = items?.length && items[0].webkitGetAsEntry ? await dropped(items) : [...files];
    const lone = found.filter((file) => SCAN_FILE.test(file.name));
    await bring(found.length > 1 && lone.length === 1 ? lone : found);
  });
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
