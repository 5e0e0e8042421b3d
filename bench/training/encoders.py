"""TODO."""

@dataclass
class Encoder:
    """A pretrained encoder and what is known about it; plain arrays, so that it travels and is
    stored without pickle.
    """

    weights: dict[str, np.ndarray]
    probes: np.ndarray  # (Q,) int64: training images whose neighbours were looked up
    neighbours_before: np.ndarray  # (Q, K) int64: by the features of the random start
    neighbours_after: np.ndarray  # (Q, K) int64: by the trained features
    spread: float  # of the projections: 1 is healthy, 0 collapsed
    train_seconds: float
    loss: float

    def knn_accuracy(self, labels: np.ndarray, num_classes: int) -> tuple[float, float]:
        """Accuracy of a vote among each probe's neighbours, before and after pretraining, for any
        labels (N,).
        """
        before, after = (
            np.stack(
                [np.bincount(labels[row], minlength=num_classes).argmax() for row in neighbours]
            )
            for neighbours in (self.neighbours_before, self.neighbours_after)
        )
        truth = labels[self.probes]
        return float((before == truth).mean()), float((after == truth).mean())

    def frozen(self, task: Task) -> "FrozenEncoder":
        """The encoder as a function, where and how the task computes."""
        net = task.build_network()
        net.body.load_state_dict(
            {name: torch.from_numpy(array.copy()) for name, array in self.weights.items()}
        )
        return FrozenEncoder(net.eval().requires_grad_(False), task)


class FrozenEncoder:
    """Features (B, D) of normalised images, without gradients; not a module, so that no method's
    state holds it.
    """

    def __init__(self, network: Network, task: Task) -> None:
        self.network = network  # its passes are counted
        self.task = task

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        with self.task.autocast():
            return self.network.forward_features(x).float()


def save_encoder(encoder: Encoder) -> bytes:
    """The encoder as one safetensors blob."""
    from safetensors.numpy import save

    arrays = {f"weights.{name}": array for name, array in encoder.weights.items()}
    arrays |= {
        name: getattr(encoder, name) for name in ("probes", "neighbours_before", "neighbours_after")
    }
    facts = {name: repr(getattr(encoder, name)) for name in ("spread", "train_seconds", "loss")}
    facts["code"] = harness_hash()
    return save(
        {name: np.asarray(array, order="C") for name, array in arrays.items()}, metadata=facts
    )


def load_encoder(blob: bytes) -> Encoder:
    """The encoder that ``save_encoder`` wrote."""
    from safetensors.numpy import load

    arrays, facts = load(blob), _facts(blob)
    weights = {
        name.removeprefix("weights."): array
        for name, array in arrays.items()
        if name.startswith("weights.")
    }
    return Encoder(
        weights,
        arrays["probes"],
        arrays["neighbours_before"],
        arrays["neighbours_after"],
        float(facts["spread"]),
        float(facts["train_seconds"]),
        float(facts["loss"]),
    )


def by_this_code(blob: bytes) -> bool:
    """Return whether today's code has trained the encoder that ``save_encoder`` wrote."""
    return _facts(blob).get("code") == harness_hash()


def _facts(blob: bytes) -> dict[str, str]:
    length = int.from_bytes(blob[:8], "little")
    return json.loads(blob[8 : 8 + length])["__metadata__"]
