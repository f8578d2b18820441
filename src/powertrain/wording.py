"""Small words of messages: how many of a thing, and how long something took."""

from __future__ import annotations

__all__ = ["counted", "duration", "plural"]

_SIBILANTS = ("s", "x", "z", "ch", "sh")
MINUTE_S, HOUR_S = 60.0, 3600.0


def plural(noun: str) -> str:
    """Return the plural of a regular noun, of which the last word counts.

    ```pycon
    >>> [plural(noun) for noun in ("mode", "cpufreq policy", "minibatch", "day")]
    ['modes', 'cpufreq policies', 'minibatches', 'days']

    ```
    """
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(_SIBILANTS) else f"{noun}s"


def counted(n: int, noun: str) -> str:
    """Return how many of a thing there are, the noun in the right number.

    ```pycon
    >>> [counted(n, "profile") for n in (0, 1, 4368)]
    ['0 profiles', '1 profile', '4,368 profiles']

    ```
    """
    return f"{n:,} {noun if n == 1 else plural(noun)}"


def duration(time_s: float) -> str:
    """Return a time [s] in the unit that suits it.

    ```pycon
    >>> [duration(time_s) for time_s in (0.042, 2.5, 75, 600, 9000)]
    ['0.042 s', '2.5 s', '75 s', '10 min', '2.5 h']

    ```
    """
    if time_s < 2 * MINUTE_S:
        return f"{_two_digits(time_s)} s"
    if time_s < 2 * HOUR_S:
        return f"{_two_digits(time_s / MINUTE_S)} min"
    return f"{_two_digits(time_s / HOUR_S)} h"


def _two_digits(number: float) -> str:
    return f"{number:.2g}" if number < 10 else f"{number:,.0f}"
