"""Nearest neighbours in feature space, by matrix products."""

from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor

from bench.networks.cpu import bfloat16_units

#: Rows of this many values and more are searched on a CPU block by block, or in bfloat16 first.
WIDE = 4096

#: Columns of which one value is compared first, in such rows.
BLOCK = 16

#: Coordinate that lies farther than any, and whose square float32 can still hold.
REMOTE = 1e15

#: Candidates that bfloat16 names for float32 to choose from; k is at most half of them.
CANDIDATES = 32


def nearest_neighbours(
    features: Tensor, k: int, bank: Tensor | None = None, chunk: int = 1000
) -> Tensor:
    """Positions (B, k) of the nearest rows by Euclidean distance, nearest first.

    A matrix product and topk: on batches far faster than any index.

    Args:
        features: rows (B, D) whose neighbours are looked for.
        k: number of neighbours, cut to the number of other rows.
        bank: rows (M, D) to look in. Without one, these are the features, and no row is its own
            neighbour.
        chunk: features that are compared at once.
    """
    among_features = bank is None
    on_cpu = features.device.type == "cpu"
    if features.element_size() < 4:
        features = features.float()  # half precision would take other rows for the nearest
    bank = features if bank is None else bank.to(features.dtype)
    k = min(k, len(bank) - among_features)
    centre = bank.mean(0)
    if not on_cpu:
        centre = centre.nan_to_num(0, 0, 0)  # topk takes NaN for the farthest
    elif not np.isfinite(centre.detach().numpy()).all():
        bank = bank.where(bank.isfinite().all(1, keepdim=True), REMOTE)
        centre = centre.nan_to_num(0, 0, 0)
    bank = bank - centre  # the distances stay; far from the origin, rounding would drown them
    features = bank if among_features else features - centre
    wide = on_cpu and len(bank) >= WIDE
    with _without_autocast(features.device.type):
        if wide and 2 * k <= CANDIDATES and bfloat16_units():
            return _nearest_by_candidates(features, k, bank, among_features, chunk)
        if wide and among_features:
            return _nearest_among(features, k, chunk)
        squares = bank.square().sum(1)
        return torch.cat(
            [
                _nearest(rows, k, bank, squares, i * chunk if among_features else None)
                for i, rows in enumerate(features.split(chunk))
            ]
        )


def _without_autocast(device: str) -> AbstractContextManager[object]:
    """Context without autocast; an empty one, which is faster to enter, where there is none."""
    enabled = torch.is_autocast_enabled(device)
    return torch.autocast(device, enabled=False) if enabled else nullcontext()


def _nearest(
    rows: Tensor, k: int, bank: Tensor, squares: Tensor, excluded: Tensor | int | None
) -> Tensor:
    """Positions (R, k) of those in the bank (M, D) that are nearest to rows (R, D).

    ``excluded`` are the positions (R,) of the rows themselves, or the first of them if they follow
    one another.
    """
    # The row's own square is left out: it does not change the order.
    distances = torch.addmm(squares, rows, bank.T, alpha=-2)
    if isinstance(excluded, Tensor):
        distances.scatter_(1, excluded[:, None], torch.inf)
    elif excluded is not None:
        distances.diagonal(excluded).fill_(torch.inf)
    return _smallest(distances, k)


def _nearest_among(features: Tensor, k: int, chunk: int) -> Tensor:
    """Positions (N, k) of the nearest other rows; each distance is computed once for both rows."""
    squares = features.square().sum(1)
    nearest = features.new_full((len(features), k), torch.inf)
    positions = torch.zeros(len(features), k, dtype=torch.long)

    def merge(rows: slice, distances: Tensor, first: int) -> None:
        """Take in distances (R, M) from these rows to those at ``first`` and after it."""
        contenders = _contenders(distances, k)
        values = torch.cat([nearest[rows], distances.gather(1, contenders)], 1)
        nearest[rows], best = values.topk(k, largest=False, sorted=False)
        positions[rows] = torch.cat([positions[rows], contenders + first], 1).gather(1, best)

    for start in range(0, len(features), chunk):
        end = min(start + chunk, len(features))
        distances = torch.addmm(squares[start:], features[start:end], features[start:].T, alpha=-2)
        distances += squares[start:end, None]
        distances[:, : end - start].fill_diagonal_(torch.inf)
        merge(slice(start, end), distances, start)
        if end < len(features):
            merge(slice(end, None), distances[:, end - start :].T, start)
    return positions.gather(1, nearest.argsort(1))


