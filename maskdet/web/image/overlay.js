// An image with its faces: boxes and list are linked, classes can be hidden, the wheel
// zooms. Everything happens in the browser; new data come with each run of the page.
const SVG = 'http://www.w3.org/2000/svg';
const MAX_ZOOM = 16;
const DASHES = { dashed: '9 5', dotted: '2 4' };

const element = (name, attributes = {}, ...children) => {
  const result = document.createElement(name);
  for (const key in attributes) result.setAttribute(key, attributes[key]);
  result.append(...children);
  return result;
};
const shape = (name, attributes) => {
  const result = document.createElementNS(SVG, name);
  for (const key in attributes) result.setAttribute(key, attributes[key]);
  return result;
};
const ruler = document.createElement('canvas').getContext('2d');

// A probability as a bar below its name and number.
const meter = ([title, text, fraction, colour]) => {
  const bar = element('i');
  bar.style.width = `${100 * fraction}%`;
  bar.style.background = colour;
  return element('div', { class: 'meter' }, element('span', {}, title), element('span', {}, text), bar);
};

class Overlay {
  constructor(root) {
    this.root = root;
    this.stage = root.querySelector('.stage');
    this.view = root.querySelector('.view');
    this.image = root.querySelector('img');
    this.svg = root.querySelector('svg');
    this.chips = root.querySelector('.chips');
    this.tip = root.querySelector('.tip');
    this.rows = root.querySelector('tbody');
    this.hidden = new Set();
    this.selected = this.hovered = -1;
    this.showsBoxes = true;
    this.resetView();
    new ResizeObserver(() => this.paint()).observe(this.stage);
    this.stage.addEventListener('wheel', (event) => this.wheel(event), { passive: false });
    this.stage.onpointerdown = (event) => this.press(event);
    this.stage.onpointermove = (event) => this.drag(event);
    this.stage.onpointerup = this.stage.onpointercancel = () => { this.pointers.clear(); };
    this.stage.ondblclick = () => { this.resetView(); this.paint(); };
    this.stage.onkeydown = (event) => this.key(event);
    this.rows.onkeydown = (event) => this.key(event);
  }

  update(data) {
    if (data.image !== this.data?.image) {
      this.image.src = data.image;
      this.selected = this.hovered = -1;
      this.resetView();
    }
    this.image.alt = data.alt;
    // Another threshold can move the selected face to another row.
    const box = String(this.data?.faces[this.selected]?.box);
    this.selected = data.faces.findIndex((face) => String(face.box) === box);
    if (data.boxes !== this.data?.boxes) this.showsBoxes = data.boxes;
    this.data = data;
    this.root.querySelector('.panes').classList.toggle('with-faces', data.faces.length > 0);
    this.root.querySelector('.list').hidden = !data.faces.length;
    this.svg.setAttribute('viewBox', `0 0 ${data.width} ${data.height}`);
    this.stage.style.aspectRatio = `${data.width} / ${data.height}`;
    // A tall image must not push everything below out of sight.
    this.stage.style.maxWidth = `calc(70vh * ${data.width / data.height})`;
    this.renderList();
    this.paint();
  }

  resetView() {
    this.zoom = 1;
    this.pan = [0, 0];
    this.pointers = new Map();
  }

  // The classes with their numbers, and the buttons of the view.
  renderLegend() {
    const button = (name, label, pressed, act) => {
      const chip = element('button', { type: 'button', class: name, 'aria-pressed': pressed }, ...label);
      chip.onclick = () => { act(); this.renderList(); this.paint(); };
      return chip;
    };
    const focused = [...this.chips.children].indexOf(this.root.getRootNode().activeElement);
    const chips = this.data.classes.map(({ key, title, colour, line }) => {
      const count = this.data.faces.filter((face) => face.key === key).length;
      const sample = element('i');
      sample.style.border = `3px ${line} ${colour}`;
      const chip = button('chip', [sample, title, element('b', {}, count)], !this.hidden.has(key), () => {
        if (!this.hidden.delete(key)) this.hidden.add(key);
      });
      chip.disabled = !count;
      return chip;
    });
    chips.push(button('tool', ['Boxes'], this.showsBoxes, () => { this.showsBoxes = !this.showsBoxes; }));
    this.chips.replaceChildren(...chips);
    this.chips.children[focused]?.focus();
  }

