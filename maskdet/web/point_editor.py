"""Browser component to move four points over an image: HTML, CSS and JavaScript.

Its data are the URL of an image, eight coordinates as fractions of width and height,
and the names of the points. After each move it triggers `moved` with eight numbers.
"""

from __future__ import annotations

from typing import Final

POINT_EDITOR_HTML: Final = """
<div class="stage" role="group" aria-label="Four points on the floor">
  <img alt="" draggable="false">
  <svg viewBox="0 0 1 1" preserveAspectRatio="none" aria-hidden="true">
    <polygon class="edge"/><polygon class="line"/>
  </svg>
</div>
"""

# White on black lines and black on yellow points show on any image.
POINT_EDITOR_CSS: Final = """
.stage {position: relative; overflow: hidden; border-radius: .5rem; line-height: 0;
  min-height: 8rem; touch-action: none; cursor: crosshair; user-select: none;
  background: var(--st-secondary-background-color);}
.stage img {width: 100%; display: block;}
.stage.empty {aspect-ratio: 4 / 3;}
.stage.empty img {display: none;}
svg {position: absolute; inset: 0; width: 100%; height: 100%; pointer-events: none;}
polygon {fill: none; vector-effect: non-scaling-stroke; stroke-linejoin: round;}
.edge {stroke: #000; stroke-width: 4px;}
.line {stroke: #fff; stroke-width: 2px; fill: rgb(255 255 255 / 20%);}
button {position: absolute; width: 1.5rem; height: 1.5rem; padding: 0;
  transform: translate(-50%, -50%); border: 2px solid #000; border-radius: 50%;
  background: rgb(255 214 0 / 85%); color: #000; font: 700 .8rem/1 sans-serif;
  cursor: grab;}
button:focus-visible {outline: 3px solid var(--st-primary-color);
  outline-offset: 2px;}
"""

POINT_EDITOR_JS: Final = """
export default function ({ parentElement, data, setTriggerValue }) {
  const stage = parentElement.querySelector('.stage');
  const img = stage.querySelector('img');
  stage.classList.toggle('empty', !data.image);
  if (data.image && img.src !== data.image) img.src = data.image;
  const points = [0, 1, 2, 3].map((i) => data.points.slice(2 * i, 2 * i + 2));
  const sendPoints = () => setTriggerValue('moved', points.flat());

  let buttons = [...stage.querySelectorAll('button')];
  if (!buttons.length) {
    buttons = points.map((_, i) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.textContent = String(i + 1);
      button.setAttribute('aria-label', `Point ${i + 1}, ${data.names[i]}`);
      stage.append(button);
      return button;
    });
  }
  const paint = () => {
    points.forEach(([x, y], i) => {
      buttons[i].style.left = `${100 * x}%`;
      buttons[i].style.top = `${100 * y}%`;
    });
    const text = points.map((point) => point.join(',')).join(' ');
    stage.querySelectorAll('polygon').forEach((p) => p.setAttribute('points', text));
  };
  const place = (event) => {
    const box = stage.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width;
    const y = (event.clientY - box.top) / box.height;
    return [Math.min(1, Math.max(0, x)), Math.min(1, Math.max(0, y))];
  };
  const nearest = ([x, y]) => {
    const distances = points.map((point) => Math.hypot(point[0] - x, point[1] - y));
    return distances.indexOf(Math.min(...distances));
  };

  let dragged = -1;
  stage.onpointerdown = (event) => {
    const position = place(event);
    const pressed = buttons.indexOf(event.target);
    dragged = pressed >= 0 ? pressed : nearest(position);
    if (pressed < 0) points[dragged] = position;
    stage.setPointerCapture(event.pointerId);
    buttons[dragged].focus();
    event.preventDefault();
    paint();
  };
  stage.onpointermove = (event) => {
    if (dragged < 0) return;
    points[dragged] = place(event);
    paint();
  };
  stage.onpointerup = stage.onpointercancel = () => {
    if (dragged >= 0) sendPoints();
    dragged = -1;
  };
  const steps = {
    ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
  };
  buttons.forEach((button, i) => {
    button.onkeydown = (event) => {
      const step = steps[event.key];
      if (!step) return;
      event.preventDefault();
      const size = event.shiftKey ? 0.02 : 0.002;
      points[i] = points[i].map((number, axis) => number + size * step[axis]);
      paint();
    };
    button.onkeyup = (event) => { if (steps[event.key]) sendPoints(); };
  });
  paint();
}
"""
