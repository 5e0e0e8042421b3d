"""TODO."""

#: Images that are copied to the device at a time.
COPIED = 4096


def replaced(
    dataset: Dataset, drawn: tuple[np.ndarray, np.ndarray] | None
) -> np.ndarray | ImageFiles:
    """The training images, with what open-set noise has put in their place."""
    if drawn is None:
        return dataset.train_images
    assert isinstance(dataset.train_images, np.ndarray) and dataset.donors is not None
    positions, donors = drawn
    images = dataset.train_images.copy()
    images[positions] = dataset.donors[donors]
    return images


def pixels_for(
    dataset: Dataset,
    spec: TrialSpec | PretrainJob,
    images: np.ndarray | ImageFiles | None = None,
    positions: np.ndarray | None = None,
) -> Pixels:
    """The data set's training images, or these other ones, on the trial's device or on their way
    there.

    With ``positions`` (N,) these of them alone, in that order and in memory of their own. Only
    memory that nobody can write to, such as that of Ray's object store or of a decoded cache, is
    shared: there may be gigabytes of it.
    """
    images = dataset.train_images if images is None else images
    mean, std = (
        torch.tensor(s, dtype=torch.float32, device=spec.device) for s in dataset.pixel_statistics
    )
    if isinstance(images, ImageFiles):
        files = images if positions is None else images[positions]
        return StreamedPixels(files, mean, std, torch.device(spec.device), workers=spec.threads - 1)
    if positions is None:
        return Pixels(_tensor(images, spec.device), mean, std)
    if spec.device == "cpu" and not images.flags.writeable:
        return SharedPixels(images, positions, mean, std)
    copies = torch.empty((len(positions), *images.shape[1:]), dtype=torch.uint8, device=spec.device)
    for part, chosen in zip(
        copies.split(COPIED),
        np.split(positions, range(COPIED, len(positions), COPIED)),
        strict=True,
    ):
        part.copy_(torch.from_numpy(np.take(images, chosen, axis=0)))
    return Pixels(copies, mean, std)


def _tensor(array: np.ndarray, device: str) -> Tensor:
    # arrays shared between processes are read-only, and nobody writes to them
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writ")
        return torch.from_numpy(array).to(device)