  renderList() {
    this.renderLegend();
    const rows = this.data.faces.map((face, i) => {
      const kind = this.data.classes.find(({ key }) => key === face.key);
      const swatch = element('i', { class: 'swatch' });
      swatch.style.background = kind.colour;
      const crop = element('img', { src: face.crop, alt: '', loading: 'lazy' });
      const name = element('td', {}, element('span', { class: 'name' }, swatch, face.title));
      if (i === this.selected) {
        name.append(...face.probs.map(meter), element('div', { class: 'size' }, face.size));
      }
      const row = element('tr', { tabindex: 0, 'aria-selected': i === this.selected },
        element('td', {}, i + 1), element('td', {}, crop), name,
        element('td', {}, meter(['', face.confidenceText, face.confidence, kind.colour])),
        element('td', {}, face.scoreText));
      row.hidden = this.hidden.has(face.key);
      row.onclick = () => this.select(i);
      row.onpointerenter = () => this.hover(i);
      row.onpointerleave = () => this.hover(-1);
      return row;
    });
    const focused = this.focusedRow();
    this.rows.replaceChildren(...rows);
    if (focused >= 0) this.rows.children[this.selected >= 0 ? this.selected : focused]?.focus();
  }

  select(i) {
    this.selected = this.selected === i ? -1 : i;
    this.renderList();
    this.paint();
    const row = this.rows.children[this.selected];
    if (!row) return;
    // Scrolls the list only: scrollIntoView would move the page as well.
    const box = this.rows.closest('.list');
    const top = row.offsetTop - box.clientHeight / 3;
    box.scrollTo({ top: Math.max(0, top) });
  }

  hover(i, onBox = false) {
    if (this.hovered === i && this.onBox === onBox) return;
    this.hovered = i;
    this.onBox = onBox;
    this.paint();
  }

  paint() {
    if (!this.data) return;
    const { width, height, faces } = this.data;
    const shown = this.stage.clientWidth || width;
    // Pixels of the image in one pixel of the screen: lines and text keep their size.
    const unit = width / shown / this.zoom;
    const [x, y] = this.pan;
    // A finger scrolls the page over the whole image, and moves an enlarged one.
    this.stage.style.touchAction = this.zoom > 1 ? 'none' : '';
    this.view.style.transform = `translate(${100 * x}%, ${100 * y}%) scale(${this.zoom})`;
    const layers = [];
    faces.forEach((face, i) => {
      if (this.showsBoxes && !this.hidden.has(face.key)) layers.push([i, this.drawBox(face, i, unit)]);
    });
    // What is pointed at lies on top.
    const rank = ([i]) => (i === this.hovered ? 2 : i === this.selected ? 1 : 0);
    layers.sort((a, b) => rank(a) - rank(b));
    this.svg.replaceChildren(...layers.map(([, group]) => group));
    const chosen = faces[this.selected];
    this.svg.classList.toggle('dim', Boolean(chosen) && !this.hidden.has(chosen.key));
    [...this.rows.children].forEach((row, i) => row.classList.toggle('hover', i === this.hovered));
    this.showTip(unit);
  }

  // The probabilities of the face under the pointer, beside its box.
  showTip(unit) {
    const face = this.data.faces[this.hovered];
    // The row of the list has them already.
    this.tip.hidden = !face || !this.onBox || !this.showsBoxes || this.hidden.has(face.key);
    if (this.tip.hidden) return;
    this.tip.replaceChildren(element('b', {}, `${this.hovered + 1}  ${face.title}`), ...face.probs.map(meter));
    const { clientWidth, clientHeight } = this.stage;
    const [left, top, right] = [0, 1, 2].map((k) => face.box[k] / unit
      + this.pan[k % 2] * (k % 2 ? clientHeight : clientWidth));
    const beside = right + 8 + this.tip.offsetWidth <= clientWidth ? right + 8 : left - 8 - this.tip.offsetWidth;
    this.tip.style.left = `${Math.max(0, beside)}px`;
    this.tip.style.top = `${Math.max(0, Math.min(top, clientHeight - this.tip.offsetHeight))}px`;
  }

  drawBox(face, i, unit) {
    const kind = this.data.classes.find(({ key }) => key === face.key);
    const [x, y, right, bottom] = face.box;
    const [width, height] = [right - x, bottom - y];
    const active = i === this.selected || i === this.hovered;
    const group = shape('g', { class: active ? 'face on' : 'face' });
    const line = (active ? 4 : 2.5) * unit;
    const ring = (inset, stroke, extra) => shape('rect', {
      x: x + inset, y: y + inset, width: Math.max(0, width - 2 * inset),
      height: Math.max(0, height - 2 * inset), rx: 3 * unit, fill: 'transparent', ...extra, stroke,
    });
    group.append(ring(0, '#000', { 'stroke-width': line + 2 * unit, 'stroke-opacity': 0.55 }));
    const dash = DASHES[kind.line]?.split(' ').map((n) => n * unit).join(' ');
    group.append(ring(0, kind.colour, { 'stroke-width': line, ...(dash && { 'stroke-dasharray': dash }) }));
    if (kind.line === 'double') group.append(ring(2 * line, kind.colour, { 'stroke-width': line / 2, 'pointer-events': 'none' }));
    const full = `${i + 1} ${face.caption}`;
    const fits = width / unit > this.measure(full);
    this.drawPlate(group, active || fits ? full : String(i + 1), face, kind, unit);
    group.onpointerenter = () => this.hover(i, true);
    group.onpointerleave = () => this.hover(-1);
    group.onclick = () => { if (!this.moved) this.select(i); };
    return group;
  }

