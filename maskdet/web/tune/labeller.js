// One face to label, with its surroundings. Keys 1, 2, 3 give it a class, x says that it is
// not a face, u takes the last step back, the arrow keys go to another face.
const element = (name, attributes = {}, ...children) => {
  const result = document.createElement(name);
  for (const key in attributes) result.setAttribute(key, attributes[key]);
  result.append(...children);
  return result;
};

export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector('.labeller');
  const [image, frame] = [root.querySelector('img'), root.querySelector('.view i')];
  // Until the next face is here, a key would label this one twice.
  root.busy = false;
  const send = (event, value) => {
    if (root.busy) return;
    root.busy = true;
    setTriggerValue(event, value);
  };
  const actions = {};
  const button = (key, title, event, value, { pressed, colour, disabled } = {}) => {
    const result = element('button', { type: 'button', 'aria-keyshortcuts': key });
    if (colour) {
      const dot = element('b', { class: 'dot' });
      dot.style.background = colour;
      result.append(dot);
    }
    const shown = { ArrowLeft: '\u2190', ArrowRight: '\u2192' }[key] ?? key;
    result.append(title, element('kbd', { 'aria-hidden': 'true' }, shown));
    if (pressed !== undefined) result.setAttribute('aria-pressed', pressed);
    result.disabled = Boolean(disabled);
    result.onclick = () => { send(event, value); root.focus({ preventScroll: true }); };
    if (!disabled) actions[key] = () => send(event, value);
    return result;
  };

  image.src = data.image;
  ['left', 'top', 'width', 'height'].forEach((side, i) => { frame.style[side] = `${100 * data.box[i]}%`; });
  root.querySelector('.place').textContent = data.place;
  root.querySelector('.guess').textContent = data.guess;
  root.querySelector('.classes').replaceChildren(
    ...data.classes.map(({ key, title, colour, selected }, i) =>
      button(`${i + 1}`, title, 'labelled', { face: data.face, label: key }, { colour, pressed: selected })),
    button('x', 'Not a face', 'labelled', { face: data.face, label: '' }));
  root.querySelector('.steps').replaceChildren(
    button('ArrowLeft', 'Previous', 'moved', -1), button('ArrowRight', 'Next', 'moved', 1),
    button('u', 'Undo', 'undone', true, { disabled: !data.undo }));

  root.onkeydown = (event) => {
    const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  };
  if (!root.seen && document.activeElement === document.body) root.focus({ preventScroll: true });
  root.seen = true;
}
