"""Things by name: those that PowerTrain brings, and those that installed packages add.

A package adds one by an entry point in its own `pyproject.toml`:

```toml
[project.entry-points."powertrain.stores"]
mariadb = "my_package.stores:open_mariadb"
```

Nothing is imported before it is asked for by its name, and installed packages are searched only for a name
that PowerTrain itself does not have. So a package can add, but not replace.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, final

from powertrain.errors import PowerTrainError, UnknownNameError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["Registry"]


@final
class Registry:
    """The things of one kind, each an object of a module."""

    def __init__(self, *, kind: str, group: str, built_in: Mapping[str, str]) -> None:
        """Know the built-in ones.

        Args:
            kind: What they are, for messages ("method", "kind of store").
            group: The group of entry points in which packages add theirs.
            built_in: `"module:attribute"` by name, in the order in which they are listed.
        """
        self._kind, self._group, self._built_in = kind, group, dict(built_in)

    def names(self) -> tuple[str, ...]:
        """Return all names: the built-in ones in their order, then those of packages, sorted."""
        return (*self._built_in, *sorted(self._added()))

    def __contains__(self, name: str) -> bool:
        return name in self._built_in or name in self._added()

    def load(self, name: str) -> Any:
        """Import and return one.

        Raises:
            UnknownNameError: There is none of that name; the message lists the nearest.
            PowerTrainError: A package adds it, and it cannot be imported.
        """
        if name in self._built_in:
            module, _, attribute = self._built_in[name].partition(":")
            return getattr(import_module(module), attribute)
        added = self._added()
        if name not in added:
            raise UnknownNameError.of(self._kind, name, self.names())
        point = added[name]
        try:
            return point.load()
        except Exception as error:  # the boundary to code that is not ours
            package = point.dist.name if point.dist else point.value
            raise PowerTrainError(
                f"the {self._kind} {name!r} of the package {package} cannot be loaded "
                f"({' '.join(str(error).split()) or type(error).__name__}): update or uninstall that package"
            ) from error

    def _added(self) -> dict[str, EntryPoint]:
        # Loading this takes half as long as all of `powertrain --help`.
        from importlib.metadata import entry_points

        points = entry_points(group=self._group)
        return {point.name: point for point in points if point.name not in self._built_in}
