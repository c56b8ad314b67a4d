"""Draw boxes, captions and distances into images, and people from above; blur faces."""

from maskdet.drawing.annotate import draw
from maskdet.drawing.anonymize import anonymize_scene, blur_faces, pixelate_image
from maskdet.drawing.birds_eye import draw_birds_eye
from maskdet.style import Style, format_face_caption, line_style

__all__ = [
    "Style",
    "anonymize_scene",
    "blur_faces",
    "draw",
    "draw_birds_eye",
    "format_face_caption",
    "line_style",
    "pixelate_image",
]
