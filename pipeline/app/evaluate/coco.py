"""COCO's labels: one JSON file with images, annotations and categories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

from pipeline.app.evaluate.drawn import Drawn, Shot
from pipeline.errors import ConfigError

Number = Annotated[float, Field(allow_inf_nan=False)]
Side = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Image(BaseModel):
    id: int
    file_name: str
    width: int | None = None
    height: int | None = None


class _Annotation(BaseModel):
    image_id: int
    category_id: int
    bbox: tuple[Number, Number, Side, Side]
    iscrowd: bool = False


class _Category(BaseModel):
    id: int
    name: str


class Coco(BaseModel):
    """What is read of a file."""

    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def read_coco(file: Path, pictures: Mapping[str, Shot], key_of: Callable[[str], str]) -> dict[str, list[Drawn]]:
    """The objects of each picture that the file knows.

    Args:
        file: the JSON file.
        pictures: what is looked for, by key.
        key_of: the key of a ``file_name``.

    Raises:
        ConfigError: it is ill-formed, or about other pictures; it names the file and the entry.
    """
    coco = parsed(file)
    names = {category.id: category.name for category in coco.categories}
    keys = {image.id: key for image in coco.images if (key := _checked(file, image, pictures, key_of)) is not None}
    for key, count in Counter(keys.values()).items():
        if count > 1:
            raise ConfigError(f"{file}, images", f"{count} of them are of the picture {key}")
    known = {image.id for image in coco.images}
    drawn: dict[str, list[Drawn]] = {key: [] for key in keys.values()}
    for i, each in enumerate(coco.annotations):
        if each.category_id not in names:
            raise ConfigError(f"{file}, annotations.{i}", f"there is no category {each.category_id}")
        if each.image_id not in known:
            raise ConfigError(f"{file}, annotations.{i}", f"there is no image {each.image_id}")
        if each.image_id in keys:
            x, y, w, h = each.bbox
            drawn[keys[each.image_id]].append(Drawn(names[each.category_id], (x, y, x + w, y + h), each.iscrowd))
    return drawn


def _checked(file: Path, image: _Image, pictures: Mapping[str, Shot], key_of: Callable[[str], str]) -> str | None:
    """The key of an image; None where it is not looked for."""
    key = key_of(image.file_name)
    if (picture := pictures.get(key)) is None:
        return None
    stated = image.width or picture.width, image.height or picture.height
    if stated != (picture.width, picture.height):
        raise ConfigError(
            f"{file}, image {image.file_name}",
            f"it is {stated[0]}x{stated[1]} there, but the picture has {picture.width}x{picture.height} pixels",
        )
    return key


def parsed(file: Path) -> Coco:
    """What the file says.

    Raises:
        ConfigError: it cannot be read or is ill-formed; it names the file and the entry.
    """
    try:
        return Coco.model_validate_json(file.read_bytes())
    except OSError as error:
        raise ConfigError(str(file), f"it cannot be read ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        at = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{file}, {at}" if at else str(file), first["msg"]) from error
