/* Browsing: filters, the grid of samples, tabs, keys, and the address that remembers what is shown. */

const MARKS = { depth: "depth", normal: "norm", segm: "segm", pose3d: "pose", boxes: "boxes", action: "action" };
const FIELDS = DATA.fields;
const TABS = ["samples", "statistics", "sources"];

const controls = { search: byId("search"), source: byId("source"), split: byId("split"), class: byId("class") };
const wanted = new Set();
let shown = [];
let current = null;

const texts = new Map(DATA.samples.map((sample) => [sample, searchable(sample)]));

function searchable(sample) {
  return [sample.key, sample.label, ...sample.facts.map((fact) => fact[1])].join("\n").toLowerCase();
}

function classKey(sample, field, id) {
  const space = spaceOf(sample, field);
  return `${field}:${space ? space.name : ""}:${id}`;
}

function fits(sample) {
  const text = controls.search.value.trim().toLowerCase();
  if (text && !text.split(/\s+/).every((word) => texts.get(sample).includes(word))) return false;
  if (controls.source.value && sample.source !== controls.source.value) return false;
  if (controls.split.value && sample.split !== controls.split.value) return false;
  if (![...wanted].every((field) => sample.fields.includes(field))) return false;
  if (!controls.class.value) return true;
  return Object.entries(sample.classes).some(([field, ids]) =>
    ids.some((id) => classKey(sample, field, id) === controls.class.value));
}

function filter() {
  shown = DATA.samples.filter(fits);
  byId("count").textContent = `${shown.length} of ${DATA.samples.length} samples`;
  byId("nothing").hidden = shown.length > 0;
  byId("columns").hidden = shown.length === 0;
  fillGrid();
  if (shown.length && !shown.includes(current)) select(shown[0]);
  else mark();
}

function fillFilters() {
  const option = (value, text) => make("option", { value }, text);
  for (const name of Object.keys(DATA.sources)) controls.source.append(option(name, name));
  for (const name of [...new Set(DATA.samples.map((sample) => sample.split))]) controls.split.append(option(name, name));
  const present = new Set(DATA.samples.flatMap((sample) => sample.fields));
  const fields = [...FIELDS.filter((field) => present.delete(field)), ...present];
  for (const field of fields) {
    const button = make("button", { type: "button", class: "toggle", id: `has-${field}`, "aria-pressed": "false" }, field);
    button.addEventListener("click", () => {
      if (wanted.has(field)) wanted.delete(field); else wanted.add(field);
      button.setAttribute("aria-pressed", String(wanted.has(field)));
      filter();
    });
    byId("fields").append(button);
  }
  fillClasses(option);
  Object.values(controls).forEach((control) => control.addEventListener("input", filter));
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("filters").addEventListener("reset", () => {
    wanted.clear();
    byId("fields").querySelectorAll("button").forEach((button) => button.setAttribute("aria-pressed", "false"));
    setTimeout(filter);
  });
}

function fillClasses(option) {
  const groups = new Map();
  for (const sample of DATA.samples) {
    for (const [field, ids] of Object.entries(sample.classes)) {
      for (const id of ids) {
        const space = spaceOf(sample, field);
        const title = `${field}${space ? `: ${space.name}` : ""}`;
        if (!groups.has(title)) groups.set(title, new Map());
        const key = classKey(sample, field, id);
        const entry = groups.get(title).get(key) || [className(space, id), 0];
        groups.get(title).set(key, [entry[0], entry[1] + 1]);
      }
    }
  }
  for (const [title, classes] of groups) {
    const ordered = [...classes].sort((a, b) => a[1][0].localeCompare(b[1][0]));
    controls.class.append(make("optgroup", { label: title }, ...ordered.map(([key, [name, count]]) => option(key, `${name} (${count})`))));
  }
}

/* ---- grid ---- */

const observer = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    observer.unobserve(entry.target);
    thumbnail(entry.target);
  }
}, { rootMargin: "200px" });

