// The annotated video with a time line of the people and the table of events. Clicks and
// keys seek in the browser; the page runs again only for the original, and for the
// moment whose distances are shown below.
const element = (name, attributes = {}, ...children) => {
  const result = document.createElement(name);
  for (const key in attributes) result.setAttribute(key, attributes[key]);
  result.append(...children);
  return result;
};
const TICKS_S = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600];
const TICK_PX = 64;
// A moment later than its time stamp, a frame is certainly shown.
const EPSILON_S = 0.002;

const clock = (time) => {
  const tenths = Math.round(10 * time);
  const [hours, minutes, seconds] = [36000, 600, 10].map((unit) => Math.floor(tenths / unit));
  const two = (number) => String(number % 60).padStart(2, '0');
  return `${hours ? `${hours}:${two(minutes)}` : minutes}:${two(seconds)}${tenths % 10 ? `.${tenths % 10}` : ''}`;
};

class Player {
  constructor(root) {
    this.root = root;
    for (const name of ['stage', 'legend', 'note', 'events', 'list', 'people', 'lanes', 'sheet', 'rows', 'tip']) {
      this[name] = root.querySelector(`.${name}`);
    }
    this.video = root.querySelector('video');
    this.button = root.querySelector('button');
    this.table = root.querySelector('tbody');
    this.track = root.querySelector('.now');
    this.line = root.querySelector('.now i');
    this.button.onclick = () => this.toggleOriginal();
    this.video.ontimeupdate = this.video.onseeking = () => this.paintTime();
    this.video.onplay = () => this.follow();
    this.video.onpause = this.video.onseeked = () => this.sendTime();
    this.video.onerror = () => this.showError();
    this.lanes.onkeydown = (event) => this.key(event);
    this.table.onkeydown = (event) => this.tableKey(event);
    this.sheet.onpointerdown = (event) => this.press(event);
    this.sheet.onpointermove = (event) => this.point(event);
    new ResizeObserver(() => this.renderAxis()).observe(this.sheet);
    this.sheet.onpointerleave = () => { this.tip.hidden = true; };
  }

  update(data, setState) {
    this.setState = setState;
    const isNew = data.number !== this.data?.number;
    const isSame = JSON.stringify(data) === this.json;
    this.data = data;
    this.json = JSON.stringify(data);
    if (isSame) return;
    if (isNew) {
      this.lane = this.row = -1;
      this.showsOriginal = this.wantsOriginal = false;
      this.message = '';
      this.load(data.video, 0, false);
    }
    this.stage.style.aspectRatio = `${data.width} / ${data.height}`;
    // A tall video must not push everything below out of sight.
    this.stage.style.maxWidth = `calc(60vh * ${data.width / data.height})`;
    this.renderLegend();
    this.renderLanes();
    this.renderEvents();
    if (this.showsOriginal && !data.original) this.show(false);
    if (this.wantsOriginal && data.original) this.show(true);
    this.renderButton();
    this.paintTime();
  }

  // --- The video ---

  load(url, time, plays) {
    this.loading = time;
    this.plays = plays;
    this.video.src = url;
    this.video.setAttribute('aria-label', this.showsOriginal ? 'Original video' : 'Annotated video');
    const turn = this.showsOriginal ? this.data.rotate : 0;
    this.video.style.setProperty('--turn', `${turn}deg`);
    this.video.classList.toggle('turned', turn !== 0);
    this.video.classList.toggle('sideways', turn % 180 !== 0);
    this.video.controls = turn === 0; // they would be turned too
    this.video.onclick = turn ? () => this.togglePlay() : null;
    this.video.onloadedmetadata = () => {
      this.video.currentTime = time;
      this.loading = null;
      if (plays) this.video.play().catch(() => {});
    };
  }

  toggleOriginal() {
    this.message = '';
    if (this.showsOriginal) this.show(false);
    else if (this.data.original) this.show(true);
    else {
      this.wantsOriginal = !this.wantsOriginal;
      this.setState('original', this.wantsOriginal);
    }
    this.renderButton();
  }

  show(original) {
    const time = this.time();
    const plays = this.loading === null ? !this.video.paused && !this.video.ended : this.plays;
    this.showsOriginal = original;
    this.wantsOriginal = false;
    this.video.defaultPlaybackRate = this.video.playbackRate; // loading resets the rate to it
    this.load(original ? this.data.original : this.data.video, time, plays);
  }

  renderButton() {
    this.button.hidden = !this.data.offersOriginal;
    this.button.setAttribute('aria-pressed', Boolean(this.showsOriginal || this.wantsOriginal));
    this.note.textContent = this.data.note || this.message;
  }

  showError() {
    if (!this.showsOriginal) return;
    this.loading ??= this.video.currentTime;
    this.show(false);
    this.message = 'This browser cannot play the original file.';
    this.renderButton();
  }

  time() { return this.loading ?? this.video.currentTime; }

  togglePlay() {
    if (this.video.paused) this.video.play().catch(() => {});
    else this.video.pause();
  }

