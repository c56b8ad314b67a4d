// What only the browser knows: whether the visitor pressed Start or Stop, or the stream was
// interrupted, for which the streamer reports the same state; and why there is no camera.
// It also gives the streamer the look of the page.
const styles = new WeakMap();
let report = () => {};
let reportError = () => {};
let lastError = '';
let look = '';
let timer = 0;
const listen = () => {
  const streamers = 'iframe[title="streamlit_webrtc.component.webrtc_streamer"]';
  for (const frame of document.querySelectorAll(streamers)) {
    const inside = frame.contentDocument;
    if (!inside?.head) continue;
    // The page says what to do instead of "NotFoundError: Requested device not found".
    let error = '';
    for (const alert of inside.querySelectorAll('[role=alert]')) {
      const name = /^[A-Z][A-Za-z]*Error/.exec(alert.textContent.trim())?.[0] ?? '';
      alert.style.display = name ? 'none' : '';
      error ||= name;
    }
    if (error !== lastError) reportError(lastError = error);
    // The library does not notice a height that the styles below have changed.
    const height = inside.getElementById('root')?.offsetHeight;
    if (height && Math.abs(frame.clientHeight - height) > 1) frame.height = height;
    const known = styles.get(inside);
    if (known) {
      if (known.textContent !== look) known.textContent = look;
      continue;
    }
    const style = inside.createElement('style');
    style.textContent = look;
    inside.head.append(style);
    styles.set(inside, style);
    inside.addEventListener('click', (event) => {
      const name = event.target.closest('button')?.textContent?.trim();
      if (name === 'Start' || name === 'Stop') report(name);
    }, true);
  }
};
export default function ({ setStateValue, parentElement, data }) {
  report = (name) => setStateValue('pressed', name);
  reportError = (name) => setStateValue('camera_error', name);
  // The buttons look like those of the page.
  const get = (name) => getComputedStyle(parentElement.host ?? parentElement)
    .getPropertyValue(name).trim();
  const example = new URL(data.example, location);
  look = `button {text-transform: none !important; box-shadow: none !important;
    font: 600 1rem ${get('--st-font') || 'sans-serif'} !important;
    letter-spacing: 0 !important; padding: .5rem 1.2rem !important;
    border-radius: ${get('--st-button-radius') || '.5rem'} !important;}
    .MuiButton-containedPrimary {color: ${get('--st-background-color')} !important;
    background: ${get('--st-primary-color')} !important;}
    .MuiButton-text {color: ${get('--st-primary-color')} !important;}
    [data-testid=VideoLabelIcon] {display: none !important;}
    .MuiPaper-root:has(> [data-testid=VideoLabelIcon]) {aspect-ratio: ${data.shape};
    border-radius: 8px; background: url(${example}) center / cover;}`;
  listen();
  // This runs again when the data changes, the function below only when all ends.
  clearInterval(timer);
  const started = timer = setInterval(listen, 250);
  return () => clearInterval(started);
}
