"""TODO."""

@dataclass
class Outcome:
    """How a trial ended. ``facts`` become done.json."""

    facts: dict[str, Any]
    samples: dict[str, np.ndarray] = field(default_factory=dict)
    weights: dict[str, Tensor] | None = None

    def samples_bytes(self) -> bytes | None:
        """The per-sample results as a compressed NumPy archive."""
        if not self.samples:
            return None
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **self.samples)  # type: ignore[arg-type]  # names are not numpy's own arguments
        return buffer.getvalue()

    def weights_bytes(self) -> bytes | None:
        """The final weights as safetensors, which no pickle is needed to load."""
        if self.weights is None:
            return None
        from safetensors.torch import save

        return save(
            {name: value.detach().cpu().contiguous() for name, value in self.weights.items()}
        )


def _sums(records: Sequence[dict[str, Any]], images: int) -> dict[str, float]:
    """What epochs took together: seconds, and passes over the training images."""
    totals = {
        key: sum(record.get(key, 0.0) for record in records)
        for key in ("train_seconds", "eval_seconds", "samples_trained", "samples_inferred")
    }
    passes = {
        f"passes_{key.partition('_')[2]}": totals.pop(key) / images
        for key in ("samples_trained", "samples_inferred")
    }
    return totals | passes


def stopped_facts(
    spec: TrialSpec,
    dataset: Dataset,
    records: Sequence[dict[str, Any]],
    pretrain_seconds: float = 0.0,
) -> dict[str, Any]:
    """The done.json of a trial that a scheduler stopped after the epochs ``records``."""
    labels = Labels.of(spec, dataset)
    privileges = records[0].get("privileges") if records else None
    if privileges is None:  # it never began, or under an earlier version
        privileges = sorted(
            {
                fact
                for part in method_for(spec).parts()
                for fact in check_privileges(part.privileges)
            }
        )
    return {
        "schema": SCHEMA,
        "status": "stopped",
        "error": None,
        "code": code_of(spec.method),
        **labels.facts(spec, dataset),
        "privileges": privileges,
        **_sums(records, len(labels.train)),
        "epochs": len(records),
        "pretrain_seconds": pretrain_seconds,
    }