  seek(time) {
    const end = Number.isFinite(this.video.duration) ? this.video.duration : this.data.duration;
    const target = Math.max(0, Math.min(time, end - EPSILON_S));
    // With a video that is not loaded yet, it starts there.
    if (this.loading !== null) this.loading = target;
    this.video.currentTime = target;
    this.paintTime();
  }

  sendTime() {
    this.paintTime();
    clearTimeout(this.timer);
    if (!this.data.sendsTime || !this.video.paused) return;
    this.timer = setTimeout(() => this.setState('time_s', Math.round(1000 * this.time()) / 1000), 200);
  }

  follow() {
    this.paintTime();
    if (!this.video.paused && this.root.isConnected) requestAnimationFrame(() => this.follow());
  }

  paintTime() {
    if (!this.data) return;
    const time = this.time();
    this.line.style.left = `${100 * Math.min(1, time / this.data.duration)}%`;
    const lane = this.data.lanes[this.lane];
    const kind = lane && this.data.classes[this.spanAt(lane, time)?.[2]];
    this.lanes.setAttribute('aria-valuenow', Math.round(10 * time) / 10);
    this.lanes.setAttribute('aria-valuetext',
      clock(time) + (lane ? `, ${lane.title}: ${kind ? kind.title : 'not in the video'}` : ''));
    this.markEvent(time);
  }

  // --- The time line ---

  renderLegend() {
    const used = new Set(this.data.lanes.flatMap(({ spans }) => spans.map(([, , kind]) => kind)));
    const keys = this.data.classes.filter((_, i) => used.has(i))
      .map((kind) => element('span', {}, this.pattern(kind), kind.title));
    const marks = new Set(this.data.lanes.flatMap((lane) => lane.marks.map(([, kind]) => kind)));
    for (const [kind, title] of [['contact', 'Contact'], ['alert', 'Alert']]) {
      if (marks.has(kind)) keys.push(element('span', {}, element('i', { class: `mark ${kind}` }), title));
    }
    this.legend.replaceChildren(...keys);
  }

  pattern(kind) {
    const result = element('i', { class: `span ${kind.line}` });
    result.style.backgroundColor = kind.colour;
    result.style.setProperty('--ink', kind.ink);
    return result;
  }

  renderLanes() {
    const percent = (time) => `${100 * Math.min(1, time / this.data.duration)}%`;
    const place = (node, time) => { node.style.left = percent(time); return node; };
    const lanes = this.data.lanes.map((lane) => {
      const track = element('span', { class: 'track' }, ...lane.spans.map(([start, end, kind]) => {
        const span = place(this.pattern(this.data.classes[kind]), start);
        span.style.width = percent(end - start);
        return span;
      }), ...lane.marks.map(([time, kind]) => place(element('i', { class: `mark ${kind}` }), time)));
      return element('div', { class: 'lane' }, element('span', { class: 'who' }, lane.name), track);
    });
    this.axis = element('span', { class: 'track' });
    this.rows.replaceChildren(
      element('div', { class: 'lane axis' }, element('span', { class: 'who' }, 'ID'), this.axis), ...lanes);
    this.people.hidden = !lanes.length;
    this.lanes.setAttribute('aria-valuemax', Math.round(10 * this.data.duration) / 10);
    this.selectLane(this.lane, false);
    this.renderAxis();
  }

  // As many times as there is room for.
  renderAxis() {
    if (!this.axis) return;
    const { duration } = this.data;
    const nTicks = Math.max(1, Math.floor(this.axis.clientWidth / TICK_PX));
    const step = TICKS_S.find((s) => duration / s <= nTicks) ?? duration;
    const tick = (time, attributes) => {
      const label = element('b', attributes, clock(time));
      label.style.left = `${100 * time / duration}%`;
      return label;
    };
    const times = [...Array(Math.ceil(duration / step)).keys()].map((i) => i * step);
    this.axis.replaceChildren(...times.filter((time) => time <= duration - 0.8 * step || !time)
      .map((time) => tick(time, {})), tick(duration, { class: 'end' }));
  }

  selectLane(number, scrolls = true) {
    this.lane = number;
    const rows = [...this.rows.children].slice(1);
    rows.forEach((row, i) => row.classList.toggle('on', i === number));
    const row = rows[number];
    if (!row || !scrolls) return;
    // Scrolls the lanes only: scrollIntoView would move the page as well.
    const [top, height] = [row.offsetTop, row.offsetHeight];
    if (top - height < this.lanes.scrollTop) this.lanes.scrollTop = top - height;
    const bottom = top + height - this.lanes.clientHeight;
    if (bottom > this.lanes.scrollTop) this.lanes.scrollTop = bottom;
  }

  spanAt(lane, time) {
    return lane.spans.find(([start, end]) => start <= time && time < end);
  }

  pointedTime(event) {
    const box = this.track.getBoundingClientRect();
    return this.data.duration * Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
  }

  pointedLane(event) {
    const row = event.target.closest?.('.lane');
    return [...this.rows.children].indexOf(row) - 1;
  }

  press(event) {
    if (event.button) return;
    const number = this.pointedLane(event);
    if (number >= 0) this.selectLane(number, false);
    if (number >= 0 && event.target.closest('.who')) {
      this.seek(this.data.lanes[number].spans[0][0] + EPSILON_S);
      return;
    }
    this.seek(this.pointedTime(event));
  }

