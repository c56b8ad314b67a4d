"""Detect the faces of one image, print them, and write an annotated copy.

python analyze_image.py group.jpg out.png
"""

import sys

import maskdet

source, target = sys.argv[1:3]
scene = maskdet.analyze(source)  # a path, the bytes of a file, or a BGR array
for face in scene:
    box = [round(corner) for corner in face.box]  # x1, y1, x2, y2 in pixels
    print(f"{face.label.title}: {face.confidence:.0%} at {box}")

unmasked = scene[scene.probs[:, maskdet.Label.NO_MASK] > 0.5]
print(f"{len(unmasked)} of {len(scene)} without a mask")
maskdet.write_image(target, maskdet.draw(source, scene))
