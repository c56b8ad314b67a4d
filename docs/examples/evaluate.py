"""Measure an analyzer on labelled images: COCO, Pascal VOC or YOLO.

python evaluate.py scenes.json
"""

import sys

import maskdet

report = maskdet.evaluate(sys.argv[1], analyzer="onepass")
print(report)

faces = report.ap["faces"]
print(f"faces: AP {faces.value:.3f}, 95 % interval {faces.low:.3f} to {faces.high:.3f}")
