'use strict';
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const $ = id => document.getElementById(id);
  const n = data.names.length;
  const perSheet = data.columns * data.columns;
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const canvas = $('canvas'), pen = canvas.getContext('2d');
  const view = { zoom: 1, x: 0.5, y: 0.5 }; // the middle of the map, 0 to 1
  let by = data.classes.length ? 'class' : 'group';
  let only = -1, chosen = -1, hovered = -1, found = null, waiting = false;
  let width = 0, height = 0;

  // Pictures: squares of sheets.
  const tiles = [];
  const sheets = data.sheets.map(code => {
    const image = new Image();
    image.addEventListener('load', () => { tiles.forEach(t => t()); redraw(); });
    image.src = 'data:image/jpeg;base64,' + code;
    return image;
  });
  const place = i => {
    const k = i % perSheet;
    return [sheets[Math.floor(i / perSheet)], k % data.columns * data.cell + data.edge, Math.floor(k / data.columns) * data.cell + data.edge, data.sizes[2 * i], data.sizes[2 * i + 1]];
  };
  function paint(ctx, i, x, y, side) { // into a square
    const [image, sx, sy, w, h] = place(i);
    if (!image.complete || !image.naturalWidth) return false;
    const f = side / Math.max(w, h);
    ctx.imageSmoothingEnabled = f < 3;
    ctx.drawImage(image, sx, sy, w, h, x + (side - w * f) / 2, y + (side - h * f) / 2, w * f, h * f);
    return true;
  }
  function tile(i, side, fit) { // fit: no larger than the picture's own form
    const c = document.createElement('canvas');
    const [, , , w, h] = place(i), f = side / Math.max(w, h), r = Math.min(2, devicePixelRatio || 1);
    const tw = fit ? w * f : side, th = fit ? h * f : side;
    c.className = 'tile';
    c.width = Math.max(1, Math.round(tw * r)); c.height = Math.max(1, Math.round(th * r));
    c.style.width = tw + 'px';
    c.style.aspectRatio = c.width + ' / ' + c.height;
    c.setAttribute('role', 'img');
    c.setAttribute('aria-label', data.names[i]);
    const draw = () => {
      const ctx = c.getContext('2d'), s = side * r;
      if (fit) ctx.setTransform(1, 0, 0, 1, -(s - c.width) / 2, -(s - c.height) / 2);
      return paint(ctx, i, 0, 0, s);
    };
    if (!draw()) tiles.push(draw);
    return c;
  }

  // Names and colors.
  const group = i => by === 'class' ? data.labels[i] : data.clusters_of[i];
  const groups = () => by === 'class' ? data.classes : data.clusters.map((_, k) => 'group ' + (k + 1));
  const color = k => k < 0 ? (dark.matches ? '#8a929c' : '#7b838e') : `hsl(${Math.round(k * 137.508 + 210) % 360} ${dark.matches ? 70 : 75}% ${(dark.matches ? 62 : 40) + (k % 3 - 1) * 7}%)`;
  const base = name => name.slice(name.lastIndexOf('/') + 1);
  const percent = v => `${Math.round(100 * v)} %`;
  const node = (tag, text, ...children) => {
    const e = document.createElement(tag);
    if (text) e.textContent = text;
    e.append(...children);
    return e;
  };
  const dot = k => { const e = node('span'); e.className = 'dot'; e.style.background = color(k); return e; };

  // The map.
  const side = () => Math.max(40, Math.min(width, height) - 56);
  const px = i => (data.x[i] / 65535 - view.x) * side() * view.zoom + width / 2;
  const py = i => (data.y[i] / 65535 - view.y) * side() * view.zoom + height / 2;
  const faint = i => only >= 0 && group(i) !== only || found && !found.has(i);
  function redraw() {
    if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; draw(); }); }
  }
  function draw() {
    const box = $('stage').getBoundingClientRect(), ratio = devicePixelRatio || 1;
    width = box.width; height = box.height;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio);
    }
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    canvas.style.touchAction = view.zoom > 1.01 ? 'none' : 'pan-y';
    const seen = [];
    for (let i = 0; i < n; i++) {
      const x = px(i), y = py(i);
      if (x > -60 && y > -60 && x < width + 60 && y < height + 60) seen.push(i);
    }
    const radius = Math.max(2, Math.min(5, 1.6 * Math.sqrt(view.zoom) * (n > 3000 ? 1 : 1.6)));
    for (const clear of [false, true]) {
      pen.globalAlpha = clear ? 0.9 : 0.13;
      for (const i of seen) {
        if (faint(i) === clear) continue;
        pen.fillStyle = color(group(i));
        pen.beginPath(); pen.arc(px(i), py(i), radius, 0, 7); pen.fill();
      }
    }
    pen.globalAlpha = 1;
    const size = thumb();
    if ($('pictures').checked) { // one for each place of a grid, so that none hides another
      const taken = {};
      for (const i of seen) {
        if (faint(i)) continue;
        const x = px(i), y = py(i), gx = Math.round(x / size), gy = Math.round(y / size);
        let free = true;
        for (let a = -1; a <= 1 && free; a++) for (let b = -1; b <= 1 && free; b++) {
          const o = taken[(gx + a) + ',' + (gy + b)];
          free = o === undefined || Math.abs(px(o) - x) >= size + 2 || Math.abs(py(o) - y) >= size + 2;
        }
        if (!free) continue;
        taken[gx + ',' + gy] = i;
        framed(i, size, color(group(i)), 2);
      }
    }
    if (hovered >= 0 && hovered !== chosen) framed(hovered, size, ink(), 2);
    if (chosen >= 0) framed(chosen, Math.max(size, 44), ink(), 4);
  }
  const ink = () => getComputedStyle(document.body).color;
  const thumb = () => Math.max(22, Math.min(64, 26 * Math.pow(view.zoom, 0.35)));
  function framed(i, size, stroke, wide) {
    const x = px(i) - size / 2, y = py(i) - size / 2, [, , , w, h] = place(i), f = size / Math.max(w, h);
    if (!paint(pen, i, x, y, size)) return;
    pen.strokeStyle = stroke; pen.lineWidth = wide;
    pen.strokeRect(x + (size - w * f) / 2, y + (size - h * f) / 2, w * f, h * f);
  }
  function at(x, y, reach) {
    let best = -1, least = reach * reach;
    for (let i = 0; i < n; i++) {
      if (faint(i)) continue;
      const d = (px(i) - x) ** 2 + (py(i) - y) ** 2;
      if (d < least) { least = d; best = i; }
    }
    return best;
  }
  function zoomAt(factor, x, y) {
    const zoom = Math.max(1, Math.min(200, view.zoom * factor)), s = side();
    const mx = (x - width / 2) / (s * view.zoom) + view.x, my = (y - height / 2) / (s * view.zoom) + view.y;
    view.x = mx - (x - width / 2) / (s * zoom); view.y = my - (y - height / 2) / (s * zoom);
    view.zoom = zoom;
    bound(); tip(-1); redraw();
  }
  function bound() {
    if (view.zoom <= 1) { view.x = view.y = 0.5; }
    view.x = Math.max(0, Math.min(1, view.x)); view.y = Math.max(0, Math.min(1, view.y));
  }

  // Hover, press, drag, pinch.
  const fingers = new Map();
  let moved = 0, spread = 0;
  const spot = e => { const b = canvas.getBoundingClientRect(); return [e.clientX - b.left, e.clientY - b.top]; };
  const gap = () => { const [a, b] = [...fingers.values()]; return Math.hypot(a[0] - b[0], a[1] - b[1]); };
  canvas.addEventListener('pointerdown', e => {
    canvas.setPointerCapture(e.pointerId);
    fingers.set(e.pointerId, spot(e));
    if (fingers.size === 1) moved = 0;
    if (fingers.size === 2) { spread = gap(); moved = 99; }
  });
  canvas.addEventListener('pointermove', e => {
    const [x, y] = spot(e), old = fingers.get(e.pointerId);
    if (!old) { tip(at(x, y, Math.max(14, thumb() * 0.72)), x, y); return; }
    fingers.set(e.pointerId, [x, y]);
    if (fingers.size === 2) {
      const now = gap(), [a, b] = [...fingers.values()];
      if (spread > 0 && now > 0) zoomAt(now / spread, (a[0] + b[0]) / 2, (a[1] + b[1]) / 2);
      spread = now;
    }
    moved += Math.abs(x - old[0]) + Math.abs(y - old[1]);
    if (moved > 5) {
      view.x -= (x - old[0]) / fingers.size / (side() * view.zoom); view.y -= (y - old[1]) / fingers.size / (side() * view.zoom);
      bound(); tip(-1); redraw();
    }
  });
  canvas.addEventListener('pointerup', e => {
    const [x, y] = spot(e);
    if (fingers.delete(e.pointerId) && moved <= 5) {
      const i = at(x, y, Math.max(e.pointerType === 'mouse' ? 14 : 24, thumb() * 0.72));
      tip(-1);
      if (i >= 0) {
        choose(i, false);
        if (e.pointerType !== 'mouse') tip(i, x, y); // the panel may be out of sight
      }
    }
  });
  canvas.addEventListener('pointercancel', e => fingers.delete(e.pointerId));
  canvas.addEventListener('pointerleave', e => { if (e.pointerType === 'mouse') tip(-1); });
  canvas.addEventListener('wheel', e => {
    const [x, y] = spot(e);
    if (e.deltaY > 0 && view.zoom <= 1) return; // the page scrolls on
    e.preventDefault();
    zoomAt(Math.exp(-e.deltaY * (e.deltaMode ? 0.05 : 0.0022)), x, y);
  }, { passive: false });
  function tip(i, x, y) {
    const box = $('tip');
    if (i !== hovered) {
      hovered = i; redraw();
      box.replaceChildren();
      if (i >= 0) box.append(tile(i, 120, true), node('div', base(data.names[i])), ...(data.labels[i] >= 0 ? [node('div', data.classes[data.labels[i]])] : []));
    }
    box.hidden = i < 0;
    if (i < 0) return;
    box.style.left = Math.max(4, x + 16 + box.offsetWidth > width ? x - 16 - box.offsetWidth : x + 16) + 'px';
    box.style.top = Math.max(4, Math.min(y + 12, height - box.offsetHeight - 4)) + 'px';
  }
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.addEventListener('keydown', e => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const go = steps[e.key];
    if (go) {
      let best = chosen < 0 ? at(width / 2, height / 2, 1e9) : -1, least = Infinity;
      if (chosen >= 0) {
        const x = px(chosen), y = py(chosen);
        for (let i = 0; i < n; i++) {
          const dx = px(i) - x, dy = py(i) - y, along = dx * go[0] + dy * go[1], across = Math.abs(dx * go[1]) + Math.abs(dy * go[0]);
          if (i === chosen || faint(i) || along <= 0 || across > along) continue;
          if (along + 2 * across < least) { least = along + 2 * across; best = i; }
        }
      }
      if (best >= 0) choose(best, true);
    } else if (e.key === '+' || e.key === '=') zoomAt(1.5, chosen >= 0 ? px(chosen) : width / 2, chosen >= 0 ? py(chosen) : height / 2);
    else if (e.key === '-') zoomAt(1 / 1.5, width / 2, height / 2);
    else if (e.key === '0') whole();
    else return;
    e.preventDefault();
  });
  function whole() { view.zoom = 1; bound(); redraw(); }
  $('in').addEventListener('click', () => zoomAt(1.6, width / 2, height / 2));
  $('out').addEventListener('click', () => zoomAt(1 / 1.6, width / 2, height / 2));
  $('whole').addEventListener('click', whole);
  $('pictures').addEventListener('change', redraw);
  $('find').addEventListener('input', () => {
    const want = $('find').value.trim().toLowerCase();
    found = null;
    if (want) {
      found = new Set();
      data.names.forEach((name, i) => { if (name.toLowerCase().includes(want)) found.add(i); });
      $('said').textContent = `${found.size} of ${n} names have “${want}”.`;
    }
    redraw();
  });

  // The chosen picture.
  function choose(i, show) {
    chosen = i;
    if (show) { // keep it in view
      const x = px(i), y = py(i), edge = 40;
      if (x < edge || y < edge || x > width - edge || y > height - edge) { view.x = data.x[i] / 65535; view.y = data.y[i] / 65535; bound(); }
    }
    $('said').textContent = data.names[i];
    $('big').replaceChildren(tile(i, Math.min(280, 4 * Math.max(data.sizes[2 * i], data.sizes[2 * i + 1])), true));
    const facts = [];
    if (data.labels[i] >= 0) facts.push(['class', data.classes[data.labels[i]]]);
    facts.push(['group', `${data.clusters_of[i] + 1}, ${data.clusters[data.clusters_of[i]].about}`]);
    $('facts').replaceChildren(...facts.flatMap(([k, v]) => [node('dt', k), node('dd', v)]));
    const near = [];
    for (let k = 0; k < data.near_count; k++) {
      const j = data.near[i * data.near_count + k];
      if (j >= 0) near.push([j, data.similar[i * data.near_count + k] / 100]);
    }
    $('near-title').hidden = !near.length;
    $('near').replaceChildren(...near.map(([j, s]) => item(j, s.toFixed(2))));
    document.querySelectorAll('.tiles button').forEach(b => b.toggleAttribute('aria-current', false));
    document.querySelectorAll(`.tiles button[data-i="${i}"]`).forEach(b => b.setAttribute('aria-current', 'true'));
    redraw();
  }
  function item(i, note) {
    const b = node('button', '', tile(i, 80));
    b.type = 'button';
    b.dataset.i = i;
    b.title = data.names[i];
    b.append(node('span', base(data.names[i])));
    if (note) b.append(node('span', note));
    b.addEventListener('click', () => choose(i, true));
    return node('li', '', b);
  }

  // The lists.
  function none(id, text) { const p = node('p', text); p.className = 'hint'; $(id).replaceWith(p); }
  function legend() {
    const counts = new Map();
    for (let i = 0; i < n; i++) counts.set(group(i), (counts.get(group(i)) || 0) + 1);
    $('legend').replaceChildren(...groups().map((name, k) => {
      const count = node('span', String(counts.get(k) || 0));
      count.className = 'count';
      const b = node('button', '', dot(k), node('span', name), count);
      b.type = 'button';
      b.setAttribute('aria-pressed', String(only === k));
      b.addEventListener('click', () => {
        only = only === k ? -1 : k;
        [...$('legend').querySelectorAll('button')].forEach((o, m) => o.setAttribute('aria-pressed', String(only === m)));
        redraw();
      });
      return node('li', '', b);
    }));
  }
  function lists() {
    $('clusters').replaceChildren(...data.clusters.map((c, k) => {
      const ul = node('ul', '', ...c.typical.map(i => item(i)));
      ul.className = 'tiles';
      const about = node('span', c.about);
      about.className = 'count';
      const e = node('div', '', node('h3', '', ...(by === 'group' ? [dot(k)] : []), node('span', 'Group ' + (k + 1)), about), ul);
      e.className = 'cluster';
      return e;
    }));
  }
  if (data.classes.length) {
    for (const [value, text] of [['class', 'class'], ['group', 'group']]) {
      const o = node('option', text);
      o.value = value;
      $('by').append(o);
    }
    $('by').addEventListener('change', () => { by = $('by').value; only = -1; legend(); lists(); redraw(); });
    if (data.mislabeled.length) $('mislabeled').replaceChildren(...data.mislabeled.map(m => item(m.picture, `${data.classes[data.labels[m.picture]]} → ${data.classes[m.instead]}`)));
    else none('mislabeled', 'None found.');
  } else {
    $('by-field').hidden = true;
    $('mislabeled-card').hidden = true;
  }
  if (data.duplicates.length) {
    $('duplicates').replaceChildren(...data.duplicates.map(g => {
      const ul = node('ul', '', ...g.map(i => item(i, data.labels[i] >= 0 ? data.classes[data.labels[i]] : '')));
      ul.className = 'tiles group';
      return ul;
    }));
  } else none('duplicates', 'None found.');
  if (data.outliers.length) $('outliers').replaceChildren(...data.outliers.map(i => item(i)));
  else none('outliers', 'None found.');
  legend();
  lists();
  new ResizeObserver(redraw).observe($('stage'));
  dark.addEventListener('change', () => { legend(); lists(); redraw(); });
  redraw();
  document.body.dataset.ready = 'true';
})();