function fillGrid() {
  observer.disconnect();
  byId("grid").replaceChildren(...shown.map((sample) => {
    const number = DATA.samples.indexOf(sample);
    const tile = make("div", { class: "tile", role: "option", id: `sample-${number}`, "aria-selected": "false" });
    const marks = Object.keys(MARKS).filter((field) => sample.fields.includes(field)).map((field) => MARKS[field]);
    const [width, height] = sample.size;
    tile.append(
      make("canvas", { width, height, "aria-hidden": "true" }),
      make("span", { class: "name", title: sample.key }, sample.label || shortKey(sample)),
      make("span", { class: "marks" }, marks.join(" · ") || "clip only"),
    );
    tile.setAttribute("aria-label", `${sample.key} ${sample.label}`);
    tile.addEventListener("click", () => select(sample));
    tile.addEventListener("pointerenter", () => animate(tile, sample));
    observer.observe(tile);
    return tile;
  }));
}

/** The key without what every sample of the source shares. */
function shortKey(sample) {
  return sample.key.startsWith(`${sample.source}-`) ? sample.key.slice(sample.source.length + 1) : sample.key;
}

function pictureOf(sample) {
  return ORDER.find((name) => sample.layers[name]);
}

async function thumbnail(tile) {
  const sample = DATA.samples[Number(tile.id.slice("sample-".length))];
  const canvas = tile.querySelector("canvas");
  const context = canvas.getContext("2d");
  const name = pictureOf(sample);
  const middle = sample.at.length >> 1;
  if (name) {
    const layer = await loadLayer(sample, name);
    drawTile(context, layer, layer.at[layer.at.length >> 1], canvas.width, canvas.height);
  } else if (sample.joints) drawPose(context, sample, middle, canvas.width, canvas.height);
  else if (sample.boxes) drawBoxes(context, sample, middle, canvas.width, canvas.height, false);
}

