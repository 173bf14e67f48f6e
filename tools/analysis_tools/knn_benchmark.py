"""Time the search of daga_mm's k-NN beside scikit-learn's brute force and faiss, on the same features.

    python tools/analysis_tools/knn_benchmark.py
    python tools/analysis_tools/knn_benchmark.py --bank work_dirs/features/train-50000-0123456789abcdef.safetensors

All three find the exact neighbours by cosine similarity, with as many threads as OMP_NUM_THREADS says. The features are
drawn in clusters, or are the class tokens of a feature bank. What is compared is whether the neighbours are the same,
where two are not equally near but for rounding, and how long each search takes.
"""

import argparse
import json
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from daga_mm.engine import AtomicBackend
from daga_mm.evaluation import nearest_neighbours, read_bank

ROUNDING = 1e-5  # similarities that differ by less are equally near, in single precision
Search = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def by_daga_mm(train: np.ndarray, test: np.ndarray, k: int) -> np.ndarray:
    return nearest_neighbours(torch.from_numpy(train), torch.from_numpy(test), k)[1].numpy()


def by_scikit_learn(train: np.ndarray, test: np.ndarray, k: int) -> np.ndarray:
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=k, algorithm='brute', metric='cosine').fit(train)
    return search.kneighbors(test, return_distance=False)


def by_faiss(train: np.ndarray, test: np.ndarray, k: int) -> np.ndarray:
    import faiss

    train, test = train.copy(), test.copy()
    faiss.normalize_L2(train)
    faiss.normalize_L2(test)
    index = faiss.IndexFlatIP(train.shape[1])
    index.add(train)
    return index.search(test, k)[1]


SEARCHES: dict[str, tuple[str, Search]] = {
    'daga_mm': ('daga_mm', by_daga_mm),
    'scikit-learn': ('sklearn', by_scikit_learn),
    'faiss': ('faiss', by_faiss),
}


def draw(num_train: int, num_test: int, dim: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features in 1000 clusters of unequal sizes, as those of images are."""
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((1000, dim), dtype=np.float32)
    shares = generator.dirichlet(np.ones(1000))
    sets = []
    for count in (num_train, num_test):
        noise = generator.standard_normal((count, dim), dtype=np.float32)
        sets.append(centres[generator.choice(1000, count, p=shares)] + noise)
    return sets[0], sets[1]


def agreement(train: np.ndarray, test: np.ndarray, found: np.ndarray, reference: np.ndarray) -> float:
    """Share of the test features whose neighbours, in their order, are the reference's, or equally near ones."""
    same = np.empty(len(test), dtype=bool)
    length = np.linalg.norm(train, axis=1)
    for row, (one, other) in enumerate(zip(found, reference, strict=True)):
        query = test[row] / np.linalg.norm(test[row])
        differing = one != other
        a, b = one[differing], other[differing]
        gaps = np.abs(train[a] @ query / length[a] - train[b] @ query / length[b])
        same[row] = len(set(one)) == len(one) and bool((gaps < ROUNDING).all())
    return float(same.mean())


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--train', type=int, default=50_000, help='training features (default: 50000)')
    parser.add_argument('--test', type=int, default=10_000, help='test features (default: 10000)')
    parser.add_argument('--dim', type=int, default=384, help='channels (default: 384)')
    parser.add_argument(
        '--bank', type=Path, metavar='FILE', help='take the features of a bank; its last ones are the test'
    )
    parser.add_argument('--k', type=int, default=200, help='neighbours (default: 200)')
    parser.add_argument(
        '--repeat', type=int, default=3, help='searches of each, of which the fastest counts (default: 3)'
    )
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the figures into this file')
    return parser.parse_args()


def features(args: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    if args.bank is None:
        return draw(args.train, args.test, args.dim, args.seed)
    both, _ = read_bank(args.bank)
    class_tokens = both[:, : both.shape[1] // 2].contiguous().numpy()
    if len(class_tokens) <= args.test:
        raise SystemExit(f'{args.bank} has {len(class_tokens)} features: --test must be fewer')
    return class_tokens[: -args.test][: args.train], class_tokens[-args.test :]


def main() -> None:
    args = parse_args()
    train, test = features(args)
    figures: dict[str, dict] = {}
    reference = None
    print(f'{len(train):,} × {len(test):,} features of {train.shape[1]} channels, k = {args.k}')
    print(f'| {"search":12} | seconds | times daga_mm | same neighbours |\n| --- | --- | --- | --- |', flush=True)
    for name, (package, search) in SEARCHES.items():
        if find_spec(package) is None:
            print(f'| {name:12} | not installed | | |')
            continue
        seconds = []
        for _ in range(args.repeat):
            start = time.perf_counter()
            found = search(train, test, args.k)
            seconds.append(time.perf_counter() - start)
        reference = found if reference is None else reference
        best = min(seconds)
        share = agreement(train, test, found, reference)
        ratio = best / figures['daga_mm']['seconds'] if figures else 1.0
        figures[name] = {'seconds': best, 'ratio': ratio, 'same_neighbours': share}
        print(f'| {name:12} | {best:.2f} | {ratio:.2f} | {share:.2%} |', flush=True)
    if args.json:
        shape = {'train': len(train), 'test': len(test), 'dim': train.shape[1], 'k': args.k}
        found = {**shape, 'threads': torch.get_num_threads(), 'searches': figures}
        AtomicBackend().put_text(json.dumps(found, indent=1), args.json)


if __name__ == '__main__':
    main()
