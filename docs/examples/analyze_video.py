"""Analyze a video, print its people and contacts, and write an annotated copy.

python analyze_video.py lobby.mp4 marked.mp4
"""

import sys

import maskdet

source, target = sys.argv[1:3]
settings = maskdet.Settings(distance="pinhole", contact_distance_m=1.8)
report = maskdet.analyze_video(source, target, settings, progress=True)

for person in report.people:
    print(f"#{person.track_id}: {person.label.title}, seen for {person.seen_s:.1f} s")
for contact in report.contacts:
    print(f"#{contact.first_id} and #{contact.second_id}: {contact.total_s:.1f} s")
for event in report.events:
    print(f"{report.event_time_s(event):6.1f} s  {event.kind}  #{event.person}")
rate = report.mask_rate
print("mask rate:", "unknown" if rate is None else f"{rate:.0%}")
