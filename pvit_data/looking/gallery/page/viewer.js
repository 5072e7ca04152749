/* The viewer: one sample, its frame, the switched-on layers, what lies under the pointer. */

const CANVAS_WIDTH = 720;
const DEFAULT_INTERVAL = 125;

const byId = (id) => document.getElementById(id);

class Viewer {
  constructor(changed) {
    this.changed = changed;
    this.sample = null;
    this.loaded = new Map();
    this.on = new Set(["rgb", "boxes", "pose"]);
    this.opacity = 0.7;
    this.index = 0;
    this.playing = !matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.timer = 0;
    this.canvas = byId("canvas");
    byId("play").addEventListener("click", () => this.play(!this.playing));
    byId("back").addEventListener("click", () => this.step(-1));
    byId("forth").addEventListener("click", () => this.step(1));
    byId("seek").addEventListener("input", (event) => { this.play(false); this.seek(Number(event.target.value)); });
    byId("opacity").addEventListener("input", (event) => this.setOpacity(Number(event.target.value) / 100));
    this.canvas.addEventListener("pointermove", (event) => this.readout(event));
    this.canvas.addEventListener("pointerleave", () => { byId("readout").textContent = ""; });
  }

  async show(sample, index = 0) {
    this.sample = sample;
    this.loaded = new Map();
    this.index = Math.min(index, sample.at.length - 1);
    this.canvas.width = CANVAS_WIDTH;
    this.canvas.height = Math.round((CANVAS_WIDTH * sample.size[1]) / sample.size[0]);
    byId("key").textContent = sample.key;
    byId("label").textContent = sample.label;
    byId("seek").max = sample.at.length - 1;
    const still = sample.at.length === 1;
    for (const id of ["play", "back", "forth", "seek"]) byId(id).disabled = still;
    this.facts();
    this.switches();
    const names = Object.keys(sample.layers);
    const layers = await Promise.all(names.map((name) => loadLayer(sample, name)));
    if (this.sample !== sample) return;
    layers.forEach((layer) => this.loaded.set(layer.name, layer));
    this.strip();
    this.draw();
    this.schedule();
  }

  facts() {
    byId("facts").replaceChildren();
    for (const [name, text] of this.sample.facts) {
      if (name !== "key") byId("facts").append(make("dt", {}, name), make("dd", {}, text));
    }
  }

  /** One switch per layer that the sample has. */
  switches() {
    const has = layersOf(this.sample);
    const shortcut = Object.fromEntries(Object.entries(KEYS).map(([key, name]) => [name, key]));
    const buttons = ORDER.filter((name) => name !== "rgb").map((name) => {
      const title = TITLES[name];
      const button = make("button", { class: "toggle", id: `layer-${name}`, title: `${title} (${shortcut[name]})` });
      button.append(make("u", {}, title[0]), title.slice(1));
      button.disabled = !has.includes(name);
      button.setAttribute("aria-pressed", String(this.on.has(name) && !button.disabled));
      button.addEventListener("click", () => this.toggle(name));
      return button;
    });
    byId("layers").replaceChildren(...buttons);
  }

  toggle(name) {
    if (!layersOf(this.sample).includes(name)) return;
    if (this.on.has(name)) this.on.delete(name); else this.on.add(name);
    byId(`layer-${name}`).setAttribute("aria-pressed", String(this.on.has(name)));
    this.draw();
    this.changed();
  }

  clear() {
    this.on = new Set(["rgb"]);
    this.switches();
    this.draw();
    this.changed();
  }

  setOpacity(value) {
    this.opacity = Math.min(1, Math.max(0, value));
    byId("opacity").value = String(Math.round(100 * this.opacity));
    this.draw();
  }

  play(on) {
    this.playing = on;
    this.schedule();
  }

