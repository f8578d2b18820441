"""Predictor files that are damaged in ways which no checksum tells."""

from __future__ import annotations

import copy
import io
import json
import math
import random
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast, final

import numpy as np
import numpy.typing as npt

__all__ = ["PredictorFileDamage"]

HEADER = "header.json"
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 0.5, 1e300, -1e300, 1e-300, 10**40, math.nan, math.inf, -math.inf),
    *("", "x", "time_ms", "gpu_mhz", "*", "\n", "\0", "é" * 100, [], {}, [[]], [None], {"": 0}, [1, 2, 3]),
)
ODD_NUMBERS = (0.0, -0.0, 1.0, -1.0, 1e-300, 1e12, -1e12, 1e300, -1e300, math.nan, math.inf, -math.inf)
ODD_TYPES = ("<f8", ">f8", "<f4", "<f2", "<i8", "u1", "?", "<c16", "<U3")


@final
class PredictorFileDamage:
    """Writes copies of a predictor file that are each damaged in a few places, with right checksums."""

    def __init__(self, source: Path) -> None:
        """Read the file to damage."""
        with zipfile.ZipFile(source) as archive:
            self._header: dict[str, Any] = json.loads(archive.read(HEADER))
            names = [name for name in archive.namelist() if name != HEADER]
            self._arrays = {name: np.load(io.BytesIO(archive.read(name))) for name in names}

    def write(self, path: Path, chance: random.Random) -> str:
        """Write a damaged copy to `path`; return what was done to it."""
        header, arrays = copy.deepcopy(self._header), dict(self._arrays)
        done = [
            _damage_header(header, chance) if chance.random() < 0.5 else _damage_arrays(arrays, chance)
            for _ in range(chance.choice((1, 1, 1, 2, 5)))
        ]
        # Mostly the list of arrays agrees with them, so that the damage comes as far as the predictor.
        if chance.random() < 0.9:
            names = [name.removesuffix(".npy") for name in arrays]
            header.update({key: self._header[key] for key in ("format", "format_version", "method")})
            header["arrays"] = names
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(HEADER, json.dumps(header))
            for name, array in arrays.items():
                member = io.BytesIO()
                np.save(member, array)
                archive.writestr(name, member.getvalue())
        return "; ".join(done)


def _places(value: Any, path: str = "") -> Iterator[tuple[Any, Any, str]]:
    """Yield every list or mapping of a header with each of its keys."""
    if isinstance(value, dict):
        keys: list[Any] = list(cast("dict[str, Any]", value))
    elif isinstance(value, list):
        keys = list(range(len(cast("list[Any]", value))))
    else:
        return
    for key in keys:
        yield value, key, f"{path}/{key}"
        yield from _places(value[key], f"{path}/{key}")


def _damage_header(header: dict[str, Any], chance: random.Random) -> str:
    found = list(_places(header))
    if not found:
        return "nothing is left of the header"
    within, key, path = chance.choice(found)
    how = chance.randrange(6)
    if how == 0:
        del within[key]
        return f"{path} deleted"
    if how == 1 and isinstance(within, dict):
        within[f"{key}x"] = within.pop(key)
        return f"{path} renamed"
    if how == 2:
        other, other_key, other_path = chance.choice(found)
        try:
            within[key] = copy.deepcopy(other[other_key])
        except (KeyError, IndexError):
            return "nothing"
        return f"{path} takes what {other_path} is"
    if how == 3 and isinstance(within[key], list):
        within[key] = within[key] * chance.choice((2, 2, 50)) if chance.random() < 0.5 else within[key][:-1]
        return f"{path} has another length"
    if how == 4 and isinstance(within[key], int | float):
        within[key] *= chance.choice((-1, 0.5, 2, 10, 1e10, 1e100))
        return f"{path} becomes {within[key]}"
    within[key] = copy.deepcopy(chance.choice(ODD_VALUES))
    return f"{path} becomes {within[key]!r}"


def _damage_arrays(arrays: dict[str, npt.NDArray[Any]], chance: random.Random) -> str:
    if not arrays:
        return "no array is left"
    name = chance.choice(list(arrays))
    kinds: tuple[Callable[[npt.NDArray[Any], random.Random], npt.NDArray[Any]], ...] = (
        *(_one_number, _one_number, _all_numbers, _scaled, _other_length, _other_shape),
        *(_other_type, _shuffled),
    )
    how = chance.randrange(len(kinds) + 2)
    if how == len(kinds):
        del arrays[name]
        return f"{name} deleted"
    if how > len(kinds):
        other = chance.choice(list(arrays))
        arrays[name] = arrays[other]
        return f"{name} takes what {other} is"
    with np.errstate(all="ignore"):
        arrays[name] = kinds[how](arrays[name].copy(), chance)
    return f"{name}: {kinds[how].__name__.strip('_').replace('_', ' ')}"


def _one_number(array: npt.NDArray[Any], chance: random.Random) -> npt.NDArray[Any]:
    if array.size and array.dtype.kind == "f":
        array.flat[chance.randrange(array.size)] = chance.choice(ODD_NUMBERS)
    return array


def _all_numbers(array: npt.NDArray[Any], chance: random.Random) -> npt.NDArray[Any]:
    return np.full_like(array, chance.choice(ODD_NUMBERS[:8])) if array.dtype.kind == "f" else array


def _scaled(array: npt.NDArray[Any], chance: random.Random) -> npt.NDArray[Any]:
    return array * chance.choice((-1.0, 1e-6, 3.0, 100.0, 1e6)) if array.dtype.kind == "f" else array


def _other_length(array: npt.NDArray[Any], chance: random.Random) -> npt.NDArray[Any]:
    if not array.ndim:
        return array
    return array[:-1] if chance.random() < 0.5 else np.concatenate([array, array])


def _other_shape(array: npt.NDArray[Any], chance: random.Random) -> npt.NDArray[Any]:
    return chance.choice((array.T, array.reshape(-1), array[None], array[:0] if array.ndim else array))


def _other_type(array: npt.NDArray[Any], chance: random.Random) -> npt.NDArray[Any]:
    return array.astype(chance.choice(ODD_TYPES)) if array.dtype.kind == "f" else array


def _shuffled(array: npt.NDArray[Any], chance: random.Random) -> npt.NDArray[Any]:
    return np.random.default_rng(chance.randrange(1 << 30)).permutation(array) if array.ndim else array