/** Plays a tile while the pointer is over it. */
async function animate(tile, sample) {
  const name = pictureOf(sample);
  if (!name || sample.layers[name].at.length < 2 || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  let over = true;
  tile.addEventListener("pointerleave", () => { over = false; }, { once: true });
  const layer = await loadLayer(sample, name);
  const canvas = tile.querySelector("canvas");
  for (let i = 0; over && tile.isConnected; i = (i + 1) % layer.at.length) {
    drawTile(canvas.getContext("2d"), layer, layer.at[i], canvas.width, canvas.height);
    await new Promise((done) => setTimeout(done, DEFAULT_INTERVAL));
  }
}

function mark() {
  for (const tile of byId("grid").children) tile.setAttribute("aria-selected", "false");
  const tile = byId(`sample-${DATA.samples.indexOf(current)}`);
  if (!tile) return;
  tile.setAttribute("aria-selected", "true");
  byId("grid").setAttribute("aria-activedescendant", tile.id);
  const grid = byId("grid");
  if (grid.scrollHeight > grid.clientHeight) tile.scrollIntoView({ block: "nearest" });
}

function select(sample, index = 0) {
  current = sample;
  mark();
  viewer.show(sample, index);
  remember();
}

function move(by) {
  if (!shown.length) return;
  const place = shown.indexOf(current) + by;
  select(shown[Math.min(shown.length - 1, Math.max(0, place))]);
}

/* ---- address ---- */

let recall = true;

function remember() {
  if (!current || recall) return;
  const on = Object.entries(KEYS).filter(([, name]) => viewer.on.has(name)).map(([key]) => key).join("");
  const state = new URLSearchParams({ sample: current.key, layers: on, frame: String(viewer.index) });
  history.replaceState(null, "", `#${state}`);
}

function restore() {
  const state = new URLSearchParams(location.hash.slice(1));
  if (state.has("layers")) {
    viewer.on = new Set(["rgb", ...[...state.get("layers")].map((key) => KEYS[key]).filter(Boolean)]);
  }
  const sample = DATA.samples.find((candidate) => candidate.key === state.get("sample"));
  if (sample) {
    viewer.playing = viewer.playing && !Number(state.get("frame"));
    select(sample, Number(state.get("frame")) || 0);
  }
}

/* ---- tabs, sources, keys ---- */

function openTab(name) {
  for (const tab of TABS) {
    byId(tab).hidden = tab !== name;
    byId(`tab-${tab}`).setAttribute("aria-selected", String(tab === name));
    byId(`tab-${tab}`).tabIndex = tab === name ? 0 : -1;
  }
  if (name !== "samples") viewer.play(false);
}

function fillSources() {
  for (const [name, source] of Object.entries(DATA.sources)) {
    const list = make("dl");
    const add = (title, text) => { if (text) list.append(make("dt", {}, title), make("dd", {}, text)); };
    add("licence", `${source.licence || "not stated"}; shards ${source.redistributable ? "may" : "must not"} be published`);
    add("made by", source.converter);
    for (const [field, space] of Object.entries(source.spaces)) {
      add(`${field} classes`, `${space.name}: ${space.classes.length} (${space.classes.slice(0, 30).join(", ")}${space.classes.length > 30 ? ", …" : ""})`);
    }
    for (const layer of source.layers || []) {
      const sure = layer.confidence ? `; ${layer.confidence}` : "";
      const may = layer.redistributable ? "may" : "must not";
      add(`layer ${layer.name}`, `${layer.fields.join(", ")}; made by ${layer.made_by || "not stated"}${sure}; licence ${layer.licence || "not stated"}; ${may} be published`);
    }
    source.notes.forEach((note) => add("note", note));
    const section = make("section", {}, make("h2", {}, source.title ? `${name}: ${source.title}` : name), list);
    if (source.citation) section.append(make("pre", {}, source.citation));
    byId("sources").append(section);
  }
  const list = make("dl");
  for (const [name, text] of Object.entries(DATA.conventions)) list.append(make("dt", {}, name), make("dd", {}, text));
  byId("sources").append(make("section", {}, make("h2", {}, "Conventions"), list));
}

const ACTIONS = {
  ArrowUp: () => move(-1), k: () => move(-1), ArrowDown: () => move(1), j: () => move(1),
  ArrowLeft: () => viewer.step(-1), ArrowRight: () => viewer.step(1), " ": () => viewer.play(!viewer.playing),
  "0": () => viewer.clear(), "+": () => viewer.setOpacity(viewer.opacity + 0.1), "-": () => viewer.setOpacity(viewer.opacity - 0.1),
  "/": () => { openTab("samples"); controls.search.focus(); }, "?": () => byId("help").showModal(),
  "1": () => openTab("samples"), "2": () => openTab("statistics"), "3": () => openTab("sources"),
};
for (const [key, name] of Object.entries(KEYS)) ACTIONS[key] = () => viewer.toggle(name);
const EVERYWHERE = new Set(["1", "2", "3", "?", "/"]);

document.addEventListener("keydown", (event) => {
  const target = event.target;
  if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
  if (event.key === "Escape" && target === controls.search) { target.blur(); return; }
  if (target.matches("input, select, textarea")) return;
  if (target.matches("button, summary") && (event.key === " " || event.key === "Enter")) return;
  if (target.matches("[role=tab]") && event.key.startsWith("Arrow")) { tabKeys(event); return; }
  const action = ACTIONS[event.key];
  if (!action || (!current && !EVERYWHERE.has(event.key))) return;
  if (byId("samples").hidden && !EVERYWHERE.has(event.key)) return;
  event.preventDefault();
  action();
});

function tabKeys(event) {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!by) return;
  const place = TABS.indexOf(event.target.id.slice("tab-".length)) + by;
  const name = TABS[(place + TABS.length) % TABS.length];
  openTab(name);
  byId(`tab-${name}`).focus();
}

const viewer = new Viewer(() => remember());
const total = DATA.total === DATA.samples.length ? "all" : `${DATA.samples.length} of ${DATA.total}`;
byId("totals").textContent = `${total} samples, ${Object.keys(DATA.sources).length} sources`;
TABS.forEach((name) => byId(`tab-${name}`).addEventListener("click", () => openTab(name)));
byId("help-button").addEventListener("click", () => byId("help").showModal());
fillSources();
fillFilters();
restore();
recall = false;
filter();
document.documentElement.dataset.ready = "true";
