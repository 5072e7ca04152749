/* Layers: sprites to pictures. Depth and segmentation arrive as numbers and are coloured here with the tables of the
   data, so that what lies under the pointer can be named. */

const DATA = JSON.parse(document.getElementById("data").textContent);
const ORDER = DATA.layers.map((layer) => layer.name);
const TITLES = Object.fromEntries(DATA.layers.map((layer) => [layer.name, layer.title]));
const KEYS = Object.fromEntries(DATA.layers.filter((layer) => layer.key).map((layer) => [layer.key, layer.name]));
const COLOURED = Object.fromEntries(DATA.layers.map((layer) => [layer.name, layer.coloured]));
const COORDINATES = 1000;
const UNKNOWN = -9 * COORDINATES;

/** An element with attributes and children; texts stay texts. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function spaceOf(sample, field) {
  return DATA.sources[sample.source].spaces[field];
}

/** The data set's layer that gives what is shown under a name, or nothing. */
function layerOf(sample, name) {
  return (DATA.sources[sample.source].given || {})[name];
}

function className(space, id) {
  const name = space && space.classes[id - space.first];
  return name === undefined ? `class ${id}` : name;
}

function classColour(space, id) {
  const colour = space && space.colours[id - space.first];
  return colour || DATA.palette[Math.max(id, 0) % DATA.palette.length];
}

function rgbOf(hex) {
  return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
}

/** Which layers a sample can show. */
function layersOf(sample) {
  const has = { ...sample.layers, boxes: sample.boxes, pose: sample.joints };
  return ORDER.filter((name) => has[name]);
}

/** Decodes one sprite. Gives {name, at, sheet, raw, columns, width, height}; raw holds the numbers, where it has any. */
async function loadLayer(sample, name) {
  const entry = sample.layers[name];
  const image = new Image();
  image.src = "data:image/webp;base64," + entry.src;
  await image.decode();
  const columns = Math.ceil(Math.sqrt(entry.at.length));
  const [width, height] = sample.size;
  const layer = { name, at: entry.at, sheet: image, raw: null, columns, width, height, entry };
  if (COLOURED[name]) colourNumbers(layer, spaceOf(sample, name));
  return layer;
}

function colourNumbers(layer, space) {
  const sheet = make("canvas", { width: layer.sheet.naturalWidth, height: layer.sheet.naturalHeight });
  const context = sheet.getContext("2d", { willReadFrequently: true });
  context.drawImage(layer.sheet, 0, 0);
  const picture = context.getImageData(0, 0, sheet.width, sheet.height);
  layer.raw = { pixels: picture.data.slice(), width: sheet.width };
  const pixels = picture.data;
  const table = COLOURED[layer.name] === "classes" ? segmTable(space) : null;
  for (let i = 0; i < pixels.length; i += 4) {
    if (table) {
      const colour = table(pixels[i] + 256 * pixels[i + 1]);
      pixels[i] = colour[0]; pixels[i + 1] = colour[1]; pixels[i + 2] = colour[2];
    } else {
      const at = 3 * pixels[i];
      pixels[i] = DATA.ramp[at]; pixels[i + 1] = DATA.ramp[at + 1]; pixels[i + 2] = DATA.ramp[at + 2];
    }
  }
  context.putImageData(picture, 0, 0);
  layer.sheet = sheet;
}

function segmTable(space) {
  const known = new Map();
  return (id) => {
    if (!known.has(id)) known.set(id, rgbOf(classColour(space, id)));
    return known.get(id);
  };
}

/** Corner of a preview frame's tile in the sheet, or null where the layer lacks that frame. */
function tileAt(layer, index) {
  const place = layer.at.indexOf(index);
  if (place < 0) return null;
  return [(place % layer.columns) * layer.width, Math.floor(place / layer.columns) * layer.height];
}

function drawTile(context, layer, index, width, height) {
  const corner = tileAt(layer, index);
  if (!corner) return false;
  context.imageSmoothingEnabled = COLOURED[layer.name] !== "classes";
  context.drawImage(layer.sheet, ...corner, layer.width, layer.height, 0, 0, width, height);
  return true;
}

