"""k nearest neighbours: cases worked by hand, a naive implementation, ties, blocks, refusals."""

import math

import pytest
import torch
import torch.nn.functional as F

from daga_mm.evaluation import knn_classify, nearest_neighbours


def draw(count, dim=8, seed=0):
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def naive(train, labels, test, num_classes, ks, temperature):
    """One test feature after the other, in words as the protocol has it."""
    scores = {k: torch.zeros(len(test), num_classes) for k in ks}
    for row, feature in enumerate(test):
        similarities = [F.cosine_similarity(feature, other, dim=0).item() for other in train]
        nearest = sorted(range(len(train)), key=lambda i: -similarities[i])[: max(ks)]
        total = sum(math.exp(similarities[i] / temperature) for i in nearest)
        for k in ks:
            for i in nearest[:k]:
                scores[k][row, labels[i]] += math.exp(similarities[i] / temperature) / total
    return scores


def test_a_case_worked_by_hand():
    train = torch.tensor([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0]])
    labels = torch.tensor([1, 0, 1])
    test = torch.tensor([[5.0, 0.0]])  # similarities 1, 0, -1
    scores = knn_classify(train, labels, test, num_classes=3, ks=(1, 2, 3), temperature=0.5)
    weights = [math.exp(x / 0.5) for x in (1, 0, -1)]
    first, second, third = (w / sum(weights) for w in weights)
    assert scores[1][0].tolist() == pytest.approx([0, first, 0])
    assert scores[2][0].tolist() == pytest.approx([second, first, 0])
    assert scores[3][0].tolist() == pytest.approx([second, first + third, 0])


def test_equals_a_naive_implementation():
    train, test = draw(60), draw(17, seed=1)
    labels = torch.randint(5, (60,), generator=torch.Generator().manual_seed(2))
    ks = (1, 10, 20)
    found, expected = knn_classify(train, labels, test, 5, ks), naive(train, labels, test, 5, ks, 0.07)
    for k in ks:
        torch.testing.assert_close(found[k], expected[k])


def test_blocks_change_nothing():
    train, test = draw(101), draw(23, seed=1)
    whole = nearest_neighbours(train, test, 13)
    for blocks in ((1, 1), (7, 10), (23, 101), (5, 1000)):
        similarities, indices = nearest_neighbours(train, test, 13, test_chunk=blocks[0], train_chunk=blocks[1])
        assert torch.equal(indices, whole[1]), blocks
        torch.testing.assert_close(similarities, whole[0])


@pytest.mark.parametrize('blocks', [(1, 2), (3, 7), (100, 100)])
def test_of_equally_near_ones_the_first_counts(blocks):
    train = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat(20, 1)  # even indices one way, odd ones the other
    similarities, indices = nearest_neighbours(
        train, torch.tensor([[1.0, 0.0]] * 4), 22, test_chunk=blocks[0], train_chunk=blocks[1]
    )
    assert indices.tolist() == [[*range(0, 40, 2), 1, 3]] * 4
    assert similarities.tolist() == [[1.0] * 20 + [0.0] * 2] * 4


def test_more_neighbours_than_features_count_all():
    train, labels, test = draw(6), torch.tensor([0, 1, 2, 0, 1, 2]), draw(3, seed=1)
    scores = knn_classify(train, labels, test, 3, ks=(5, 6, 200))
    assert set(scores) == {5, 6, 200} and torch.equal(scores[200], scores[6])
    assert not torch.equal(scores[5], scores[6])
    torch.testing.assert_close(scores[200].sum(dim=1), torch.ones(3))


def test_length_does_not_matter_and_half_precision_is_computed_in_single():
    train, test = draw(30), draw(4, seed=1)
    assert torch.equal(nearest_neighbours(train * 100, test / 7, 5)[1], nearest_neighbours(train, test, 5)[1])
    assert nearest_neighbours(train.half(), test.half(), 5)[0].dtype == torch.float32


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'train_labels': torch.tensor([0, 1, 3])}, 'go up to 3, which makes 4 classes, but num_classes is 3'),
        ({'train_labels': torch.tensor([0, 1, -1])}, 'go down to -1'),
        ({'train_labels': torch.tensor([0, 1])}, '3 integers, one per feature'),
        ({'train_labels': torch.tensor([0.0, 1.0, 2.0])}, '3 integers, one per feature'),
        ({'test_feats': torch.ones(2, 5)}, 'train_feats have 4 channels, test_feats 5'),
        ({'train_feats': torch.empty(0, 4), 'train_labels': torch.empty(0).long()}, 'there are no train_feats'),
        ({'test_feats': torch.tensor([[1.0] * 4, [math.nan] * 4])}, 'row 1 of test_feats is not finite'),
        ({'ks': ()}, 'ks is empty'),
        ({'ks': (0, 5)}, 'each of ks is 1 or more'),
        ({'temperature': 0.0}, 'larger than 0'),
    ],
)
def test_what_can_not_be_right_is_refused(change, message):
    arguments = dict(train_feats=torch.ones(3, 4), train_labels=torch.arange(3), test_feats=torch.ones(2, 4))
    with pytest.raises(ValueError, match=message):
        knn_classify(**arguments | dict(num_classes=3) | change)