def _smallest(values: Tensor, k: int) -> Tensor:
    """Positions (R, k) of each row's smallest values (R, N), ascending."""
    width = values.shape[1]
    if values.device.type == "cpu" and k == 1 and width >= 64:
        # NumPy's takes half the time of PyTorch's. Of equal values both take the first, as topk
        # does in rows that are no shorter.
        return torch.from_numpy(values.detach().numpy().argmin(1, keepdims=True))
    if values.device.type != "cpu" or width < WIDE or k > width // BLOCK:
        return values.topk(k, largest=False).indices
    contenders = _contenders(values, k)
    return contenders.gather(1, values.gather(1, contenders).topk(k, largest=False).indices)


def _contenders(values: Tensor, k: int) -> Tensor:
    """Positions (R, C) in values (R, N) that hold each row's k smallest, and more."""
    width = values.shape[1]
    blocks = width // BLOCK
    if k >= blocks:
        return torch.arange(width).expand(len(values), -1)
    # The k smallest are in the k blocks whose minima are smallest. A block's columns lie ``blocks``
    # apart, so that minima of whole vectors are taken.
    whole = blocks * BLOCK
    if values.stride(1) == 1:
        minima = values[:, :whole].unflatten(1, (BLOCK, blocks)).amin(1)
    else:  # a transposed matrix: along its columns it takes a tenth of the time
        minima = values.T[:whole].unflatten(0, (BLOCK, blocks)).amin(0).T.contiguous()
    smallest = minima.topk(k, largest=False, sorted=False).indices
    inside = (smallest[:, None] + torch.arange(0, whole, blocks)[:, None]).flatten(1)
    return torch.cat([inside, torch.arange(whole, width).expand(len(values), -1)], 1)


def _nearest_by_candidates(
    features: Tensor, k: int, bank: Tensor, among_features: bool, chunk: int
) -> Tensor:
    """``nearest_neighbours`` by way of bfloat16, exact all the same.

    Distances in bfloat16 name candidates, from which float32 chooses. Float32 looks through the
    whole bank for a row to which the rounding could hide a nearer one. Where that happens to most
    rows, since features lie so close to each other, bfloat16 is given up.
    """
    squares = bank.square().sum(1)
    coarse = bank.bfloat16()
    # The product adds the squares as well, in three parts that hold all their digits.
    parts, rest = [], squares
    for _ in range(3):
        parts.append(rest.bfloat16())
        rest = rest - parts[-1].float()
    columns = torch.cat([-2 * coarse, torch.stack(parts, 1)], 1).T.contiguous()
    longest, lost = squares.max().sqrt(), (bank - coarse.float()).norm(dim=1).max()
    neighbours = torch.empty(len(features), k, dtype=torch.long)
    helps = True
    for positions in torch.arange(len(features)).split(chunk):
        unsure = positions
        if helps:
            rows = features[positions]
            rounded = rows.bfloat16()
            distances = torch.cat([rounded, rounded.new_ones(len(rows), 3)], 1) @ columns
            if among_features:
                distances.scatter_(1, positions[:, None], torch.inf)
            candidates = _smallest(distances, CANDIDATES)
            others = bank.index_select(0, candidates.flatten()).view(*candidates.shape, -1)
            exact = torch.baddbmm(
                squares[candidates][:, :, None], others, rows[:, :, None], alpha=-2
            )[:, :, 0]
            nearest = exact.topk(k, largest=False)
            neighbours[positions] = candidates.gather(1, nearest.indices)
            # All other rows are at least as far as the last candidate, but for the rounding of the
            # features, of the sum in float32, and of the result.
            length = rows.norm(dim=1)
            error = 2 * (length * lost + (rows - rounded.float()).norm(dim=1) * (longest + lost))
            error += 2**-12 * longest * (2 * length + longest)
            last = distances.gather(1, candidates[:, -1:])[:, 0].float()
            unsure = positions[~(nearest.values[:, -1] <= last - 2**-8 * last.abs() - error)]
            helps = 2 * len(unsure) <= len(positions)
        if len(unsure):
            excluded = unsure if among_features else None
            neighbours[unsure] = _nearest(features[unsure], k, bank, squares, excluded)
    return neighbours