/** The numbers of a pixel: [red, green, blue, alpha] as stored, or null. */
function numbersAt(layer, index, x, y) {
  const corner = tileAt(layer, index);
  if (!corner || !layer.raw) return null;
  const at = 4 * ((corner[1] + y) * layer.raw.width + corner[0] + x);
  return layer.raw.pixels.slice(at, at + 4);
}

function boxColour(sample, box) {
  const [, , , , id, track] = box;
  return id >= 0 ? classColour(spaceOf(sample, "boxes"), id) : classColour(null, track);
}

function boxText(sample, box) {
  const [, , , , id, , role, side, contact, score] = box;
  const kinds = ["object", "active object", "hand", "person"];
  const name = id >= 0 ? className(spaceOf(sample, "boxes"), id) : kinds[role] || "";
  const word = ["left ", "right "][side] || "";
  const sure = score >= 0 ? " " + (score / 100).toFixed(2) : "";
  return ((name.startsWith(word) ? name : word + name) + (contact === 1 ? ", in contact" : "") + sure).trim();
}

function drawBoxes(context, sample, index, width, height, named) {
  const line = Math.max(1, width / 320);
  context.font = `${Math.max(10, width / 46)}px system-ui, sans-serif`;
  context.textBaseline = "top";
  for (const box of sample.boxes[index] || []) {
    const [x1, x2] = [box[0], box[2]].map((v) => (v / COORDINATES) * width);
    const [y1, y2] = [box[1], box[3]].map((v) => (v / COORDINATES) * height);
    context.lineWidth = line * 2;
    context.strokeStyle = "#000a";
    context.strokeRect(x1, y1, x2 - x1, y2 - y1);
    context.lineWidth = line;
    context.strokeStyle = boxColour(sample, box);
    context.strokeRect(x1, y1, x2 - x1, y2 - y1);
    const text = named ? boxText(sample, box) : "";
    if (!text) continue;
    const colour = boxColour(sample, box);
    const size = parseFloat(context.font);
    const [x, y] = [Math.min(x1, width - context.measureText(text).width - 8), Math.max(0, y1 - size - 5)];
    context.fillStyle = colour;
    context.fillRect(x, y, context.measureText(text).width + 8, size + 5);
    context.fillStyle = isBright(colour) ? "#000" : "#fff";
    context.fillText(text, x + 4, y + 2.5);
  }
}

/** Whether black text is easier to read on a colour than white (relative luminance, WCAG 2). */
function isBright(hex) {
  const [r, g, b] = rgbOf(hex).map((v) => (v <= 10 ? v / 3294 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179;
}

function drawPose(context, sample, index, width, height) {
  const { names, parents, colours } = DATA.joints;
  const side = (joint) => colours[names[joint].includes("Left") ? 0 : names[joint].includes("Right") ? 1 : 2];
  const radius = Math.max(1.5, width / 200);
  context.lineCap = "round";
  for (const person of sample.joints.people[index] || []) {
    const known = (joint) => person[2 * joint] !== UNKNOWN;
    const x = (joint) => (person[2 * joint] / COORDINATES) * width;
    const y = (joint) => (person[2 * joint + 1] / COORDINATES) * height;
    parents.forEach((parent, joint) => {
      if (parent < 0 || !known(joint) || !known(parent)) return;
      for (const [extra, colour] of [[2, "#000a"], [0, side(joint)]]) {
        context.lineWidth = radius + extra;
        context.strokeStyle = colour;
        context.beginPath();
        context.moveTo(x(parent), y(parent));
        context.lineTo(x(joint), y(joint));
        context.stroke();
      }
    });
    parents.forEach((_, joint) => {
      if (!known(joint)) return;
      context.fillStyle = side(joint);
      context.beginPath();
      context.arc(x(joint), y(joint), radius * 1.2, 0, 2 * Math.PI);
      context.fill();
    });
  }
}
