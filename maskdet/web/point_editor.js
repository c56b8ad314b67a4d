// Moves four points over an image. The data are the URL of an image, eight coordinates as
// fractions of width and height, and the names of the points. After each move it triggers
// `moved` with eight numbers.
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
