"""Map the class names of public and custom data sets to the classes of maskdet."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from maskdet.types import CLASSES, Label

IGNORE: Final = "ignore"
"""Target of faces of unknown class: neither training faces nor background."""

NO_FACE: Final = "none"
"""Target of classes whose boxes are discarded."""

CLASS_TARGETS: Final = (*(label.key for label in CLASSES), IGNORE, NO_FACE)
"""The accepted targets of a class name."""

_MAX_SUGGESTED: Final = 20

# Names in public data sets: `with_mask` and `mask_weared_incorrect` are from Kaggle,
# `face` and `face_mask` from AIZOO, `masked_face` from FMLD, `cmfd`, `imfd` and
# `mask_chin` from MaskedFace-Net. Names in other languages follow in the order German,
# French, Spanish, Portuguese, Italian, Dutch, Polish, Turkish, Indonesian, Vietnamese,
# Russian, Chinese, Japanese, Korean. Accents are ignored.
_NAMES_BY_LABEL: dict[Label, str] = {
    Label.MASK: "mask with_mask withmask wearing_mask wear_mask masked masked_face "
    "face_masked face_mask facemask face_with_mask mask_on maskon mask_worn has_mask "
    "correct correct_mask correctly_masked correctly_masked_face mask_correct "
    "mask_worn_correctly mask_worn_correct mask_weared_correct correctly_worn "
    "proper proper_mask properly_masked cmfd correctly_masked_face_dataset "
    "maske mit_maske mund_nasen_schutz masque avec_masque mascarilla con_mascarilla "
    "cubrebocas con_cubrebocas barbijo con_barbijo con_mascara mascara com_mascara "
    "mascherina con_mascherina masker met_masker met_mondkapje maseczka z_maseczka "
    "w_maseczce maskeli maske_var pakai_masker memakai_masker bermasker khau_trang "
    "co_khau_trang deo_khau_trang маска с_маской в_маске 口罩 戴口罩 佩戴口罩 有口罩 "  # noqa: RUF001
    "戴口罩人脸 正确佩戴口罩 マスク マスクあり マスク着用 마스크 마스크_착용 "
    "마스크착용",
    Label.NO_MASK: "no_mask nomask non_mask without_mask withoutmask not_masked "
    "unmasked unmasked_face face_unmasked nonmasked non_masked no_face_mask "
    "face_no_mask face_nomask face_without_mask mask_off maskoff not_wearing_mask "
    "no_wear_mask bare bare_face face "
    "ohne_maske keine_maske sans_masque pas_de_masque sin_mascarilla sin_cubrebocas "
    "sin_barbijo sin_mascara sem_mascara senza_mascherina zonder_masker geen_masker "
    "zonder_mondkapje bez_maseczki brak_maseczki maskesiz maske_yok tanpa_masker "
    "tidak_pakai_masker tidak_memakai_masker tidak_bermasker khong_khau_trang "
    "khong_deo_khau_trang без_маски нет_маски 未戴口罩 没戴口罩 沒戴口罩 不戴口罩 "
    "无口罩 無口罩 未佩戴口罩 没有戴口罩 人脸 マスクなし マスク無し マスク未着用 "
    "마스크_미착용 마스크미착용",
    Label.INCORRECT: "incorrect incorrect_mask incorrectly_masked "
    "incorrectly_masked_face incorrectly_worn incorrectly_worn_mask mask_incorrect "
    "mask_weared_incorrect mask_worn_incorrect mask_worn_incorrectly "
    "mask_wearing_incorrect wearing_mask_incorrectly face_with_mask_incorrect "
    "worn_wrongly worn_incorrectly wrong wrong_mask mask_wrong improper improper_mask "
    "improperly_masked partial_mask partially_masked imfd "
    "incorrectly_masked_face_dataset mask_chin mask_mouth_chin mask_nose_mouth "
    "uncovered_chin uncovered_nose uncovered_nose_and_mouth nose_out mask_under_nose "
    "mask_below_nose mask_under_chin mask_below_chin "
    "falsche_maske maske_falsch falsch falsch_getragen masque_mal_porte mal_porte "
    "masque_incorrect mascarilla_incorrecta mascarilla_mal_puesta mal_puesta "
    "mascara_incorreta mascara_incorrecta mascherina_errata mascherina_non_corretta "
    "masker_verkeerd verkeerd_masker maseczka_zle zle_zalozona yanlis_maske "
    "maske_yanlis masker_salah salah_masker deo_sai_khau_trang khau_trang_sai "
    "неправильно маска_неправильно 未正确佩戴口罩 不规范佩戴口罩 未规范佩戴口罩 "
    "口罩佩戴不规范 マスク不適切 鼻出しマスク 턱스크",
    Label.UNKNOWN: "ignore ignored invalid invalid_face unknown unsure dont_care",
}


def _normalize_name(name: str) -> str:
    """Return a class name in lower case, without accents and joined by underscores.

    Spaces, hyphens and dots become underscores.
    """
    plain = unicodedata.normalize("NFKD", name.casefold())
    plain = "".join(char for char in plain if not unicodedata.combining(char))
    plain = plain.translate({ord("đ"): "d", ord("ł"): "l", 0x131: "i"})
    return re.sub(r"[\s_.\-]+", "_", plain).strip("_")


_LABEL_BY_NAME = {
    _normalize_name(word): label
    for label, ws in _NAMES_BY_LABEL.items()
    for word in ws.split()
}


def label_from_name(name: str) -> Label:
    """Return the class of a name in a data set.

    Raises:
        ValueError: the name is unknown.
    """
    label = _LABEL_BY_NAME.get(_normalize_name(name), Label.UNKNOWN)
    if label == Label.UNKNOWN:
        class_keys = ", ".join(item.key for item in CLASSES)
        raise ValueError(
            f"unknown class {name!r}; expected {class_keys} or a common synonym"
        )
    return label


@dataclass(frozen=True)
class ClassNames:
    """Mapping from the class names of a data set to classes.

    Attributes:
        targets: custom targets by name, each one of `CLASS_TARGETS`; other names are
            mapped by their usual meaning.
    """

    targets: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the targets."""
        for name, target in self.targets.items():
            if target not in CLASS_TARGETS:
                raise ValueError(
                    f"{name}={target}: unknown class {target!r}; expected "
                    f"{', '.join(CLASS_TARGETS)}"
                )
        targets = {
            _normalize_name(name): target for name, target in self.targets.items()
        }
        object.__setattr__(self, "targets", targets)

    def target(self, name: str) -> str:
        """Return the target of a name in `CLASS_TARGETS`; empty if it is unknown."""
        key = _normalize_name(name)
        if key in self.targets:
            return self.targets[key]
        if key not in _LABEL_BY_NAME:
            return ""
        return (
            IGNORE if _LABEL_BY_NAME[key] == Label.UNKNOWN else _LABEL_BY_NAME[key].key
        )

    def label(self, name: str) -> Label | None:
        """Return the class of a name, or None if its boxes are discarded.

        Ignored and unknown names give `UNKNOWN`.
        """
        target = self.target(name)
        if target == NO_FACE:
            return None
        if target in ("", IGNORE):
            return Label.UNKNOWN
        return Label[target.upper()]


def format_classes_hint(names: Iterable[str]) -> str:
    """Return a hint how to map unknown names with `--classes`."""
    option = ",".join(f"{name}={IGNORE}" for name in list(names)[:_MAX_SUGGESTED])
    return f'map it, as in --classes "{option}"; accepted classes are ' + ", ".join(
        CLASS_TARGETS
    )


def parse_class_names(texts: Iterable[str]) -> ClassNames:
    """Parse texts such as `theirs=mask,other=ignore`.

    Raises:
        ValueError: a part is not NAME=CLASS.
    """
    targets: dict[str, str] = {}
    for part in (part.strip() for text in texts for part in text.split(",")):
        name, equals, target = (word.strip() for word in part.rpartition("="))
        if not equals or not name:
            raise ValueError(
                f"expected NAME=CLASS, as in helmet=ignore, got {part!r}; accepted "
                f"classes are {', '.join(CLASS_TARGETS)}"
            )
        targets[name] = target
    return ClassNames(targets)