  schedule() {
    clearTimeout(this.timer);
    const many = this.sample && this.sample.at.length > 1;
    byId("play").textContent = this.playing && many ? "Pause" : "Play";
    byId("play").setAttribute("aria-pressed", String(Boolean(this.playing && many)));
    if (!this.playing || !many) return;
    const { at, fps } = this.sample;
    const gap = this.index + 1 < at.length ? at[this.index + 1] - at[this.index] : 1;
    const wait = fps > 0 ? Math.min(500, Math.max(50, (1000 * gap) / fps)) : DEFAULT_INTERVAL;
    const rest = this.index + 1 === at.length ? 400 : 0;
    this.timer = setTimeout(() => { this.seek((this.index + 1) % at.length); this.schedule(); }, wait + rest);
  }

  step(by) {
    this.play(false);
    const count = this.sample.at.length;
    this.seek((this.index + by + count) % count);
  }

  seek(index) {
    this.index = index;
    this.draw();
    if (!this.playing) this.changed();
  }

  draw() {
    const { sample, index, canvas } = this;
    if (!sample) return;
    const context = canvas.getContext("2d");
    context.globalAlpha = 1;
    context.fillStyle = "#000";
    context.fillRect(0, 0, canvas.width, canvas.height);
    const rgb = this.loaded.get("rgb");
    if (rgb) drawTile(context, rgb, index, canvas.width, canvas.height);
    const missing = [];
    for (const name of ORDER.filter((name) => name !== "rgb" && sample.layers[name])) {
      const layer = this.loaded.get(name);
      if (!layer || !this.on.has(name)) continue;
      context.globalAlpha = rgb ? this.opacity : 1;
      if (!drawTile(context, layer, index, canvas.width, canvas.height)) missing.push(TITLES[name]);
    }
    context.globalAlpha = 1;
    if (sample.boxes && this.on.has("boxes")) drawBoxes(context, sample, index, canvas.width, canvas.height, true);
    if (sample.joints && this.on.has("pose")) drawPose(context, sample, index, canvas.width, canvas.height);
    byId("missing").hidden = missing.length === 0;
    byId("missing").textContent = `no ${missing.join(", no ")} in this frame`;
    byId("seek").value = String(index);
    byId("frame").textContent = sample.frames === 1 ? "still" : `frame ${sample.at[index]} of 0–${sample.frames - 1}`;
    const shown = layersOf(sample).filter((name) => name === "rgb" || this.on.has(name)).map((name) => TITLES[name]);
    canvas.setAttribute("aria-label", `${sample.key}, frame ${sample.at[index]}: ${shown.join(", ")}`);
    this.legend();
    this.drawStrip();
  }

  legend() {
    const { sample, on } = this;
    const items = [];
    const swatch = (colour, text) => {
      const mark = make("i");
      mark.style.background = colour;
      return make("span", {}, mark, text);
    };
    const depth = this.loaded.get("depth");
    if (depth && on.has("depth")) items.push(make("span", {}, `${depth.entry.near.toFixed(2)} m`, ramp(), `${depth.entry.far.toFixed(2)} m`));
    if (this.loaded.has("normal") && on.has("normal")) items.push(swatch("#ff8080", "right"), swatch("#80ff80", "up"), swatch("#8080ff", "to the camera"));
    const segm = this.loaded.get("segm");
    if (segm && on.has("segm")) {
      const space = spaceOf(sample, "segm");
      for (const [id, share] of areas(segm, this.index)) items.push(swatch(classColour(space, id), `${className(space, id)} ${share < 0.01 ? "<1" : Math.round(100 * share)} %`));
    }
    if (sample.joints && on.has("pose")) {
      const [left, right] = DATA.joints.colours;
      items.push(swatch(left, "left"), swatch(right, "right"));
      if (!sample.joints.placed) items.push(make("span", {}, "pose: front view, not placed in the picture (no camera)"));
    }
    for (const name of layersOf(sample).filter((name) => on.has(name) && layerOf(sample, name))) {
      items.push(make("span", { class: "given" }, `${TITLES[name]} (${layerOf(sample, name)})`));
    }
    byId("legend").replaceChildren(...items);
  }

