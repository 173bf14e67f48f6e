"""What every probe asks of its features and labels."""

import torch
from torch import Tensor


def require_features(
    train_feats: Tensor,
    test_feats: Tensor,
    train_labels: Tensor | None = None,
    test_labels: Tensor | None = None,
    num_classes: int | None = None,
) -> None:
    """Refuse what would give a wrong number instead of an error.

    Args:
        train_feats: (N, D), N at least 1, finite.
        test_feats: (M, D), finite.
        train_labels: (N,) integers, if labels take part.
        test_labels: (M,) integers, if they take part.
        num_classes: Labels are below it, if it is known.

    Raises:
        ValueError: Any of this is not so.
    """
    for name, features, labels in (('train', train_feats, train_labels), ('test', test_feats, test_labels)):
        if features.ndim != 2:
            raise ValueError(f'{name}_feats are (number, channels), not {tuple(features.shape)}')
        if not len(features):
            raise ValueError(f'there are no {name}_feats')
        dtype = torch.promote_types(features.dtype, torch.float32)
        lengths = [torch.linalg.vector_norm(part, dim=1, dtype=dtype) for part in features.split(8192)]
        finite = torch.cat(lengths).isfinite()  # a vector's length is, if all of it is
        if not finite.all():
            raise ValueError(f'row {int((~finite).nonzero()[0])} of {name}_feats is not finite')
        if labels is not None:
            require_labels(name, labels, len(features), num_classes)
    if train_feats.shape[1] != test_feats.shape[1]:
        raise ValueError(f'train_feats have {train_feats.shape[1]} channels, test_feats {test_feats.shape[1]}')


def require_labels(name: str, labels: Tensor, count: int, num_classes: int | None = None) -> None:
    """Refuse labels (count,) that are no integers from 0 to num_classes - 1, if that is known.

    Raises:
        ValueError: They are not.
    """
    if labels.shape != (count,) or labels.is_floating_point() or labels.dtype == torch.bool:
        raise ValueError(
            f'{name}_labels are {count} integers, one per feature, not {tuple(labels.shape)} of {labels.dtype}'
        )
    if not count:
        return
    low, high = int(labels.min()), int(labels.max())
    if low < 0:
        raise ValueError(f'{name}_labels go down to {low}; the first class is 0')
    if num_classes is not None and high >= num_classes:
        raise ValueError(
            f'{name}_labels go up to {high}, which makes {high + 1} classes, but num_classes is {num_classes}: '
            'set num_classes to what the data has'
        )


def split_off_validation(labels: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Shuffled indices of the part to train on and of the part to choose on, after dinov3/eval/data.py.

    Args:
        labels: (N,) integers.
        fraction: Share of each class in the second part, at least one; of a class with one example, none.
        seed: The same seed splits in the same way.

    Raises:
        ValueError: A part would be empty.
    """
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    of_class = labels.cpu()[order]
    held_out = torch.zeros(len(labels), dtype=torch.bool)
    for label in of_class.unique():
        members = (of_class == label).nonzero().flatten()
        count = max(1, int(len(members) * fraction)) if len(members) > 1 else 0
        held_out[members[:count]] = True
    if not 0 < fraction < 1 or not held_out.any() or held_out.all():
        raise ValueError(
            f'val_fraction {fraction} of {len(labels)} features leaves nothing to train on or to choose on'
        )
    return order[~held_out], order[held_out]
