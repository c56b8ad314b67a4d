"""Follow the people before a camera, or in a video file, frame by frame.

python stream.py 0
python stream.py rtsp://camera.local/stream
"""

import sys

import maskdet

source = sys.argv[1] if len(sys.argv) > 1 else "0"
known: dict[int, maskdet.Label] = {}
for _image, scene in maskdet.stream(source):
    for face in scene:
        if face.track_id == maskdet.UNTRACKED:
            continue
        if known.get(face.track_id) is not face.label:
            known[face.track_id] = face.label
            print(f"{scene.time_s:6.1f} s  #{face.track_id}: {face.label.title}")
    for track_id in scene.removed_ids:
        print(f"{scene.time_s:6.1f} s  #{track_id} left")
