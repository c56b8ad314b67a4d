"""Robustness benchmarks on modified and synthetic images.

- `occlusion` and `low_light` modify labelled faces without changing their class: hands
  and other objects at the mouth, darkness with noise.
- `lookalikes` adds clear shields and printed mouths, which must lower the confidence.
- `subgroups` compares the accuracy between groups of people.
- `false_positives` counts detections on images without faces.
- `small_faces` pastes portraits into scenes: small faces of people who are not in the
  training scenes.
"""
