"""Send an image to `maskdet serve` and print its faces."""

import sys

import requests

server, path, *key = sys.argv[1:]  # http://localhost:8502 group.jpg [KEY]
with open(path, "rb") as image:
    headers = {"Authorization": f"Bearer {key[0]}"} if key else {}
    response = requests.post(f"{server}/v1/images", data=image, headers=headers)
if not response.ok:
    sys.exit(response.json()["detail"])
for face in response.json()["images"][0]["faces"]:
    print(face["label"], face["score"], face["box"])
