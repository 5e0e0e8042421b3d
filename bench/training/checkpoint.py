"""TODO."""

#: A checkpoint's file begins with so many bytes of checksum.
CHECKSUM_BYTES = 32


def _checksum(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=3)


class Checkpoint:
    """A trial's state, replaced as a whole; it holds the record so far, so that nothing has to
    match up later.

    The state before it is kept too: a file that cannot be read costs the epochs in between, not the
    trial's.
    """

    def __init__(
        self,
        path: Path | StoredFile,
        every_seconds: float = 30.0,
        warn: Callable[[str], None] = _warn,
        allowed: Callable[[], bool] = lambda: True,
    ) -> None:
        """Keep the state of a trial at ``path``.

        Args:
            warn: is told what goes wrong, a sentence each; the trial goes on in any case.
            allowed: asked before each write; False once another run of the sweep has taken over.
        """
        self.path = path
        self.previous = path.with_name(f"{path.name.removesuffix('.pt')}.before.pt")
        self.every_seconds = every_seconds
        self.warn = warn
        self.allowed = allowed
        self._saved = time.monotonic()

    def due(self) -> bool:
        """Whether enough time has passed since the last one that its cost does not matter."""
        return time.monotonic() - self._saved >= self.every_seconds

    def save(self, state: dict[str, Any]) -> None:
        """Write ``state``, atomically. Where that fails (a full disk, a store out of reach), the
        trial goes on without.
        """
        start = time.monotonic()
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getvalue()
        try:
            if self.allowed():
                write_whole(self.path, _checksum(content) + content, self.previous)
        except Exception as error:  # every kind of store has its own
            self.warn(
                f"cannot write the checkpoint {self.path} ({one_line(error)}): the trial goes on "
                "without it"
            )
        self._saved = time.monotonic()
        # Slow disk or large state: never spend more than about a fiftieth of the time on
        # checkpoints.
        self.every_seconds = (
            max(self.every_seconds, 50 * (self._saved - start)) if self.every_seconds else 0.0
        )

    def load(self, spec: TrialSpec) -> dict[str, Any] | None:
        """The last state that can be used, or None."""
        for path, otherwise in (
            (self.path, "the one before is used, if there is one"),
            (self.previous, "the trial starts anew"),
        ):
            try:
                if not path.exists():
                    continue
                content = path.read_bytes()
                checksum, content = content[:CHECKSUM_BYTES], content[CHECKSUM_BYTES:]
                if checksum != _checksum(content):
                    # torch.load would not notice a changed weight
                    raise ValueError("its checksum is wrong")
                state = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
                if state["id"] == spec.id and state.get("code") != code_of(spec.method):
                    self.warn(
                        f"the checkpoint {path} was made by other code than today's: the trial "
                        "starts anew"
                    )
                    return None  # the one before is older still
                if state["id"] == spec.id:
                    return state
                reason = "it belongs to another trial"
            except Exception as error:  # torch.load raises many kinds on damaged files
                reason = first_line(error)[:100]
            self.warn(f"cannot use the checkpoint {path} ({reason}): {otherwise}")
        return None

    def remove(self) -> None:
        """Forget it: the trial is over, and on record."""
        try:
            for path in (self.path, self.previous):
                path.unlink(missing_ok=True)
        except Exception as error:  # a store out of reach
            self.warn(
                f"cannot remove the checkpoint {self.path} ({one_line(error)}): do so by hand"
            )
