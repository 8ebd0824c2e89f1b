"""What people should know of the classes of the two models, since boxes are compared by the names of their classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from pipeline.config import Config
from stages.vision.class_names import padded

_SHOWN: Final = 8


def unnamed(section: str, model: str, names: tuple[str, ...]) -> str:
    """What to know of a model without class names, else nothing.

    Args:
        section: the config section that asks for it, ``detector`` or ``cloud``.
        model: what the config calls it.
        names: its class names as loaded: made up by ``padded`` where neither the model nor the config has any.
    """
    if names != padded((), len(names)):
        return ""
    return (
        f"{section}.classes: {model} has no class names, so that its boxes are called class0, class1 and so on: name "
        f"its classes in the order of its training, e.g. --set {section}.classes=person,helmet"
    )


def differing(little: tuple[str, ...], big: tuple[str, ...]) -> str:
    """What to know of two models with names that do not have the same classes, else nothing."""
    shared = [name for name in little if name in big]
    only = [
        f"the {which} one alone knows {_listed(others)}"
        for which, names in (("little", little), ("big", big))
        if (others := [name for name in names if name not in shared])
    ]
    if not only:
        return ""
    return (
        f"the models share {'only the classes ' + _listed(shared) if shared else 'no class'}: {', '.join(only)}. Where "
        "one alone knows a class, its boxes count as missed or corrected; detector.classes and cloud.classes name "
        "classes alike that mean the same"
    )


def remarks(config: Config, names: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """All that is to be known of the classes of the config's models; ``names`` has those of loaded ones, by section."""
    models = {"detector": config.detector.model, "cloud": config.cloud.model}
    without = [remark for section, its in names.items() if (remark := unnamed(section, models[section], its))]
    yield from without
    if len(names) == len(models) and not without and (remark := differing(names["detector"], names["cloud"])):
        yield remark


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
