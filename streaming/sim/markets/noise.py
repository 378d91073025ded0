"""Seeded noise with random access: any hour of any market can be made alone, on any machine, with the same result.

Rule 1: a key is a BLAKE2 digest of readable words, so PYTHONHASHSEED has no part in it.
Rule 2: slow quantities are functions of time (values at lattice nodes, linear between them), never accumulated state.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MASK = 2**64 - 1


def key_of(*words: object) -> int:
    """Return the 64-bit key of some words, the same in every process."""
    text = "|".join(str(word) for word in words)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def generator_of(*words: object) -> np.random.Generator:
    """Return a generator seeded by some words."""
    return np.random.Generator(np.random.PCG64(key_of(*words)))


def lattice(key: int, nodes: Ints) -> Floats:
    """Return one value in [-1, 1) for every node: splitmix64 of key + node."""
    with np.errstate(over="ignore"):
        x = nodes.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(key)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
    return (x >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1.0


def node_of(key: int, node: int) -> float:
    """Return `lattice` at one node; quicker than an array of one."""
    x = (node * 0x9E3779B97F4A7C15 + key) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return ((x ^ (x >> 31)) >> 11) * 2.0**-52 - 1.0


def smooth_at(key: int, ts_s: float, period_s: float) -> float:
    """Return `smooth` at one instant."""
    node, share = divmod(ts_s / period_s, 1.0)
    begin, end = node_of(key, int(node)), node_of(key, int(node) + 1)
    return begin + share * (end - begin)


def smooth(key: int, ts_s: Floats, period_s: float) -> Floats:
    """Return the lattice interpolated at instants in seconds, with one node every `period_s`."""
    place = ts_s / period_s
    first = int(np.floor(place.min()))
    nodes = np.arange(first, int(np.floor(place.max())) + 2, dtype=np.int64)
    return np.interp(place, nodes.astype(np.float64), lattice(key, nodes))


def unit_of(*words: object) -> float:
    """Return one number in [0, 1) for some words."""
    return (key_of(*words) >> 11) * 2.0**-53
