// Drawing over pictures: heat maps, boxes, masks.

// heatColors goes from nothing (black) to much (white), with growing brightness, so that
// color-blind people see it too. They are those of the command resnet explain.
const heatColors = "000000 150d30 1a135d 12168f 2816b7 510bd5 9900b9 cd0065 e32f3c ee4e3b fa6a39 fe8834 f9a82c f2c51e f6db59 ffedae ffffff"
  .split(" ").map((c) => [0, 2, 4].map((i) => parseInt(c.slice(i, i + 2), 16)));

// top returns the value of the brightest color: the 99th percentile, so that a few
// extremes do not darken the rest.
function top(values) {
  const sorted = Float64Array.from(values).sort();
  const v = sorted[Math.min(Math.floor(sorted.length * 99 / 100), sorted.length - 1)];
  return v > 0 ? v : Math.max(sorted[sorted.length - 1], 0);
}

// heatMap returns a canvas with the map in colors, enlarged (bilinear, pixel centers).
function heatMap({ values, width: w, height: h }) {
  const out = new OffscreenCanvas(256, Math.max(1, Math.round(256 * h / w)));
  const context = out.getContext("2d");
  const pixels = context.createImageData(out.width, out.height);
  const most = top(values);
  for (let y = 0, p = 0; y < out.height; y++) {
    const fy = Math.min(Math.max((y + 0.5) * h / out.height - 0.5, 0), h - 1), y0 = Math.floor(fy), y1 = Math.min(y0 + 1, h - 1);
    for (let x = 0; x < out.width; x++, p += 4) {
      const fx = Math.min(Math.max((x + 0.5) * w / out.width - 0.5, 0), w - 1), x0 = Math.floor(fx), x1 = Math.min(x0 + 1, w - 1);
      const a = values[y0 * w + x0], b = values[y0 * w + x1], c = values[y1 * w + x0], d = values[y1 * w + x1];
      const v = (1 - (fy - y0)) * (a + (fx - x0) * (b - a)) + (fy - y0) * (c + (fx - x0) * (d - c));
      const at = most > 0 ? Math.min(Math.max(v / most, 0), 1) * (heatColors.length - 1) : 0;
      const i = Math.min(Math.floor(at), heatColors.length - 2);
      for (let k = 0; k < 3; k++) {
        pixels.data[p + k] = heatColors[i][k] + (at - i) * (heatColors[i + 1][k] - heatColors[i][k]);
      }
      pixels.data[p + 3] = 255;
    }
  }
  context.putImageData(pixels, 0, 0);
  return out;
}

// drawHeat draws an explanation over the part of the picture that the model sees, and
// darkens the rest, which it does not see.
export function drawHeat(canvas, explanation, opacity) {
  const c = canvas.getContext("2d"), W = canvas.width, H = canvas.height;
  const [x, y, w, h] = explanation.region;
  const part = [x * W, y * H, w * W, h * H];
  c.clearRect(0, 0, W, H);
  c.fillStyle = "rgb(0 0 0 / .55)";
  c.fillRect(0, 0, W, H);
  c.clearRect(...part);
  c.globalAlpha = opacity;
  c.imageSmoothingQuality = "high";
  c.drawImage(heatMap(explanation), ...part);
  c.globalAlpha = 1;
  if (x > 0.002 || y > 0.002) {
    c.lineWidth = 2;
    c.strokeStyle = "#fff";
    c.strokeRect(...part);
  }
}

// classColor returns the color of a class: that of Pascal VOC's masks, which the server
// uses, too.
export function classColor(index) {
  const c = [0, 0, 0];
  for (let bit = 7, v = index & 255; v > 0; bit--, v >>= 3) {
    for (let k = 0; k < 3; k++) {
      c[k] |= ((v >> k) & 1) << bit;
    }
  }
  return c;
}

export const css = ([r, g, b]) => `rgb(${r} ${g} ${b})`;

// objectColor returns a color for the boxes of a class that is seen on any picture.
export function objectColor(index) {
  return `hsl(${(index * 137.508) % 360} 95% 72%)`;
}

// runs returns the lengths of the runs in COCO's compressed form of a mask.
export function runs(counts) {
  const out = [];
  for (let p = 0; p < counts.length;) {
    let x = 0, k = 0, c;
    do {
      c = counts.charCodeAt(p++) - 48;
      x += (c & 31) * 2 ** (5 * k++);
    } while (c & 32 && p < counts.length);
    if (c & 16) {
      x -= 2 ** (5 * k);
    }
    if (out.length > 2) {
      x += out[out.length - 2];
    }
    out.push(x);
  }
  return out;
}

