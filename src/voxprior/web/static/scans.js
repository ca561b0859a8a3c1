// What is brought: files to an upload, and the list of its scans, of which one or several are chosen.

const SCAN_FILE = /\.(nii|nii\.gz|mgz|zip|h5|mrd|npz|npy|mat)$/i;
const KINDS = { image: "an image", kspace: "k-space or X-ray views" };
const byId = (id) => document.getElementById(id);

export class Scans {
  // ``server``: {ask, send}. ``problem`` shows a text, ``changed`` is called when other scans are chosen.
  constructor(server, problem, changed) {
    Object.assign(this, server, { problem, changed, upload: null, group: 0, scans: [] });
  }

  get chosen() { return this.scans.filter((scan) => scan.used); }

  listen() {
    const drop = byId("drop");
    for (const id of ["file", "folder"]) {
      byId(`choose-${id}`).addEventListener("click", () => byId(id).click());
      byId(id).addEventListener("change", async (event) => {
        await this.bring(grouped([...event.target.files], id === "folder"));
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
      await this.bring(await dropped(event.dataTransfer));
    });
  }

  // ``groups``: lists of files, each a scan or several series.
  async bring(groups) {
    const wanted = groups.map((files) => files.filter((file) => file.size > 0 && !file.name.startsWith(".")));
    const chosen = wanted.filter((files) => files.length);
    if (!chosen.length) return;
    const all = chosen.flat();
    const total = all.reduce((sum, file) => sum + file.size, 0);
    await this.arrive(async (id) => {
      let sent = 0;
      for (const files of chosen) {
        this.group += 1;
        for (const file of files) {
          await put(`/api/uploads/${id}/files?scan=${this.group}`, file, (part) => progress((sent + part) / total));
          sent += file.size;
        }
      }
    }, all.length === 1 ? "1 file" : `${all.length} files`, chosen.length);
  }

  async demo() {
    byId("adding").checked = false;
    await this.arrive((id) => this.send(`/api/uploads/${id}/demo`), "the demo head", 1);
  }

  async arrive(fill, what, groups) {
    const adds = this.upload !== null && byId("adding").checked;
    this.problem("");
    byId("scan").textContent = `Sending ${what} ...`;
    progress(0);
    if (!adds) this.forget();
    this.changed();
    try {
      if (!adds) this.upload = (await this.send("/api/uploads")).id;
      await fill(this.upload);
      const told = (await this.send(`/api/uploads/${this.upload}/finish`)).scans;
      const fresh = told.slice(this.scans.length);
      // Of many series nobody has said yet which are meant; files that were chosen are meant.
      const used = fresh.length === groups;
      this.scans.push(...fresh.map((scan, k) => ({ ...scan, place: told.length - fresh.length + k + 1, used })));
    } catch (error) {
      this.problem(error.message);
      if (!adds) this.forget();
    }
    byId("sending").hidden = true;
    this.draw();
    this.changed();
  }

  forget() {
    if (this.upload) this.ask(`/api/uploads/${this.upload}`, { method: "DELETE" }).catch(() => {});
    Object.assign(this, { upload: null, group: 0, scans: [] });
    this.draw();
  }

  draw() {
    const several = this.scans.length > 1;
    byId("scans").hidden = !several;
    byId("more-scans").hidden = !this.scans.length;
    byId("scans").replaceChildren(...(several ? this.scans.map((scan) => this.row(scan)) : []));
    byId("scan").textContent = this.scans.length ? this.state() : "";
  }

  state() {
    const { chosen } = this;
    if (this.scans.length === 1) return `Ready: ${described(this.scans[0])}.`;
    if (!chosen.length) return `${this.scans.length} scans: choose one, or several of one patient to restore together.`;
    if (chosen.length === 1) return `Ready: scan ${chosen[0].place}.`;
    return `Ready: ${chosen.length} scans, one volume of them together, on the grid of scan ${chosen[0].place}.`;
  }

  row(scan) {
    const row = document.createElement("li");
    const use = Object.assign(document.createElement("input"), { type: "checkbox", id: `use-${scan.place}`, checked: scan.used });
    const label = document.createElement("label");
    label.htmlFor = use.id;
    label.textContent = `Scan ${scan.place}: ${described(scan)}`;
    use.addEventListener("change", () => {
      scan.used = use.checked;
      this.draw();
      this.changed();
      byId(use.id).focus();
    });
    row.append(use, label);
    if (scan.used && scan !== this.chosen[0]) row.append(this.first(scan));
    return row;
  }

  // The first scan gives grid, study and space.
  first(scan) {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: "small", textContent: "Put first" });
    button.setAttribute("aria-label", `Put scan ${scan.place} first: it gives the grid`);
    button.addEventListener("click", () => {
      this.scans = [scan, ...this.scans.filter((other) => other !== scan)];
      this.draw();
      this.changed();
      byId(`use-${scan.place}`).focus();
    });
    return button;
  }
}

function described(scan) {
  if (scan.kind === "dicom") {
    const words = scan.plane ? [scan.plane] : [];
    if (Number.isInteger(scan.number)) words.push(`series number ${scan.number}`);
    return ["a DICOM series of", scan.files, scan.files === 1 ? "file" : "files"].join(" ") + (words.length ? ` (${words.join(", ")})` : "");
  }
  if (!scan.size) return KINDS[scan.kind] ?? scan.kind;
  const short = (numbers) => numbers.map((x) => +x.toFixed(2)).join(" x ");
  return `${scan.plane ? `${scan.plane} slices` : "an image"}, ${short(scan.size)} voxels of ${short(scan.voxel)} mm`;
}

// Files with the name of a scan are one each; the others, in a folder or not, are slices of one or more series.
function grouped(files, folder) {
  const lone = files.filter((file) => SCAN_FILE.test(file.name));
  const rest = files.filter((file) => !SCAN_FILE.test(file.name));
  // Converters leave an image or two among slices, and notes beside images.
  const slices = rest.filter((file) => !/\.(json|txt|tsv|csv|bval|bvec|html|pdf|md|xml)$/i.test(file.name));
  if (folder && slices.length > lone.length) return [files];
  const groups = lone.map((file) => [file]);
  return lone.length && !slices.length ? groups : [...groups, rest];
}

async function dropped({ items, files }) {
  if (!items?.length || !items[0].webkitGetAsEntry) return grouped([...files], false);
  const entries = [...items].map((item) => item.webkitGetAsEntry()).filter(Boolean);  // gone after the first await
  const walk = async (entry) => {
    if (entry.isFile) return [await new Promise((done, fail) => entry.file(done, fail))];
    const reader = entry.createReader();
    const found = [];
    for (;;) {
      const part = await new Promise((done, fail) => reader.readEntries(done, fail));
      if (!part.length) return found;
      for (const child of part) found.push(...await walk(child));
    }
  };
  const lone = [];
  const groups = [];
  for (const entry of entries) {
    const found = await walk(entry);
    if (entry.isFile) lone.push(...found); else groups.push(...grouped(found, true));
  }
  return [...grouped(lone, false), ...groups];
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
