"""TODO."""

@dataclass(frozen=True)
class Labels:
    """Noisy labels of all non-test images, and the split of these into training and validation.
    Equal for all methods.
    """

    noisy: np.ndarray  # (N,)
    train: np.ndarray  # positions
    validation: np.ndarray
    # (N,) UNKNOWN where nobody knows it, OUTSIDE where the image is of none of the classes
    truth: np.ndarray

    @classmethod
    def of(cls, spec: TrialSpec, dataset: Dataset) -> "Labels":
        """Noise first, then the split, which is stratified on the noisy labels: the clean ones are
        not known in practice.
        """
        noisy = noise.corrupt(
            dataset, spec.noise_kind, spec.noise_rate, spec.noise_seed, spec.noise_sampling
        )
        size = max(1, round(spec.validation_share * len(noisy)))
        validation = np.sort(
            stratified_choice(noisy, size, np.random.default_rng([spec.split_seed, 1]))
        )
        truth = dataset.train_labels
        if drawn := openset(
            dataset, spec.noise_kind, spec.noise_rate, spec.noise_seed, spec.noise_sampling
        ):
            truth = truth.copy()
            truth[drawn[0]] = OUTSIDE
        return cls(noisy, np.setdiff1d(np.arange(len(noisy)), validation), validation, truth)

    def facts(self, spec: TrialSpec, dataset: Dataset) -> dict[str, Any]:
        """What the record says of them; what needs the truth is missing where nobody knows it."""
        known = self.truth != UNKNOWN
        wrong = int((self.noisy != self.truth)[known].sum())
        matrix = (
            noise.transition_matrix(self.truth, self.noisy, dataset.num_classes).round(6).tolist()
        )
        tested = len(np.unique(dataset.test_labels))
        return {
            "classes": dataset.num_classes,
            "noise": {
                "nominal_rate": spec.noise_rate,
                # Of labels that somebody verified, often the right ones only, the rate would be no
                # rate.
                "realised_rate": wrong / len(known) if known.all() else None,
                "transition_matrix": matrix if known.all() else None,
                "label_hash": noise.label_hash(self.noisy),
                "known_labels": int(known.sum()),
                "wrong_of_known": wrong if known.any() else None,
                "openset_images": int((self.truth == OUTSIDE).sum()),
            },
            "train_images": len(self.train),
            "validation_images": len(self.validation),
            # With each epoch's predictions: accuracy on as many clean-labelled validation images as
            # one likes.
            "validation_truth": pack_classes(self.truth[self.validation])
            if (self.truth[self.validation] >= 0).any()
            else None,
            "test_images": len(dataset.test_labels),
            # Only where it is fewer than all: accuracies on the test set leave the others out.
            **({"tested_classes": tested} if tested < dataset.num_classes else {}),
            "noisy_test": dataset.noisy_test,
        }


def openset(
    dataset: Dataset, kind: str, rate: float | None, seed: int, sampling: str
) -> tuple[np.ndarray, np.ndarray] | None:
    """Positions of the training images that open-set noise replaces, and of the donors that replace
    them.
    """
    if not kind.startswith(noise.OPENSET) or not rate:
        return None
    assert dataset.donors is not None
    return noise.openset(
        len(dataset.train_labels), len(dataset.donors), rate, noise.generator(seed), sampling
    )
