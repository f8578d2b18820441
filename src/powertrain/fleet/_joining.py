"""Which boards are equal, and what is said of those that are not."""

from __future__ import annotations

from collections.abc import Mapping

from powertrain.fleet._board import BoardFacts

__all__ = ["clock_remark", "differs", "same_kind"]


def clock_remark(board: str, told_s: float, *, asked_s: float, answered_s: float, most_s: float) -> str:
    """Return a line on a clock that differs by more than `most_s`, empty for one that agrees.

    Args:
        board: Whose clock.
        told_s: What it showed, somewhere between the two other times, since 1970 [s].
        asked_s: When it was asked, by the clock of whoever asked.
        answered_s: When the answer came, by that clock.
        most_s: Difference that does not matter.
    """
    off_s = told_s - min(max(told_s, asked_s), answered_s)
    if abs(off_s) <= most_s:
        return ""
    way = "ahead" if off_s > 0 else "behind"
    return (
        f"the clock of {board} is {abs(off_s):,.0f} s {way} of this machine's: nothing measured "
        "depends on it, but logs will not match; set it, for example with NTP"
    )


def same_kind(found: Mapping[str, BoardFacts]) -> tuple[BoardFacts | None, dict[str, str]]:
    """Return what most boards are, and for each of the others a line on how it differs.

    Where as many are of one kind as of another, the kind of the board that comes first counts.
    """
    if not found:
        return None, {}
    counts: dict[tuple[object, ...], list[str]] = {}
    for board in sorted(found):
        counts.setdefault(found[board].kind, []).append(board)
    most = max(counts.values(), key=len)
    model = found[most[0]]
    others = {board: differs(board, facts, model) for board, facts in found.items() if board not in most}
    return model, others


def differs(board: str, found: BoardFacts, model: BoardFacts) -> str:
    """Return a line on a board that is not of the kind of the others, empty if it is."""
    if found.kind == model.kind:
        return ""
    if found.device != model.device:
        what = f"it is {found.device}, and the others are {model.device}"
    elif found.knobs != model.knobs:
        own, theirs = dict(found.knobs), dict(model.knobs)
        names = sorted(name for name in {*own, *theirs} if own.get(name) != theirs.get(name))
        what = f"its {', '.join(names)} has other values than that of the others"
    else:
        what = f"its power is the sum of {' + '.join(found.rails) or 'nothing'}, not of " + (
            " + ".join(model.rails) or "nothing"
        )
    return f"{board} is left out: {what}; start Ray there with what powertrain fleet join prints"
