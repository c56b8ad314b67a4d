// The parts of the page that change while video runs. The browser asks the server for all of
// them about once a second, without a run of the page. The page runs again only if the server
// says that something else has changed.
const POLL_MS = 1000;
// A hidden page asks only while its camera needs it: to reconnect, and for sounds of alerts.
const HIDDEN_POLL_MS = 5000;
const MAX_POLL_MS = 30000;
const TIMEOUT_MS = 10000;
const REPEAT_MS = 10000;
const MAX_FAILURES = 2;
const ROLES = { status: 'status', failure: 'alert' };

const places = new Map(); // the element of each part
let newest = { run: 0, parts: {} };
let poller = null; // what asks the server; null while nothing changes
let timer = 0;
let nFailures = 0;

const show = (name, html) => {
  const place = places.get(name);
  if (place && place.shownHtml !== html) place.innerHTML = place.shownHtml = html;
};

const markStale = () => {
  for (const place of places.values()) {
    place.classList.toggle('maskdet-stale', nFailures > MAX_FAILURES);
  }
};

const schedule = () => {
  clearTimeout(timer);
  if (!poller || (document.hidden && !poller.whileHidden)) return;
  const pauseMs = document.hidden ? HIDDEN_POLL_MS : POLL_MS;
  timer = setTimeout(poll, Math.min(MAX_POLL_MS, pauseMs * 2 ** nFailures));
};

const poll = async () => {
  const asking = poller;
  if (!asking) return;
  let update = null;
  try {
    const response = await fetch(asking.url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (response.ok) update = await response.json();
  } catch {} // the next attempt comes later
  if (asking !== poller) return; // the page has run meanwhile
  nFailures = update ? 0 : nFailures + 1;
  markStale();
  if (update?.run === asking.run) {
    newest = update;
    for (const [name, html] of Object.entries(update.parts)) show(name, html);
    if (update.must_run && Date.now() - asking.reportedMs > REPEAT_MS) {
      asking.reportedMs = Date.now();
      asking.report();
    }
  }
  schedule();
};

document.addEventListener('visibilitychange', () => (document.hidden ? schedule() : poll()));

export default function ({ data, parentElement, setTriggerValue }) {
  if (data.run !== newest.run) newest = { run: data.run, parts: {} };
  for (const [name, html] of Object.entries(data.parts)) {
    let place = parentElement.querySelector(`[data-part=${name}]`);
    if (!place) {
      place = document.createElement('div');
      place.dataset.part = name;
      if (ROLES[name]) place.setAttribute('role', ROLES[name]);
      parentElement.append(place);
    }
    places.set(name, place);
    show(name, newest.parts[name] ?? html);
  }
  if (!data.poll) return undefined;
  const { url, while_hidden: whileHidden } = data.poll;
  const report = () => setTriggerValue('must_run', data.run);
  const started = url ? { url, whileHidden, run: data.run, reportedMs: 0, report } : null;
  poller = started;
  nFailures = 0;
  markStale();
  schedule();
  return () => {
    if (poller === started) poller = null;
  };
}
