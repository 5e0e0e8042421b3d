"""Progress of a running sweep: a live bar in a terminal, plain lines elsewhere."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn

from bench.cli import terminal
from bench.planning.registry import display
from bench.planning.spec import TrialSpec
from bench.records.schema import LOST, SUCCEEDED
from bench.sweep.work import ClusterUse, Observer

#: Seconds between two plain lines; later a twentieth of the time that has passed.
PLAIN_SECONDS = 10.0

#: Columns that the shortest bar, its percentage and the gaps take.
_BAR_WIDTH = 14


class Display(Observer):
    """Shows trials done, running and failed, time left, and the best noisy validation so far."""

    def __init__(self, console: Console, rates: dict[str, str], methods: dict[str, str]) -> None:
        """Take the noise rate and the method's name of each trial, under which to show the best."""
        self.console = console
        self.rates, self.methods = dict(rates), dict(methods)
        self.trials = set(rates)
        self.later_trials, self.later_cost = 0, 0.0
        self.costs: dict[str, float] = {}
        self.shares: dict[str, float] = {}
        # Sums are kept, because adding up 10,000 trials at each message takes milliseconds.
        self.known_trials, self.known_cost, self.done_cost = 0, 0.0, 0.0
        self.unfinished: set[str] = set()
        self.running: dict[str, str] = {}
        self.done = self.failed = self.lost_trials = 0
        self.best: dict[str, tuple[float, str]] = {}
        self.started = self.last_line = time.monotonic()
        self.bar: Progress | None = None
        self.use: ClusterUse | None = None

    def __enter__(self) -> "Display":
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    def begin(self, work: Sequence[tuple[str, float]], parallel: int) -> None:
        for key, cost in work:
            self._know(key, cost)
        self.started = self.last_line = time.monotonic()
        trials = self.known_trials
        pretrainings = len(self.costs) - trials
        more = f" and {pretrainings} pretraining{'s' * (pretrainings > 1)}" if pretrainings else ""
        more += f", and about {self.later_trials} of tuning," if self.later_trials else ""
        self._line(f"{trials} trial{'s' * (trials != 1)}{more} to run, {parallel} at a time")
        if self.console.is_terminal:
            self.bar = _Bar(
                lambda: terminal.styled(self.console, self.cluster_line),
                BarColumn(bar_width=None),
                TextColumn("{task.percentage:3.0f}%"),
                TextColumn("{task.fields[state]}", markup=False),
                console=self.console,
                expand=True,
                transient=True,
            )
            self.bar.start()
            self.task = self.bar.add_task("", total=self.total_cost, state="")

    def add(self, key: str, cost: float, spec: TrialSpec | None) -> None:
        """Add a piece of work that tuning has decided on."""
        if spec is not None:
            self.trials.add(key)
            if not spec.is_search:  # a search's figures are of other seeds
                self.rates[key], self.methods[key] = rate_of(spec), display(spec.method)
        self._know(key, cost)

    def _know(self, key: str, cost: float) -> None:
        self.costs[key] = cost
        self.unfinished.add(key)
        self.known_cost += cost
        self.known_trials += key in self.trials

    def _complete(self, key: str, share: float) -> None:
        self.done_cost += self.costs[key] * (share - self.shares.get(key, 0.0))
        self.shares[key] = share

    def later(self, trials: int, cost: float) -> None:
        """Count work that tuning has yet to decide on."""
        self.later_trials, self.later_cost = trials, cost

    def start(self, key: str, label: str) -> None:
        self.running[key] = label
        self._show()

    def advance(self, key: str, share: float, accuracy: float) -> None:
        self._complete(key, share)
        if key in self.rates and not math.isnan(accuracy):
            rate, candidate = self.rates[key], (accuracy, self.methods[key])
            self.best[rate] = max(self.best.get(rate, candidate), candidate)
        self._show()

    def lost(self, key: str, label: str) -> None:
        self.running.pop(key, None)
        self._line(
            f"lost: {label}: its worker died (killed, or out of memory); it is tried again, from "
            "its last checkpoint"
        )

    def warn(self, key: str, label: str, text: str) -> None:
        self._line(f"warning: {label}: {' '.join(text.split())}")

    def end(self, key: str, label: str, status: str, error: str | None) -> None:
        self._complete(key, 1.0)
        self.running.pop(key, None)
        self.unfinished.discard(key)
        if key in self.trials:
            self.done += status in SUCCEEDED
            self.lost_trials += status == LOST
            self.failed += status not in (*SUCCEEDED, LOST)
        if error:
            self._line(f"{status}: {label}: {' '.join(error.split())}")
        self._show(last=not self.unfinished and not self.later_trials)

    def cluster(self, use: ClusterUse) -> None:
        self.use = use

    def tick(self) -> None:
        """Show that time passes, even where an epoch takes minutes."""
        self._show()

    @property
    def total_cost(self) -> float:
        """Rough cost of all work known so far."""
        return self.known_cost + self.later_cost

    @property
    def cluster_line(self) -> str:
        """Machines of the cluster, and trials that wait for one; nothing without a cluster."""
        if not self.use:
            return ""
        over = self.done + self.failed + self.lost_trials
        running = sum(key in self.trials for key in self.running)
        waiting = self.known_trials + self.later_trials - over - running
        return f"cluster: {self.use} · {waiting} trial{'s' * (waiting != 1)} waiting"

    def state(self, width: int | None = None) -> str:
        """Return the counts, the time left and the best so far, as one line.

        A line of limited width names the best of as many noise rates as fit.
        """
        trials = self.known_trials + self.later_trials
        parts = [
            f"{self.done}/{trials} done",
            f"{len(self.running)} running",
            f"{self.failed} failed",
        ]
        parts += [f"{self.lost_trials} lost"] * bool(self.lost_trials)
        share = round(self.done_cost / max(self.total_cost, 1e-9), 6)
        if 0.02 < share < 1:
            left = (time.monotonic() - self.started) * (1 - share) / share
            parts.append(f"{duration(left)} left")
        best = [f"{rate}: {name} {value:.0%}" for rate, (value, name) in sorted(self.best.items())]
        lines = [f"best on noisy validation {', '.join(best)}"] if best else []
        lines += [f"best {', '.join(best[:count])}" for count in range(len(best), 0, -1)]
        for line in lines:
            line = " · ".join([*parts, line])
            if width is None or terminal.styled(self.console, line).cell_len <= width:
                return line
        return " · ".join(parts)

    def _line(self, text: str) -> None:
        terminal.line(self.console, text, wrap=True)

    def _show(self, last: bool = False) -> None:
        if self.bar:
            state = self.state(self.console.width - _BAR_WIDTH)
            state = terminal.styled(self.console, state).plain
            self.bar.update(self.task, completed=self.done_cost, total=self.total_cost, state=state)
            return
        now = time.monotonic()
        if last or now - self.last_line >= max(PLAIN_SECONDS, (now - self.started) / 20):
            self.last_line = now
            self._line(self.state())
            if self.use:
                self._line(self.cluster_line)


class _Bar(Progress):
    """Bar with a line below it, where that is not empty."""

    def __init__(
        self, below: Callable[[], RenderableType], *columns: ProgressColumn, **settings: Any
    ) -> None:
        self.below = below
        super().__init__(*columns, **settings)

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if text := self.below():
            yield text


def rate_of(spec: TrialSpec) -> str:
    """Return the noise rate of a trial for people, without the noise kind."""
    return spec.noise.removeprefix(f"{spec.noise_kind} ")


def duration(seconds: float) -> str:
    """Return seconds for people: "45 s", "12 min", "3 h 20 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
