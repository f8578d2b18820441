"""Small words of messages: how many of a thing, how long something took, and names that may be shown."""

from __future__ import annotations

import re

__all__ = ["counted", "duration", "one_line", "plural", "visible"]

_SIBILANTS = ("s", "x", "z", "ch", "sh")
MINUTE_S, HOUR_S = 60.0, 3600.0
LONGEST_LINE = 1000
"""Characters of a message; the longest that PowerTrain itself means have some 400."""

_CONTROLS = re.compile(
    # All that moves a cursor, colours or starts a command of a terminal (C0 and C1 without tab and line
    # feed), that turns the direction of writing or cannot be seen, and halves of characters.
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


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


def one_line(text: str) -> str:
    r"""Return a message as one line that can be read: of a very long one the middle is left out.

    A message quotes what it found, and a file may hold a number of 5,000 digits, or as many columns.

    ```pycon
    >>> one_line("two\n  words")
    'two words'
    >>> len(one_line("9" * 5000)) < 1000
    True

    ```
    """
    line = " ".join(text.split())
    if len(line) <= LONGEST_LINE:
        return line
    # What was found stands at the beginning, and what to do at the end.
    return f"{line[: LONGEST_LINE // 2]} ... {line[-LONGEST_LINE // 3 :]}"


def _two_digits(number: float) -> str:
    return f"{number:.2g}" if number < 10 else f"{number:,.0f}"


def visible(text: str) -> str:
    r"""Return a text in which control characters are spelled out, as `\x1b`, so that a terminal obeys none.

    Names of workloads, devices, knobs and flags come from files, which may hold anything. Tabs and line feeds
    stay: they are the form of what is printed.

    ```pycon
    >>> print(visible("net\x1b[31m"))
    net\x1b[31m

    ```
    """
    return _CONTROLS.sub(lambda found: _escaped(ord(found[0])), text)


def _escaped(number: int) -> str:
    # As in JSON and Python, so that what is shown can be looked for.
    if number > 0xFFFF:
        return f"\\U{number:08x}"
    return f"\\u{number:04x}" if number > 0xFF else f"\\x{number:02x}"
