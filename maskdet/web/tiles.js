// Tiles that open something. Elements are kept, so that neither the focus nor the image is
// lost when numbers change every second.
const element = (name, className, ...children) => {
  const result = document.createElement(name);
  result.className = className;
  result.append(...children);
  return result;
};

export default function ({ parentElement, data, setTriggerValue }) {
  const list = parentElement.querySelector('.tiles');
  list.setAttribute('aria-label', data.label);
  list.classList.toggle('wide', data.items.some(({ facts }) => facts.length));

  const build = () => {
    const parts = {
      image: element('span', 'image'), img: element('img', ''),
      missing: element('span', 'missing', 'No image'), title: element('span', 'title'),
      counts: element('span', 'counts'), facts: element('span', 'text'),
    };
    parts.img.alt = '';
    const head = element('span', 'head', parts.title, parts.counts);
    const button = element('button', '', parts.image, element('span', 'text', head, parts.facts));
    button.type = 'button';
    parts.facts.style.padding = 0;
    button.parts = parts;
    return element('li', '', button);
  };

  while (list.children.length > data.items.length) list.lastElementChild.remove();
  data.items.forEach((item, i) => {
    if (!list.children[i]) list.append(build());
    const button = list.children[i].firstElementChild;
    const { image, img, missing, title, counts, facts } = button.parts;
    title.textContent = item.title;
    if (item.image && img.src !== item.image) img.src = item.image;
    const shown = item.image ? img : missing;
    if (image.firstChild !== shown) image.replaceChildren(shown);
    counts.replaceChildren(...item.counts.map(({ title: name, n, colour, ink }) => {
      const badge = element('b', '', n);
      badge.title = `${n} ${name}`;
      badge.style.background = colour;
      badge.style.color = ink;
      return badge;
    }));
    facts.replaceChildren(...item.facts.map((fact, j) =>
      element('span', j === 0 && item.phase ? `phase ${item.phase}` : '', fact)));
    facts.hidden = !item.facts.length;
    const numbers = item.counts.map(({ title: name, n }) => `${n} ${name}`);
    const about = item.image ? [] : [missing.textContent];
    button.setAttribute('aria-label', [item.title, ...item.facts, ...numbers, ...about].join(', '));
    button.onclick = () => setTriggerValue('opened', item.title);
  });
}
