"""What a predictor keeps, and the one boundary at which it is restored from a file that may be damaged."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast, final

import numpy as np
import numpy.typing as npt

from powertrain.errors import CheckpointError
from powertrain.records import FloatArray

__all__ = ["LARGEST_NUMBER", "Checkpoint", "restoring", "shortened"]

LONGEST_SHOWN = 60
"""Characters of something found in a file that a message repeats."""
LARGEST_NUMBER = 1e30
"""No number of a predictor is larger, and sums of squares of those that are not stay finite."""


def shortened(value: object) -> str:
    """Return a value as a message shows it, on one line."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """What a predictor keeps in its file: a JSON header and named arrays of numbers.

    The header holds finite numbers, text, booleans, null, lists and mappings of them (a tuple comes back as a
    list); NaN belongs in an array. Arrays come back bit for bit, with dtype and shape, and writable.

    Whoever restores a predictor asks for what it needs by the methods below, which refuse what is not of the
    kind that was asked for.
    """

    method: str
    header: Mapping[str, Any] = field(default_factory=dict[str, Any])
    arrays: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict[str, npt.NDArray[Any]])
    source: str = "the predictor file"
    """Where it was read from, for messages."""
    within: str = "its header"
    """Which part of the header this is, for messages."""

    def value(self, key: str) -> Any:
        """Return an entry of the header; `CheckpointError` without it."""
        try:
            return self.header[key]
        except KeyError:
            raise self.unfit(f"{self.within} lacks {key!r}") from None

    def section(self, key: str) -> Checkpoint:
        """Return an entry of the header that is a mapping, as a checkpoint with the same arrays."""
        return self._section(self.value(key), key)

    def sections(self, key: str, *, most: int) -> list[Checkpoint]:
        """Return an entry of the header that is a list of at most so many mappings."""
        found = self.value(key)
        if not isinstance(found, list) or len(cast("list[object]", found)) > most:
            raise self._other(key, f"a list of at most {most} mappings")
        return [self._section(one, f"{key}[{i}]") for i, one in enumerate(cast("list[object]", found))]

    def _section(self, found: object, key: str) -> Checkpoint:
        if not isinstance(found, dict):
            raise self.unfit(f"{key!r} in {self.within} is {shortened(found)}, not a mapping")
        return replace(self, header=cast("dict[str, Any]", found), within=f"{key!r} in {self.within}")

    def text(self, key: str) -> str:
        """Return an entry of the header that is a text."""
        found = self.value(key)
        if not isinstance(found, str):
            raise self._other(key, "a text")
        return found

    def texts(self, key: str) -> tuple[str, ...]:
        """Return an entry of the header that is a list of distinct texts, such as the names of the knobs."""
        found = self.value(key)
        listed = cast("list[object]", found) if isinstance(found, list) else [None]
        texts = [text for text in listed if isinstance(text, str)]
        if len(texts) != len(listed):
            raise self._other(key, "a list of texts")
        if len(set(texts)) != len(texts):
            raise self._other(key, "a list of distinct texts")
        return tuple(texts)

    def number(self, key: str, *, least: float = -LARGEST_NUMBER, most: float = LARGEST_NUMBER) -> float:
        """Return an entry of the header that is a number from `least` to `most`."""
        return self._number(self.value(key), key, least, most)

    def numbers(
        self, key: str, *, length: int, least: float = -LARGEST_NUMBER, most: float = LARGEST_NUMBER
    ) -> FloatArray:
        """Return an entry of the header that is a list of `length` numbers from `least` to `most`."""
        found = self.value(key)
        if not isinstance(found, list) or len(cast("list[object]", found)) != length:
            raise self._other(key, f"a list of {length} numbers")
        listed = cast("list[object]", found)
        return np.array([self._number(one, key, least, most) for one in listed], dtype=np.float64)

    def _number(self, found: object, key: str, least: float, most: float) -> float:
        # JSON's true is not a number, though Python's is.
        if isinstance(found, int | float) and not isinstance(found, bool) and least <= found <= most:
            return float(found)
        raise self.unfit(
            f"{key!r} in {self.within} has {shortened(found)}, not a number from {least:g} to {most:g}"
        )

    def array(self, name: str, *, shape: tuple[int | None, ...] | None = None) -> npt.NDArray[Any]:
        """Return an array, of `shape` if given (None stands for any length); else `CheckpointError`."""
        if name not in self.arrays:
            raise self.unfit(f"it lacks the array {shortened(name)}")
        found = self.arrays[name]
        fits = shape is None or (
            len(shape) == found.ndim
            and all(asked in (None, has) for asked, has in zip(shape, found.shape, strict=True))
        )
        if not fits:
            raise self.unfit(f"its array {shortened(name)} has shape {found.shape}, not {shape}")
        return found

    def column(
        self,
        name: str,
        *,
        shape: tuple[int | None, ...],
        least: float = -LARGEST_NUMBER,
        most: float = LARGEST_NUMBER,
    ) -> FloatArray:
        """Return an array of that shape whose numbers are all from `least` to `most`, NaN not being one."""
        found = self.array(name, shape=shape)
        with np.errstate(invalid="ignore"):
            inside = np.asarray((found >= least) & (found <= most))
        if not inside.all():
            wrong = float(found[~inside].flat[0])
            raise self.unfit(
                f"its array {shortened(name)} holds {wrong:g}, not a number from {least:g} to {most:g}"
            )
        return found.astype(np.float64)

    def unfit(self, reason: str) -> CheckpointError:
        """Return the error that says why no predictor can be made of this."""
        return CheckpointError(
            f"{self.source} is not a complete {self.method!r} predictor: {reason}; fit or transfer it again"
        )

    def _other(self, key: str, asked: str) -> CheckpointError:
        return self.unfit(f"{key!r} in {self.within} is {shortened(self.header[key])}, not {asked}")


@contextmanager
def restoring(checkpoint: Checkpoint) -> Generator[None]:
    """Be the boundary at which damage ends: whatever is raised within becomes one `CheckpointError`.

    A file with right checksums may hold anything, and methods of other packages are restored here, too. So
    everything that is raised is taken for damage, arithmetic of wild numbers included.
    """
    try:
        with np.errstate(all="ignore"):
            yield
    except CheckpointError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:LONGEST_SHOWN]
        raise checkpoint.unfit(f"it is damaged ({type(error).__name__}: {reason})") from error
