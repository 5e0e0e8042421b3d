"""What a sweep shows while it runs: a live bar in a terminal, plain lines elsewhere."""

import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from bench.cli import terminal
from bench.planning.registry import display
from bench.planning.spec import TrialSpec
from bench.records.schema import LOST, SUCCEEDED
from bench.sweep.work import Observer

# between two plain lines at first; later a twentieth of the time that has passed
PLAIN_SECONDS = 10.0


class Display(Observer):
    """Trials done, running and failed, time left, and the best so far by noisy validation."""

    def __init__(self, console: Console, rates: dict[str, str], methods: dict[str, str]) -> None:
        """``rates`` and ``methods``: for each trial, what the best so far is shown under, and by
        which name.
        """
        self.console = console
        self.rates, self.methods = dict(rates), dict(methods)
        self.trials = set(rates)
        self.later_trials, self.later_cost = 0, 0.0
        self.costs: dict[str, float] = {}
        self.shares: dict[str, float] = {}
        self.running: dict[str, str] = {}
        self.done = self.failed = self.gone = 0
        self.best: dict[str, tuple[float, str]] = {}
        self.started = self.last_line = time.monotonic()
        self.bar: Progress | None = None

    def __enter__(self) -> "Display":
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    def begin(self, work: Sequence[tuple[str, float]], parallel: int) -> None:
        self.costs = dict(work)
        self.started = self.last_line = time.monotonic()
        trials = sum(key in self.trials for key in self.costs)
        pretrainings = len(self.costs) - trials
        more = f" and {pretrainings} pretraining{'s' * (pretrainings > 1)}" if pretrainings else ""
        more += f", and about {self.later_trials} of tuning," if self.later_trials else ""
        self._line(f"{trials} trial{'s' * (trials != 1)}{more} to run, {parallel} at a time")
        if self.console.is_terminal:
            self.bar = Progress(
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
        """One more piece of work, which tuning has decided on."""
        self.costs[key] = cost
        if spec is not None:
            self.trials.add(key)
            if not spec.is_search:  # its figures would be of other seeds
                self.rates[key], self.methods[key] = rate_of(spec), display(spec.method)

    def later(self, trials: int, cost: float) -> None:
        """What tuning will decide on."""
        self.later_trials, self.later_cost = trials, cost

    def start(self, key: str, label: str) -> None:
        self.running[key] = label
        self._show()

    def advance(self, key: str, share: float, accuracy: float) -> None:
        self.shares[key] = share
        if accuracy == accuracy and key in self.rates:  # not NaN
            here = (accuracy, self.methods[key])
            self.best[self.rates[key]] = max(self.best.get(self.rates[key], here), here)
        self._show()

    def lost(self, key: str, label: str) -> None:
        self.running.pop(key, None)
        text = f"lost: {label}: its worker died (killed, or out of memory); it is tried again, from its last checkpoint"
        self._line(text)

    def warn(self, key: str, label: str, text: str) -> None:
        self._line(f"warning: {label}: {' '.join(text.split())}")

    def end(self, key: str, label: str, status: str, error: str | None) -> None:
        self.shares[key] = 1.0
        self.running.pop(key, None)
        if key in self.trials:
            self.done += status in SUCCEEDED
            self.gone += status == LOST
            self.failed += status not in (*SUCCEEDED, LOST)
        if error:
            self._line(f"{status}: {label}: {' '.join(error.split())}")
        over = (
            not self.running
            and not self.later_trials
            and all(share == 1.0 for share in self.shares.values())
        )
        self._show(last=over)

    def tick(self) -> None:
        """Show that time passes, also where an epoch takes minutes."""
        self._show()

    @property
    def total_cost(self) -> float:
        """Of all work, as far as it is known."""
        return sum(self.costs.values()) + self.later_cost

    def state(self) -> str:
        """One line."""
        trials = sum(key in self.trials for key in self.costs) + self.later_trials
        parts = [
            f"{self.done}/{trials} done",
            f"{len(self.running)} running",
            f"{self.failed} failed",
        ]
        parts += [f"{self.gone} lost"] * bool(self.gone)
        share = sum(self.costs[key] * share for key, share in self.shares.items()) / max(
            self.total_cost, 1e-9
        )
        if 0.02 < share < 1:
            left = (time.monotonic() - self.started) * (1 - share) / share
            parts.append(f"{duration(left)} left")
        if self.best:
            best = ", ".join(
                f"{rate}: {name} {value:.0%}" for rate, (value, name) in sorted(self.best.items())
            )
            parts.append(f"best on noisy validation {best}")
        return " · ".join(parts)

    def _line(self, text: str) -> None:
        terminal.line(self.console, text)

    def _show(self, last: bool = False) -> None:
        if self.bar:
            completed = sum(self.costs[key] * share for key, share in self.shares.items())
            state = terminal.styled(self.console, self.state()).plain
            self.bar.update(self.task, completed=completed, total=self.total_cost, state=state)
            return
        now = time.monotonic()
        if last or now - self.last_line >= max(PLAIN_SECONDS, (now - self.started) / 20):
            self.last_line = now
            self._line(self.state())


def rate_of(spec: TrialSpec) -> str:
    """What the best so far is shown under."""
    return spec.noise.removeprefix(f"{spec.noise_kind} ")


def duration(seconds: float) -> str:
    """Seconds for people: "45 s", "12 min", "3 h 20 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