  drawPlate(group, words, face, kind, unit) {
    const [x, y, , bottom] = face.box;
    const text = shape('text', { 'font-size': 13 * unit, fill: kind.ink });
    text.textContent = words;
    const width = (this.measure(words) + 10) * unit, height = 19 * unit;
    const left = Math.max(0, Math.min(x, this.data.width - width));
    const top = y > height + 2 * unit ? y - height - 2 * unit : bottom + 2 * unit;
    group.append(shape('rect', { x: left, y: top, width, height, rx: 4 * unit, fill: kind.colour }));
    text.setAttribute('x', left + 5 * unit);
    text.setAttribute('y', top + 14 * unit);
    group.append(text);
  }

  measure(words) {
    ruler.font = `600 13px ${getComputedStyle(this.root).fontFamily}`;
    return ruler.measureText(words).width;
  }

  // Zoom so that the point under the pointer stays where it is.
  zoomAt(factor, clientX, clientY) {
    const box = this.stage.getBoundingClientRect();
    const point = [(clientX - box.left) / box.width, (clientY - box.top) / box.height];
    const zoom = Math.min(MAX_ZOOM, Math.max(1, this.zoom * factor));
    this.pan = this.pan.map((p, axis) => point[axis] - (point[axis] - p) * (zoom / this.zoom));
    this.zoom = zoom;
    this.limit();
    this.paint();
  }

  limit() {
    this.pan = this.pan.map((p) => Math.min(0, Math.max(1 - this.zoom, p)));
  }

  wheel(event) {
    // At the ends of the range the page scrolls as usual.
    const zoomsIn = event.deltaY < 0;
    if (zoomsIn ? this.zoom >= MAX_ZOOM : this.zoom <= 1) return;
    event.preventDefault();
    this.zoomAt(Math.exp(-event.deltaY / 400), event.clientX, event.clientY);
  }

  press(event) {
    this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
    this.moved = false;
  }

  drag(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    if (!event.buttons) { // released outside
      this.pointers.delete(event.pointerId);
      return;
    }
    const now = [event.clientX, event.clientY];
    if (!this.moved && Math.hypot(now[0] - before[0], now[1] - before[1]) < 4) return;
    this.moved = true;
    this.stage.setPointerCapture(event.pointerId);
    const box = this.stage.getBoundingClientRect();
    if (this.pointers.size === 2) {
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
      const apart = (p) => Math.hypot(p[0] - other[0], p[1] - other[1]) || 1;
      this.zoomAt(apart(now) / apart(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    } else {
      this.pan = [this.pan[0] + (now[0] - before[0]) / box.width, this.pan[1] + (now[1] - before[1]) / box.height];
      this.limit();
      this.paint();
    }
    this.pointers.set(event.pointerId, now);
  }

  key(event) {
    const middle = () => {
      const box = this.stage.getBoundingClientRect();
      return [box.left + box.width / 2, box.top + box.height / 2];
    };
    const step = (by) => {
      const visible = this.data.faces.map((_, i) => i).filter((i) => !this.hidden.has(this.data.faces[i].key));
      if (!visible.length) return;
      const focused = this.focusedRow();
      const place = visible.indexOf(this.selected >= 0 ? this.selected : focused - by);
      const next = visible[Math.min(visible.length - 1, Math.max(0, place + by))];
      if (next !== this.selected) this.select(next);
    };
    const acts = {
      ArrowDown: () => step(1), ArrowRight: () => step(1), ArrowUp: () => step(-1), ArrowLeft: () => step(-1),
      '+': () => this.zoomAt(1.5, ...middle()), '-': () => this.zoomAt(1 / 1.5, ...middle()),
      0: () => { this.resetView(); this.paint(); },
      Escape: () => { if (this.selected >= 0) this.select(this.selected); },
      Enter: () => this.toggleFocused(), ' ': () => this.toggleFocused(),
    };
    if (!acts[event.key] || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    acts[event.key]();
  }

  focusedRow() {
    return [...this.rows.children].indexOf(this.rows.getRootNode().activeElement);
  }

  toggleFocused() {
    const focused = this.focusedRow();
    if (focused >= 0) this.select(focused);
  }
}

export default function ({ parentElement, data }) {
  const root = parentElement.querySelector('.overlay');
  root.overlay ??= new Overlay(root);
  root.overlay.update(data);
}