  /** Small pictures of every layer, side by side. */
  strip() {
    const names = layersOf(this.sample);
    const figures = names.length < 2 ? [] : names.map((name) => {
      const canvas = make("canvas", { width: this.sample.size[0], height: this.sample.size[1] });
      canvas.dataset.layer = name;
      const size = name === "boxes" || name === "pose" ? 2 : 1;
      canvas.width *= size;
      canvas.height *= size;
      return make("figure", {}, canvas, make("figcaption", {}, TITLES[name]));
    });
    byId("strip").replaceChildren(...figures);
  }

  drawStrip() {
    for (const canvas of byId("strip").querySelectorAll("canvas")) {
      const context = canvas.getContext("2d");
      const { width, height } = canvas;
      const name = canvas.dataset.layer;
      context.globalAlpha = 1;
      context.clearRect(0, 0, width, height);
      const rgb = this.loaded.get("rgb");
      if (name === "boxes" || name === "pose") {
        context.globalAlpha = 0.35;
        if (rgb) drawTile(context, rgb, this.index, width, height);
        context.globalAlpha = 1;
        if (name === "boxes") drawBoxes(context, this.sample, this.index, width, height, false);
        else drawPose(context, this.sample, this.index, width, height);
      } else if (this.loaded.has(name)) {
        drawTile(context, this.loaded.get(name), this.index, width, height);
      }
    }
  }

  /** Depth and class of the pixel under the pointer. */
  readout(event) {
    const frame = this.canvas.getBoundingClientRect();
    const scale = Math.min(frame.width / this.canvas.width, frame.height / this.canvas.height);
    const left = frame.left + (frame.width - scale * this.canvas.width) / 2;
    const top = frame.top + (frame.height - scale * this.canvas.height) / 2;
    const u = (event.clientX - left) / (scale * this.canvas.width);
    const v = (event.clientY - top) / (scale * this.canvas.height);
    byId("readout").textContent = u >= 0 && u < 1 && v >= 0 && v < 1 ? this.describe(u, v) : "";
  }

  describe(u, v) {
    const { sample } = this;
    const [x, y] = [Math.floor(u * sample.size[0]), Math.floor(v * sample.size[1])];
    const parts = [];
    const depth = this.loaded.get("depth");
    const far = depth && numbersAt(depth, this.index, x, y);
    if (far) {
      const metres = depth.entry.near + (far[0] / 255) * (depth.entry.far - depth.entry.near);
      parts.push(far[3] ? `${far[0] === 255 ? "≥ " : far[0] === 0 ? "≤ " : ""}${metres.toFixed(2)} m` : "no depth");
    }
    const segm = this.loaded.get("segm");
    const id = segm && numbersAt(segm, this.index, x, y);
    if (id) parts.push(id[3] ? className(spaceOf(sample, "segm"), id[0] + 256 * id[1]) : "not labelled");
    return parts.join(" · ");
  }
}

function ramp() {
  const canvas = make("canvas", { width: 256, height: 1 });
  const context = canvas.getContext("2d");
  const picture = context.createImageData(256, 1);
  for (let i = 0; i < 256; i += 1) picture.data.set([...DATA.ramp.slice(3 * i, 3 * i + 3), 255], 4 * i);
  context.putImageData(picture, 0, 0);
  return canvas;
}

/** [id, share] of the classes in a frame, largest first. */
function areas(layer, index) {
  const corner = tileAt(layer, index);
  if (!corner) return [];
  const counts = new Map();
  for (let y = 0; y < layer.height; y += 1) {
    for (let x = 0; x < layer.width; x += 1) {
      const at = 4 * ((corner[1] + y) * layer.raw.width + corner[0] + x);
      if (!layer.raw.pixels[at + 3]) continue;
      const id = layer.raw.pixels[at] + 256 * layer.raw.pixels[at + 1];
      counts.set(id, (counts.get(id) || 0) + 1);
    }
  }
  const total = layer.width * layer.height;
  return [...counts].sort((a, b) => b[1] - a[1]).slice(0, 16).map(([id, count]) => [id, count / total]);
}
