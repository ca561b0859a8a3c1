// The form of a job, from what the server says of its options.

const LABELS = {
  sr: "Thick slices to thin slices", recon: "Reconstruct k-space", ct: "Reconstruct CT",
  enhance: "Refine voxels", generate: "Make new volumes",
};
export const jobLabel = (name) => LABELS[name] ?? name;

export function fillJobs(select, jobs) {
  select.replaceChildren(...jobs.map((job) => new Option(jobLabel(job.name), job.name)));
}

export function fillFields(first, more, job) {
  const made = job.fields.map((field) => [field.first, element(field)]);
  first.replaceChildren(...made.filter(([early]) => early).map(([, node]) => node));
  more.replaceChildren(...made.filter(([early]) => !early).map(([, node]) => node));
}

export function set(name, value) {
  const input = document.getElementById(`option-${name}`);
  if (!input) return;
  if (input.type === "checkbox") input.checked = value; else input.value = value;
}

// Options that go with one scan, or with several, alone are hidden from others, and not asked for.
export function suit(job, scans) {
  for (const field of job.fields) {
    if (field.scans === null) continue;
    document.getElementById(`option-${field.name}`).closest(".field").hidden = (field.scans === "one") === (scans > 1);
  }
}

// What was filled in; what was left empty keeps the server's own default.
export function values(job) {
  const found = {};
  for (const field of job.fields) {
    const input = document.getElementById(`option-${field.name}`);
    if (input.closest(".field").hidden) continue;
    if (field.kind === "switch") {
      if (input.checked !== Boolean(field.default)) found[field.name] = input.checked;
    } else if (input.value.trim() !== "" && input.value !== field.default) {
      found[field.name] = typed(field, input.value.trim());
    }
  }
  return found;
}

function typed(field, text) {
  if (field.kind === "numbers") return text.split(/[\s,x]+/).map(Number);
  if (field.kind === "integer" || field.kind === "number") return Number(text);
  return text;
}

function element(field) {
  const box = document.createElement("div");
  box.className = `field ${field.kind}`;
  const label = document.createElement("label");
  label.htmlFor = `option-${field.name}`;
  label.textContent = field.label[0].toUpperCase() + field.label.slice(1);
  const input = control(field);
  input.id = `option-${field.name}`;
  const hint = document.createElement("p");
  hint.className = "hint";
  hint.id = `hint-${field.name}`;
  hint.textContent = field.hint;
  input.setAttribute("aria-describedby", hint.id);
  box.append(...(field.kind === "switch" ? [input, label] : [label, input]), hint);
  return box;
}

function control(field) {
  if (field.kind === "choice") {
    const select = document.createElement("select");
    if (field.default === null) select.append(new Option("default", ""));
    select.append(...field.choices.map((choice) => new Option(choice, choice, false, choice === field.default)));
    return select;
  }
  const input = document.createElement("input");
  if (field.kind === "switch") {
    input.type = "checkbox";
    input.checked = Boolean(field.default);
    return input;
  }
  const number = field.kind === "integer" || field.kind === "number";
  input.type = number ? "number" : "text";
  if (number) {
    input.step = field.kind === "integer" ? "1" : "any";
    if (field.low !== null) input.min = field.low;
    if (field.high !== null) input.max = field.high;
  }
  if (field.pattern !== null) input.pattern = field.pattern;
  input.placeholder = field.default === null ? "automatic" : String(field.default).replaceAll(",", " ");
  input.autocomplete = "off";
  return input;
}
