"""Where samples come from: files that are made up on the fly, or somebody's own."""

from __future__ import annotations

import importlib.util
import io
import math
import re
import zlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, final

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from powertrain.errors import DataError, MissingExtraError
from powertrain.files import open_file
from powertrain.units import kilobytes_from_bytes, megabytes_from_bytes
from powertrain.workloads._catalogue import ImageFiles

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Source", "image_folder", "made_up_images", "made_up_text", "text_file"]

FILES = 32
"""Images that are made up; each is decoded and augmented anew whenever it is drawn."""
IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp"))
LEAST_CROP = 0.35
"""Share of an image that a random crop keeps at least."""
MEAN, SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as everyone normalises
WORDS = 20_000
TEXT_WORDS = 200_000
_WORD = re.compile(rb"\w+|[^\w\s]")


class Source(ABC):
    """Gives the input of one sample at a time; it can be pickled, and is read in loading processes."""

    description: str

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> Tensor:
        """Load one sample."""


@final
class _Images(Source):
    """JPEG or PNG content, decoded, cropped, resized, flipped and normalised as for training."""

    def __init__(self, files: list[bytes] | list[Path], side: int, description: str) -> None:
        self.files, self.side, self.description = files, side, description

    @override
    def draw(self, rng: np.random.Generator) -> Tensor:
        from PIL import Image

        chosen = self.files[int(rng.integers(len(self.files)))]
        try:
            with Image.open(io.BytesIO(chosen) if isinstance(chosen, bytes) else chosen) as opened:
                image = opened.convert("RGB")
        except OSError as error:
            raise DataError(f"{chosen} is not an image that can be read: {error}") from error
        image = image.resize(
            (self.side, self.side), Image.Resampling.BILINEAR, box=_crop(image.width, image.height, rng)
        )
        values = np.asarray(image)
        if rng.random() < 0.5:
            values = values[:, ::-1]
        pixels = torch.from_numpy(values.copy()).permute(2, 0, 1).float().div_(255)
        return pixels.sub_(torch.tensor(MEAN)[:, None, None]).div_(torch.tensor(SD)[:, None, None])


def _crop(width: int, height: int, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Return a box of a random share of the image and of nearly its shape."""
    share = math.sqrt(LEAST_CROP + (1 - LEAST_CROP) * rng.random())
    w, h = share * width, share * height
    left, top = rng.random() * (width - w), rng.random() * (height - h)
    return left, top, left + w, top + h


def made_up_images(kind: ImageFiles, side: int, seed: int) -> Source:
    """Make up JPEG files of the pixels and bytes that are usual for a workload."""
    _need_pillow()
    pixels, file_bytes = kind.at(side)
    height = max(round((pixels * 3 / 4) ** 0.5), 16)
    width = max(round(pixels / height), 16)
    rng = np.random.default_rng(seed)
    grain = _grain_for(file_bytes, width, height, rng)
    files = [_encoded(_scene(width, height, grain, rng)) for _ in range(FILES)]
    mean_kb = kilobytes_from_bytes(sum(map(len, files)) / len(files))
    return _Images(files, side, f"made up: JPEG of {width} x {height}, {mean_kb:.0f} kB")


def _grain_for(file_bytes: float, width: int, height: int, rng: np.random.Generator) -> float:
    """Return the grain at which an encoded scene has about so many bytes: finer detail takes more."""
    low, high = 0.0, 80.0
    for _ in range(6):
        middle = (low + high) / 2
        small = len(_encoded(_scene(width, height, middle, rng))) < file_bytes
        low, high = (middle, high) if small else (low, middle)
    return (low + high) / 2


def _scene(width: int, height: int, grain: float, rng: np.random.Generator) -> Image:
    from PIL import Image

    coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64)
    noisy = smooth + grain * rng.standard_normal((height, width, 1))
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def _encoded(image: Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def image_folder(folder: Path, side: int) -> Source:
    """Read the images of a folder and the folders in it.

    Raises:
        DataError: There is none.
    """
    _need_pillow()
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: images are taken from a folder of them")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise DataError(f"{folder} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}): give another folder")
    return _Images(files, side, f"{len(files)} images of {folder.name}")


def _need_pillow() -> None:
    if importlib.util.find_spec("PIL") is None:
        raise MissingExtraError.of("Pillow", extra="torch", purpose="decoding images")


@final
class _Words(Source):
    """Pieces of a text, tokenised when they are drawn."""

    def __init__(self, text: bytes, length: int, vocabulary: int, description: str) -> None:
        self.text, self.length, self.vocabulary, self.description = text, length, vocabulary, description

    @override
    def draw(self, rng: np.random.Generator) -> Tensor:
        start = int(rng.integers(max(len(self.text) - 12 * self.length, 1)))
        numbers: list[int] = []
        for found in _WORD.finditer(self.text, start):
            # Hashing stands for the look-up in a vocabulary, and needs none.
            numbers.append(zlib.crc32(found[0].lower()) % self.vocabulary)
            if len(numbers) == self.length:
                break
        numbers += [0] * (self.length - len(numbers))
        return torch.tensor(numbers)


def made_up_text(length: int, vocabulary: int, seed: int) -> Source:
    """Make up a text of words whose frequencies follow Zipf's law."""
    rng = np.random.default_rng(seed)
    letters = rng.integers(ord("a"), ord("z") + 1, (WORDS, 9), dtype=np.uint8)
    words = [row[:n].tobytes() for row, n in zip(letters, rng.integers(2, 10, WORDS), strict=True)]
    ranks = np.minimum(rng.zipf(1.2, TEXT_WORDS), WORDS) - 1
    text = b" ".join(words[rank] for rank in ranks)
    return _Words(text, length, vocabulary, f"made up: a text of {TEXT_WORDS:,} words")


def text_file(path: Path, length: int, vocabulary: int) -> Source:
    """Read a text file.

    Raises:
        DataError: It cannot be read, or is shorter than one sample.
    """
    try:
        with open_file(path) as file:
            text = file.read()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; give a text file") from error
    words = sum(1 for _ in zip(_WORD.finditer(text), range(length), strict=False))
    if words < length:
        raise DataError(f"{path} has {words} words, and one sample takes {length}: give a longer text")
    return _Words(text, length, vocabulary, f"{path.name}, {megabytes_from_bytes(float(len(text))):.1f} MB")
