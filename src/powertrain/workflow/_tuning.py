"""The best mode for a training that runs: what directs the trials, and what is told of them."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, final

from typing_extensions import override

from powertrain.dataset import AbstractStore
from powertrain.devices import AbstractLiveDevice
from powertrain.models import AbstractPredictor, predictor_class
from powertrain.profiling import Director, Glance
from powertrain.records import PowerMode, Profile, ProfileTable
from powertrain.space import is_speed
from powertrain.tuning import Budget, Decision, Departure, Tuner, Watch
from powertrain.units import s_from_ms
from powertrain.wording import counted
from powertrain.workflow._tune_inputs import check_sensor, references_of, searchable
from powertrain.workflow._tune_options import Told, TuneOptions
from powertrain.workflow._tune_report import (
    Saving,
    Trial,
    TuneReport,
    TuneState,
    apply_line,
    found_line,
    goal_line,
    keeps,
    kept_line,
    trial_line,
)

__all__ = ["Tuning"]

PASSING = frozenset({"throttled", "unsteady", "drifting", "interrupted", "undone", "sensor_failed"})
"""Flags of a trial that may go better the next time: a run that goes on makes it again."""
LEAST_TO_LEARN = 3
"""Trials before a change of the training from which the trials after it can learn."""
HOPELESS_TRIALS = 5
"""Trials above a limit after which the mode is tried that comes nearest to it if any does."""
FAR = 1.1
"""How far above a limit on time the fastest trial has to be for that: more cores may be a little slower."""
CORRECTING_TRIALS = 4
"""More trials, at most, once a limit was found exceeded."""


@final
class Tuning(Director):
    """Directs the trials of one training on one device, and says what became of them."""

    def __init__(
        self,
        device: AbstractLiveDevice,
        workload: str,
        options: TuneOptions,
        store: AbstractStore,
        *,
        origin: Mapping[str, str] | None = None,
    ) -> None:
        """Get ready, and recall what the store has of this training.

        Args:
            device: What is set and measured.
            workload: Name under which trials are kept.
            options: How it is tuned.
            store: Where trials are kept.
            origin: What tells this training from another one, or another version, of the same name; trials
                of others are not recalled.

        Raises:
            DeviceError: The device has no power sensor, and a limit or the objective needs one.
            MissingKnobError: A reference has other knobs than the device.
        """
        check_sensor(device, options.goal)
        self.device, self.workload, self.options = device, workload, options
        self.knobs = device.space.names
        self._store, self._origin = store, dict(origin or {})
        self._references = references_of(options.references, device)
        self._modes = searchable(device)
        self._watch = Watch(options.goal, options.patience)
        self._tuner, self._phase, self._profiles = self._new_tuner(options.trials), 1, list[Profile]()
        self._trials: list[Trial] = []
        self._found: Trial | None = None
        self._found_counts = self._blind = False
        self._held: PowerMode | None = None
        self._changes: list[str] = []
        self._failure = ""
        self._decision = Decision(mode=None, why="nothing was tried yet")
        self._state: TuneState = "trying"
        self._minibatches: Callable[[], int] = lambda: 0
        self._paused_s: Callable[[], float] = lambda: 0.0
        self._before: tuple[float, int, float] | None = None
        self._tuning_s = self._cost_s = 0.0
        self._began_s: float | None = None
        self._decided_at = 0
        store.refuse_read_only()
        self.recall(store.profiles(device=device.name, workload=workload))

    def attach(self, *, minibatches: Callable[[], int], paused_s: Callable[[], float]) -> None:
        """Take what tells how many minibatches were trained so far, and how long something else was done."""
        self._minibatches, self._paused_s = minibatches, paused_s

    @override
    def begin(self) -> bool:
        self._began_s = self.device.clock.now_s()
        goal = goal_line(self.workload, self.device.name, self.options.goal, self.options.trials)
        recalled = f"; {counted(n, 'trial')} made before" if (n := len(self._trials)) else ""
        self._say("start", goal + recalled)
        # Above a hard limit not even a minibatch is to be trained for the sake of a comparison.
        return not math.isfinite(self.options.goal.hard_limit_w)

    @property
    @override
    def left(self) -> int:
        return self._tuner.left

    @property
    def trials(self) -> tuple[Trial, ...]:
        """What was tried so far."""
        return tuple(self._trials)

    @property
    def decision(self) -> Decision:
        """Return the best mode that was measured to keep the limits, as of now."""
        return self._tuner.decision()

    @override
    def recall(self, profiles: Iterable[Profile]) -> int:
        known = [p for p in profiles if self._is_ours(p) and not PASSING & set(p.flags)]
        known = [p for p in known if set(p.mode) == set(self.knobs)]
        if known:
            self._phase = max(int(p.extra.get("phase", "1")) for p in known)
            known = [p for p in known if int(p.extra.get("phase", "1")) == self._phase]
        for profile in known:
            self._take(profile, recalled=True)
        return len(known)

    @override
    def found(self, profile: Profile, *, is_mode: bool) -> None:
        self._found = self._trial(profile)
        usable = is_mode and not profile.flags
        self._found_counts = not is_mode and not profile.flags
        self._say("found", found_line(self._found, self.options.goal))
        if usable:
            self._take(profile)
            self._found = self._trials[-1]

    @override
    def ask(self) -> PowerMode | None:
        now = self.device.clock.now_s(), self._minibatches(), self._paused_s()
        self._before = self._before or now
        self._tuner.budget = replace(self._tuner.budget, minibatches_left=self._minibatches_left())
        telling = self._telling()
        if telling is None or self._tuner.left <= 0:
            return self._tuner.ask()
        return None if telling in [trial.mode for trial in self._trials] else telling

    @override
    def tell(self, profile: Profile) -> None:
        again = any(trial.mode == profile.mode and not trial.recalled for trial in self._trials)
        self._take(profile)
        decision, goal = self._tuner.decision(), self.options.goal
        best = profile.mode in [one.mode for one in decision.front] or decision.mode == profile.mode
        trial, number = self._trials[-1], len(self._trials)
        self._say("trial", trial_line(trial, goal, number=number, best=best, again=again))

    @override
    def decide(self) -> PowerMode | None:
        decision = self._decision = self._explained(self._tuner.decision())
        self._count_cost(decision)
        mode = self._to_hold(decision)
        self._held = mode
        self._decided_at = self._minibatches()
        if mode is not None:
            at_s, limited = self.device.clock.now_s(), decision.mode is not None
            self._watch.expect(self._expected(mode), at_s=at_s, limited=limited)
        return mode

    @override
    def saw(self, glance: Glance) -> bool:
        if self.options.look is not None:
            self.options.look(glance)
        values = {"time_ms": glance.time_ms, "power_w": glance.power_w}
        known = {column: value for column, value in values.items() if not math.isnan(value)}
        if self.device.rails and "power_w" not in known and not self._blind:
            self._blind = True
            self._say("problem", "the power sensor gives nothing any more; the mode is held unseen")
        departure = self._watch.add(known, at_s=glance.at_s)
        if departure is None or self._held is None:
            return False
        self._changes.append(departure.why)
        now = self._profile_of(self._held, departure)
        if departure.kind == "limit":
            self._correct(now)
        else:
            throttled = ", the device slows itself down" if glance.throttled else ""
            self._begin_anew(now, f"{departure.why}{throttled}")
        self._state = "trying"
        return True

    @override
    def lost(self, why: str) -> None:
        self._say("problem", f"the mode is set again: {why}")

    def keep(self, profile: Profile) -> None:
        """Keep a trial that has just been finished."""
        phase = {"phase": str(self._phase)} if self._phase > 1 else {}
        self._store.add([replace(profile, extra={**profile.extra, **self._origin, **phase})])

    def failed(self, error: Exception) -> None:
        """Take in why nothing more is tried: the training goes on, and the device is as it was found."""
        self._state, self._held = "failed", None
        self._decision = self._tuner.decision()
        self._failure = " ".join(str(error).split()) or type(error).__name__
        self._say("problem", f"tuning ends, and the training goes on as it was before: {self._failure}")

    def report(self) -> TuneReport:
        """Return what became of the tuning so far."""
        trying = self._state == "trying"
        decision = self._tuner.decision() if trying else self._decision
        saving = self._saving(decision)
        tuning_s, cost_s = self._spent(decision)
        return TuneReport(
            device=self.device.name,
            simulated=self.device.simulated,
            workload=self.workload,
            goal=self.options.goal.as_json(),
            found=self._found,
            trials=self.trials,
            decision=decision,
            reason=self._failure or ("the training ended" if trying else decision.why),
            state=self._state,
            tuning_s=self._tuning_s + tuning_s,
            cost_s=self._cost_s + cost_s,
            minibatches=self._minibatches(),
            training_s=self._training_s(),
            changes=tuple(self._changes),
            saving=saving,
            apply=None if decision.mode is None else apply_line(decision.mode, self.device.spec),
        )

    def _training_s(self) -> float:
        """Return the time since the training began [s]; 0 before that."""
        return 0.0 if self._began_s is None else self.device.clock.now_s() - self._began_s

    def _new_tuner(self, trials: int, *, more: Sequence[AbstractPredictor] = ()) -> Tuner:
        return Tuner(
            self._modes,
            self.options.goal,
            references=(*self._references, *more),
            budget=Budget(most_trials=trials),
            seed=self.options.seed,
        )

    def _take(self, profile: Profile, *, recalled: bool = False) -> None:
        self._tuner.tell(profile)
        self._profiles.append(profile)
        self._trials.append(self._trial(profile, recalled=recalled))

    def _trial(self, profile: Profile, *, recalled: bool = False) -> Trial:
        return Trial(
            mode=profile.mode,
            time_ms=profile.time_ms,
            power_w=profile.power_w,
            flags=profile.flags,
            keeps=keeps(profile, self.options.goal),
            recalled=recalled,
            ended_s=math.nan if recalled else self._training_s(),
            duration_s=profile.duration_s,
            phase=self._phase,
        )

    def _is_ours(self, profile: Profile) -> bool:
        return all(profile.extra.get(key, value) == value for key, value in self._origin.items())

    def _telling(self) -> PowerMode | None:
        """Return the mode that is to tell whether any mode keeps a limit, None where there is none yet.

        With every speed at its lowest a board draws the least, and with every speed at its highest it is the
        fastest. Where several trials have all exceeded a limit, that mode tells whether to go on, and a limit
        that nothing can keep costs no fifteen trials.
        """
        usable = [trial for trial in self._trials if not trial.flags]
        if len(usable) < HOPELESS_TRIALS or any(trial.keeps for trial in usable):
            return None
        if not all(map(is_speed, self.knobs)):
            return None
        goal = self.options.goal
        if all(trial.power_w > goal.limits.max_power_w for trial in usable):
            mode = PowerMode({knob.name: min(knob.values) for knob in self.device.space.knobs})
        elif all(trial.time_ms > FAR * goal.limits.max_time_ms for trial in usable):
            if math.isfinite(goal.hard_limit_w):
                return None  # the fastest mode may draw more than that
            mode = PowerMode({knob.name: max(knob.values) for knob in self.device.space.knobs})
        else:
            return None
        tried = next((trial for trial in self._trials if trial.mode == mode), None)
        return None if tried is not None and tried.flags else mode

    def _minibatches_left(self) -> float:
        total = self.options.minibatches
        return math.inf if total is None else max(float(total - self._minibatches()), 0.0)

    def _explained(self, decision: Decision) -> Decision:
        """Return the decision with a reason that fits the end of the trials."""
        flags = sorted({flag for trial in self._trials for flag in trial.flags})
        if decision.mode is None and all(trial.flags for trial in self._trials):
            return replace(
                decision, why=f"no trial can be relied on ({', '.join(flags) or 'there was none'})"
            )
        if decision.mode is not None and not self._tuner.reason:
            return replace(decision, why="every mode was tried")
        return decision

    def _to_hold(self, decision: Decision) -> PowerMode | None:
        """Return the mode to go on in, and say so; None for the state that the device was found in."""
        if decision.mode is None:
            return self._without_any(decision)
        if self._found_is_better(decision):
            self._state = "as found"
            self._say("hold", "the device stays as it was found, which is better than every mode tried")
            return None
        if self.options.then == "restore":
            self._state = "restored"
            self._say(
                "hold",
                f"the best mode is {kept_line(decision, self.options.goal)}; the device is as it was found",
            )
            return None
        self._state = "held"
        self._say("hold", f"holding {kept_line(decision, self.options.goal)}")
        return decision.mode

    def _without_any(self, decision: Decision) -> PowerMode | None:
        """Return what to hold where no mode keeps the limits.

        The mode before, if trials were made again. Otherwise nothing: whoever mistyped a limit is not to
        wait for a training in the slowest mode. Only where a supply can bear no more, the least power that
        was seen is better than the unknown.
        """
        usable = [p for p in self._profiles if not p.flags]
        least = min((p for p in usable if math.isfinite(p.power_w)), key=lambda p: p.power_w, default=None)
        seen = self._least_seen(usable)
        if self._held is not None:
            self._state = "held"
            self._say("problem", f"{decision.why}{seen}: going on in {self._held}")
            return self._held
        if least is not None and math.isfinite(self.options.goal.hard_limit_w):
            self._state = "held"
            self._say("problem", f"{decision.why}{seen}: going on in that mode, {least.mode}")
            return least.mode
        self._state = "as found"
        self._say("problem", f"{decision.why}{seen}: the training goes on as the device was found")
        return None

    def _least_seen(self, usable: Sequence[Profile]) -> str:
        """Say what the least is that was seen of each quantity that has a limit."""
        told: list[str] = []
        for quantity in self.options.goal.limits.by_quantity():
            values = [value for p in usable if math.isfinite(value := quantity.of(p.values))]
            told += (
                [f"; the least {quantity.title} seen is {min(values):.4g} {quantity.unit}"] if values else []
            )
        return "".join(told)

    def _found_is_better(self, decision: Decision) -> bool:
        """Tell whether the state that the device was found in, if it is no mode, beats what was decided."""
        found = self._found
        if not self._found_counts or found is None or not found.keeps:
            return False
        as_found = {"time_ms": found.time_ms, "power_w": found.power_w}
        objective = self.options.goal.quantity
        return objective.of(as_found) < objective.of(decision.values)

    def _expected(self, mode: PowerMode) -> Mapping[str, float]:
        """Return how the training goes in a mode, as it was measured."""
        if mode == self._decision.mode:
            return self._decision.values
        last = next((p for p in reversed(self._profiles) if p.mode == mode and not p.flags), None)
        return {} if last is None else last.values

    def _profile_of(self, mode: PowerMode, departure: Departure) -> Profile:
        """Return what was seen of the mode that is held as a measurement of it."""
        return Profile(device=self.device.name, workload=self.workload, mode=mode, values=departure.values)

    def _correct(self, now: Profile) -> None:
        """Have what was seen later take the place of what was measured in this mode before."""
        others = [p for p in self._profiles if p.mode != now.mode]
        self._say("change", f"{now.mode} does not keep the limit after all: {self._changes[-1]}")
        self._profiles = []
        self._tuner = self._new_tuner(len(others) + 1 + CORRECTING_TRIALS)
        for profile in others:
            self._tuner.tell(profile)
            self._profiles.append(profile)
        self._take(now)
        self.keep(now)

    def _begin_anew(self, now: Profile, why: str) -> None:
        """Forget what the modes were before a change of the training, but for how they compare."""
        self._say("change", f"trying modes again: {why}")
        learned = self._learned()
        self._phase += 1
        self._profiles = []
        self._tuner = self._new_tuner(self.options.trials, more=learned)
        self._take(now)
        self.keep(now)

    def _learned(self) -> list[AbstractPredictor]:
        """Return what the trials before a change teach of those after it: a reference, if they are enough."""
        usable = [p for p in self._profiles if not p.flags]
        if len({p.mode for p in usable}) < LEAST_TO_LEARN:
            return []
        table = ProfileTable.of(usable, knobs=self.knobs).averaged().within(self.device.space.ends())
        return [predictor_class("gp").fit(table, seed=self.options.seed)]

    def _count_cost(self, decision: Decision) -> None:
        """Count what the trials since the last decision took, and close them."""
        tuning_s, cost_s = self._spent(decision)
        self._tuning_s += tuning_s
        self._cost_s += cost_s
        self._before = None

    def _spent(self, decision: Decision) -> tuple[float, float]:
        """Return what the trials since the last decision took, and how much longer that was [s]."""
        if self._before is None:
            return 0.0, 0.0
        started_s, minibatches, paused_s = self._before
        spent_s = self.device.clock.now_s() - started_s - (self._paused_s() - paused_s)
        as_found_ms = math.nan if self._found is None else self._found.time_ms
        best_ms = decision.values.get("time_ms", as_found_ms)
        if not math.isfinite(best_ms):
            return spent_s, 0.0
        trained = self._minibatches() - minibatches
        return spent_s, max(spent_s - s_from_ms(best_ms) * trained, 0.0)

    def _saving(self, decision: Decision) -> Saving | None:
        found = self._found
        if decision.mode is None or found is None or found.flags or self._phase != found.phase:
            return None  # what was found was another training
        time_ms = decision.values.get("time_ms", math.nan)
        power_w = decision.values.get("power_w", math.nan)
        since = self._minibatches() - self._decided_at if self._state == "held" else 0
        return Saving(
            time_pct=100 * (1 - time_ms / found.time_ms),
            power_w=found.power_w - power_w,
            energy_pct=100 * (1 - time_ms * power_w / (found.time_ms * found.power_w)),
            so_far_s=s_from_ms(found.time_ms - time_ms) * since - self._cost_s,
        )

    def _say(self, kind: Any, text: str) -> None:
        if self.options.say is not None:
            self.options.say(Told(kind=kind, text=text))
        elif kind == "problem":
            # Where warnings are errors, this one is still none of the training's.
            with suppress(RuntimeWarning):
                warnings.warn(f"powertrain: {text}", RuntimeWarning, stacklevel=_levels_to_program())


def _levels_to_program() -> int:
    """Return how many frames the program is away from the caller, so that a warning names a line of it."""
    frame, level = inspect.currentframe(), 0
    package = str(Path(__file__).parents[1])
    while frame is not None and frame.f_code.co_filename.startswith(package):
        frame, level = frame.f_back, level + 1
    return level