// maskPixels returns a mask of 0 and 1, row by row, of width w and height h: every pixel
// is the one of the mask at its center.
export function maskPixels({ size: [H, W], counts }, w, h) {
  const out = new Uint8Array(w * h);
  const ends = [];
  let end = 0;
  for (const n of runs(counts)) {
    ends.push(end += n);
  }
  for (let x = 0; x < w; x++) {
    const column = Math.floor((x + 0.5) * W / w) * H;
    let run = 0, low = 0, high = ends.length;
    while (low < high) { // the first run that ends after the column's top
      const middle = (low + high) >> 1;
      if (ends[middle] > column) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    run = low;
    for (let y = 0; y < h; y++) {
      const place = column + Math.floor((y + 0.5) * H / h);
      while (run < ends.length && ends[run] <= place) {
        run++;
      }
      out[y * w + x] = run & 1;
    }
  }
  return out;
}

// drawObjects draws the boxes and masks of objects; lit is the index of the one to stress.
export function drawObjects(canvas, { width, height, objects }, threshold, opacity, lit) {
  const c = canvas.getContext("2d"), W = canvas.width, H = canvas.height;
  c.clearRect(0, 0, W, H);
  const shown = objects.map((o, i) => [o, i]).filter(([o]) => o.score >= threshold);
  for (const [o] of shown.toReversed()) {
    if (o.mask) {
      paintMask(c, o, W, H, opacity);
    }
  }
  drawBoxes(canvas, { width, height, objects }, shown.map(([, i]) => i), lit);
}

// drawBoxes draws the boxes and names of the objects with these numbers.
export function drawBoxes(canvas, { width, height, objects }, numbers, lit) {
  const c = canvas.getContext("2d"), W = canvas.width, H = canvas.height;
  const shown = numbers.map((i) => [objects[i], i]);
  const unit = W / canvas.clientWidth || 1; // pixels of the canvas for one on the screen
  c.font = `600 ${13 * unit}px system-ui, sans-serif`;
  c.textBaseline = "top";
  for (const [o, i] of shown.toReversed()) {
    const [x, y, w, h] = [o.box[0] * W / width, o.box[1] * H / height, o.box[2] * W / width, o.box[3] * H / height];
    const color = objectColor(o.index);
    c.lineWidth = (i === lit ? 6 : 4) * unit;
    c.strokeStyle = "#000";
    c.strokeRect(x, y, w, h);
    c.lineWidth = (i === lit ? 4 : 2) * unit;
    c.strokeStyle = color;
    c.strokeRect(x, y, w, h);
  }
  const taken = [];
  for (const [o, i] of shown) {
    if (taken.length >= 12 && i !== lit) {
      continue; // more labels than this hide the picture; the list has them all
    }
    const text = `${i + 1} ${o.class}`, wide = c.measureText(text).width + 8 * unit, tall = 18 * unit;
    const x = Math.min(Math.max(o.box[0] * W / width, 0), Math.max(W - wide, 0));
    let y = Math.min(Math.max(o.box[1] * H / height - tall, 0), Math.max(H - tall, 0));
    for (const t of taken) { // below a label that is in the way
      if (x < t.x + t.wide && x + wide > t.x && y < t.y + tall && y + tall > t.y) {
        y = t.y + tall;
      }
    }
    taken.push({ x, y, wide });
    c.fillStyle = objectColor(o.index);
    c.fillRect(x, y, wide, tall);
    c.fillStyle = "#000";
    c.fillText(text, x + 4 * unit, y + 2.5 * unit);
  }
}

function paintMask(context, object, W, H, opacity) {
  const sheet = new OffscreenCanvas(W, H), c = sheet.getContext("2d");
  const inside = maskPixels(object.mask, W, H);
  c.fillStyle = objectColor(object.index);
  c.fillRect(0, 0, 1, 1);
  const [r, g, b] = c.getImageData(0, 0, 1, 1).data;
  const pixels = c.createImageData(W, H);
  for (let i = 0; i < inside.length; i++) {
    if (inside[i]) {
      pixels.data.set([r, g, b, 255], 4 * i);
    }
  }
  c.putImageData(pixels, 0, 0);
  context.globalAlpha = opacity;
  context.drawImage(sheet, 0, 0);
  context.globalAlpha = 1;
}

// drawClasses draws the mask of a segmentation, if current still returns true when it is
// decoded: its background is left clear.
export async function drawClasses(canvas, mask, opacity, current) {
  const image = new Image();
  image.src = mask;
  await image.decode();
  if (!current()) {
    return;
  }
  const sheet = new OffscreenCanvas(canvas.width, canvas.height), s = sheet.getContext("2d");
  s.imageSmoothingEnabled = false; // between two classes there is no third
  s.drawImage(image, 0, 0, sheet.width, sheet.height);
  const pixels = s.getImageData(0, 0, sheet.width, sheet.height), d = pixels.data;
  for (let i = 0; i < d.length; i += 4) {
    d[i + 3] = d[i] || d[i + 1] || d[i + 2] ? 255 : 0;
  }
  s.putImageData(pixels, 0, 0);
  const c = canvas.getContext("2d");
  c.clearRect(0, 0, canvas.width, canvas.height);
  c.globalAlpha = opacity;
  c.drawImage(sheet, 0, 0);
  c.globalAlpha = 1;
}