  point(event) {
    if (event.buttons & 1 && !event.target.closest('.who')) this.seek(this.pointedTime(event));
    const lane = this.data.lanes[this.pointedLane(event)];
    this.tip.hidden = !lane;
    if (!lane) return;
    const time = this.pointedTime(event);
    const reach = this.data.duration * 8 / this.track.clientWidth;
    const mark = lane.marks.find(([at]) => Math.abs(at - time) < reach);
    const span = this.spanAt(lane, time);
    const words = mark ? `${mark[2]}, ${clock(mark[0])}`
      : span ? `${this.data.classes[span[2]].title}, ${clock(span[0])} \u2013 ${clock(span[1])}` : clock(time);
    this.tip.replaceChildren(element('b', {}, lane.title), ` ${words}`);
    const box = this.people.getBoundingClientRect();
    const left = event.clientX - box.left + 12;
    const top = event.clientY - box.top - this.tip.offsetHeight - 8;
    this.tip.style.left = `${Math.max(0, Math.min(left, box.width - this.tip.offsetWidth))}px`;
    this.tip.style.top = `${top}px`;
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? 0.1 : 1;
    const choose = (by) => {
      const number = this.lane < 0 ? 0 : this.lane + by;
      this.selectLane(Math.max(0, Math.min(this.data.lanes.length - 1, number)));
      this.paintTime();
    };
    const acts = {
      ArrowLeft: () => this.seek(this.time() - step), ArrowRight: () => this.seek(this.time() + step),
      PageDown: () => this.seek(this.time() + 10), PageUp: () => this.seek(this.time() - 10),
      Home: () => this.seek(0), End: () => this.seek(this.data.duration),
      ArrowUp: () => choose(-1), ArrowDown: () => choose(1),
      Enter: () => this.seekNextChange(), ' ': () => this.togglePlay(),
    };
    if (!acts[event.key]) return;
    event.preventDefault();
    acts[event.key]();
  }

  // Seek to the next span of the chosen person, or of anybody; after the last, the first.
  seekNextChange() {
    const lane = this.data.lanes[this.lane];
    const starts = (lane ? [lane] : this.data.lanes).flatMap(({ spans }) => spans.map(([start]) => start));
    const later = starts.filter((start) => start > this.time() + EPSILON_S);
    this.seek(Math.min(...(later.length ? later : starts)) + EPSILON_S);
  }

  // --- The events ---

  renderEvents() {
    this.events.hidden = !this.data.events.length;
    this.root.querySelector('.panes').classList.toggle('with-events', this.data.events.length > 0);
    this.table.replaceChildren(...this.data.events.map((event, i) => {
      const row = element('tr', { tabindex: i ? -1 : 0, 'aria-selected': false },
        element('td', {}, clock(event.time)), element('td', {}, event.text));
      row.onclick = () => this.openEvent(i);
      return row;
    }));
    this.current = this.row = -1;
  }

  openEvent(number) {
    const event = this.data.events[number];
    if (!event) return;
    this.row = number;
    this.selectLane(this.data.lanes.findIndex(({ id }) => id === event.person));
    this.seek(event.time + EPSILON_S);
    this.table.children[number].focus({ preventScroll: true });
    this.scrollToRow(number);
  }

  // Mark the row of the last event until now; of several at once, the chosen one.
  markEvent(time) {
    const { events } = this.data;
    const isNow = (event) => event && Math.abs(event.time + EPSILON_S - time) < 0.05;
    let number = isNow(events[this.row]) ? this.row : -1;
    for (let i = 0; number < 0 && i < events.length; i += 1) {
      if (events[i].time > time + 2 * EPSILON_S) { number = i - 1; break; }
      if (i === events.length - 1) number = i;
    }
    if (number === this.current) return;
    this.current = number;
    [...this.table.children].forEach((row, i) => {
      row.setAttribute('aria-selected', i === number);
      row.tabIndex = i === Math.max(0, number) ? 0 : -1;
    });
    if (number >= 0 && !this.list.matches(':hover')) this.scrollToRow(number);
  }

  scrollToRow(number) {
    const row = this.table.children[number];
    const head = this.table.previousElementSibling.offsetHeight;
    if (row.offsetTop - head < this.list.scrollTop) this.list.scrollTop = row.offsetTop - head;
    const bottom = row.offsetTop + row.offsetHeight - this.list.clientHeight;
    if (bottom > this.list.scrollTop) this.list.scrollTop = bottom;
  }

  tableKey(event) {
    const focused = [...this.table.children].indexOf(event.target.closest('tr'));
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) this.openEvent(Math.max(0, Math.min(this.data.events.length - 1, focused + step)));
    else if (event.key === 'Enter' || event.key === ' ') this.openEvent(focused);
    else return;
    event.preventDefault();
  }
}

export default function ({ parentElement, data, setStateValue }) {
  const root = parentElement.querySelector('.player');
  root.player ??= new Player(root);
  root.player.update(data, setStateValue);
}
