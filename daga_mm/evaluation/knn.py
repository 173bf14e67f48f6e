"""Weighted k nearest neighbours, exact and in bounded memory; the protocol of DINOv3 (dinov3/eval/knn.py)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import require_features, require_labels
from .progress import Progress


def nearest_neighbours(
    train_feats: Tensor,
    test_feats: Tensor,
    k: int,
    device: torch.device | str | None = None,
    test_chunk: int = 2048,
    train_chunk: int = 8192,
) -> tuple[Tensor, Tensor]:
    """The k training features with the largest cosine similarity to each test feature.

    The search is exact: every pair is compared, in blocks of ``test_chunk`` × ``train_chunk``, and the best k of each
    block are merged with the best so far. Among equal similarities the lower index comes first.

    Args:
        train_feats: (N, D), not normalised.
        test_feats: (M, D), not normalised.
        k: Neighbours of each; N if there are fewer.
        device: Where to compute; None: where ``test_feats`` are.
        test_chunk: Test features in a block.
        train_chunk: Training features in a block.

    Returns:
        Similarities (M, k), the largest first, and indices (M, k) into the training features, both on ``device``.

    Raises:
        ValueError: Shapes that don't go together, no training features, or values that are not finite.
    """
    require_features(train_feats, test_feats)
    if k < 1:
        raise ValueError(f'k is 1 or more, not {k}')
    device = torch.device(device) if device is not None else test_feats.device
    k = min(k, len(train_feats))
    progress = Progress('nearest neighbours', len(test_feats), 'test features')
    similarities, indices = [], []
    for queries in test_feats.split(test_chunk):
        queries = _normalised(queries, device)
        best = queries.new_empty(len(queries), 0)
        where = torch.empty(len(queries), 0, dtype=torch.long, device=device)
        for start in range(0, len(train_feats), train_chunk):
            block = queries @ _normalised(train_feats[start : start + train_chunk], device).T
            found, columns = _largest(block, k) if best.shape[1] < k else _better(block, best[:, -1:])
            # The best so far have the lower indices, so of equal ones they stay in front.
            best, order = _largest(torch.cat([best, found], dim=1), k)
            where = torch.cat([where, columns + start], dim=1).gather(1, order)
        similarities.append(best)
        indices.append(where)
        progress.update(sum(map(len, indices)))
    return torch.cat(similarities), torch.cat(indices)


def knn_classify(
    train_feats: Tensor,
    train_labels: Tensor,
    test_feats: Tensor,
    num_classes: int,
    ks: Sequence[int] = (10, 20, 100, 200),
    temperature: float = 0.07,
    device: torch.device | str | None = None,
    **chunks: int,
) -> dict[int, Tensor]:
    """Votes of the nearest neighbours for each class.

    Features are L2-normalised. The max(ks) nearest vote for their classes with the weights
    softmax(similarity / temperature) over all of them; for each k the votes of the first k are summed.

    Args:
        train_feats: (N, D).
        train_labels: (N,), integers from 0 to num_classes - 1.
        test_feats: (M, D).
        num_classes: C.
        ks: Numbers of neighbours. One that is larger than N counts all N.
        temperature: Of the softmax.
        device: Where to compute; None: where ``test_feats`` are.
        **chunks: ``test_chunk`` and ``train_chunk`` of :func:`nearest_neighbours`.

    Returns:
        Scores (M, C) for each of ``ks``, on ``device``.

    Raises:
        ValueError: As in :func:`nearest_neighbours`; labels that do not fit.
    """
    if not ks:
        raise ValueError('ks is empty: name at least one number of neighbours')
    if temperature <= 0:
        raise ValueError(f'the temperature is larger than 0, not {temperature}')
    require_labels('train', train_labels, len(train_feats), num_classes)
    if min(ks) < 1:
        raise ValueError(f'each of ks is 1 or more: {tuple(ks)}')
    similarities, indices = nearest_neighbours(train_feats, test_feats, max(ks), device, **chunks)
    weights = (similarities / temperature).softmax(dim=1)  # (M, max k)
    classes = train_labels.to(indices.device, torch.long)[indices]
    zeros = weights.new_zeros(len(weights), num_classes)
    return {k: zeros.scatter_add(1, classes[:, :k], weights[:, :k]) for k in ks}


def _normalised(features: Tensor, device: torch.device) -> Tensor:
    dtype = torch.promote_types(features.dtype, torch.float32)
    return F.normalize(features.to(device, dtype), dim=1)


def _largest(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row and their columns, the largest first, of equal ones the lower column.

    topk leaves open which of equal values it takes. Rows where that matters, and they are rare, are sorted.
    """
    found, columns = values.topk(min(k + 1, values.shape[1]), dim=1)
    if found.shape[1] > k:
        tied = found[:, k - 1] == found[:, k]
        found, columns = found[:, :k], columns[:, :k]
        if tied.any():
            ordered = values[tied].sort(dim=1, descending=True, stable=True)
            found[tied], columns[tied] = (part[:, :k] for part in ordered)
    columns, order = columns.sort(dim=1)
    found, order = found.gather(1, order).sort(dim=1, descending=True, stable=True)
    return found, columns.gather(1, order)


def _better(values: Tensor, bounds: Tensor) -> tuple[Tensor, Tensor]:
    """What is larger than its row's bound, and its columns in their order; short rows end in -inf.

    Few are, once the best of the first block are known, and to find those few takes a fraction of topk's time.
    """
    rows, columns = (values > bounds).nonzero(as_tuple=True)
    counts = rows.bincount(minlength=len(values))
    places = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[rows]
    found = values.new_full((len(values), int(counts.max())), -torch.inf)
    found[rows, places] = values[rows, columns]
    where = torch.zeros(found.shape, dtype=torch.long, device=rows.device)
    where[rows, places] = columns
    return found, where
