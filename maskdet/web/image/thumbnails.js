// Thumbnails of several images with their numbers of faces. A click or an arrow key opens
// an image, a chip shows only some of them, the cross removes one.
const element = (name, attributes = {}, ...children) => {
  const result = document.createElement(name);
  for (const key in attributes) result.setAttribute(key, attributes[key]);
  result.append(...children);
  return result;
};
const STEPS = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };

export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector('.gallery');
  const [chips, grid] = [root.querySelector('.chips'), root.querySelector('.grid')];
  const shows = (item, filter) => filter === '' || item.kinds.includes(filter);
  if (!data.filters.some(({ key }) => key === root.filter)) root.filter = '';
  const focused = [...grid.children].findIndex((item) => item.contains(root.getRootNode().activeElement));

  const clear = element('button', { type: 'button', class: 'clear' }, 'Remove all');
  clear.onclick = () => setTriggerValue('cleared', true);

  const paint = () => {
    chips.replaceChildren(...data.filters.map(({ key, title }) => {
      const n = data.items.filter((item) => shows(item, key)).length;
      const chip = element('button', { type: 'button', 'aria-pressed': key === root.filter }, `${title} `, element('b', {}, n));
      chip.onclick = () => { root.filter = key; paint(); };
      return chip;
    }), clear);
    data.items.forEach((item, i) => { grid.children[i].hidden = !shows(item, root.filter); });
  };

  grid.replaceChildren(...data.items.map((item, i) => {
    const facts = item.counts.map(({ title, n, colour, ink }) => {
      const badge = element('b', { title: `${n} ${title}` }, n);
      badge.style.background = colour;
      badge.style.color = ink;
      return badge;
    });
    const image = item.image ? element('img', { src: item.image, alt: '', loading: 'lazy' })
      : element('span', { class: 'broken' }, 'not readable');
    const open = element('button', { type: 'button', class: 'open', 'aria-label': item.label, title: item.name,
      'aria-current': i === data.selected },
      image, element('span', { class: 'facts' }, ...facts, item.note), element('span', { class: 'title' }, item.name));
    open.onclick = () => setTriggerValue('opened', item.number);
    open.onkeydown = (event) => {
      if (!STEPS[event.key]) return;
      event.preventDefault();
      const visible = [...grid.children].filter((other) => !other.hidden);
      const next = visible[visible.indexOf(open.parentElement) + STEPS[event.key]];
      next?.querySelector('.open').focus();
      next?.querySelector('.open').click();
    };
    const remove = element('button', { type: 'button', class: 'remove', 'aria-label': `Remove ${item.name}`, title: 'Remove' }, '\u00d7');
    remove.onclick = () => setTriggerValue('removed', item.number);
    return element('li', {}, open, remove);
  }));
  paint();
  if (focused >= 0) grid.children[Math.min(focused, data.items.length - 1)]?.querySelector('.open').focus();
  const current = grid.children[data.selected];
  if (current && root.selected !== data.selected) {
    grid.scrollTo({ top: current.offsetTop - grid.offsetTop - grid.clientHeight / 3 });
  }
  root.selected = data.selected;
}
