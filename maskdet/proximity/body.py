"""How large people are: the two lengths that distances from faces rest on."""

from __future__ import annotations

from typing import Final

FACE_HEIGHT_M: Final = 0.17
"""What the box of a face covers from top to bottom, in metres.

Measured against the eyes, on 349 upright frontal faces of two public mask sets: 2.81
distances between the pupils in YuNet's boxes (from under the hairline to the chin)
and 2.56 in boxes drawn by hand (foreheads and covered chins are cut). Pupils of adults
are 63 mm apart (Dodgson, "Variation and extrema of human interpupillary distance",
2004), so these are 177 mm and 161 mm; the middle serves both kinds of box.
"""

FACE_HEIGHT_ERROR: Final = 0.12
"""Its standard error as a share: 6 % from person to person (3.8 mm of 63 mm, Dodgson),
5 % for what the finder's boxes cover, 9 % from box to box in the measurement."""

FACE_ABOVE_FLOOR_M: Final = 1.55
"""How high the middle of a standing adult's face is above the floor, in metres.

Stature, mean of men and women from Britain, Hong Kong, Japan and the USA: 1.64 m (City
University of Hong Kong, "Online anthropometry", 1. Stature); less 0.14 m from the crown
to the middle of the box, plus 0.03 m of shoes, is 1.53 m; 1.55 m leans to the taller.
"""

FACE_ABOVE_FLOOR_ERROR_M: Final = 0.09
"""Its standard error, from the same tables: 0.06 m within men or women of a country
and 0.06 m between them and the mean of all."""
