"""Colours and patterns, drawn per instance from the same palettes for all things: shape says what a thing is."""

import colorsys
from dataclasses import replace

from .raycast import Surface
from .textures import PATTERNS


def linear(hue: float, saturation: float, value: float) -> tuple[float, float, float]:
    return tuple(c**2.2 for c in colorsys.hsv_to_rgb(hue % 1, saturation, value))


def darker(surface: Surface, factor: float) -> Surface:
    return replace(
        surface,
        colour=tuple(factor * c for c in surface.colour),
        second=tuple(factor * c for c in surface.second),
    )


def surface(rng, colour, second, pattern='plain', period=1.0, gloss=0.0, glow=0.0, turned=False) -> Surface:
    """A surface from two linear colours; the pattern starts at a random place."""
    return Surface(colour, second, PATTERNS.index(pattern), period, tuple(rng.random(2)), turned, gloss, glow)


def wood(rng, turned=False) -> Surface:
    hue, value = rng.uniform(0.04, 0.1), rng.uniform(0.3, 0.85)
    saturation = rng.uniform(0.3, 0.7)
    second = linear(hue, min(1, saturation * 1.1), value * rng.uniform(0.6, 0.85))
    return surface(rng, linear(hue, saturation, value), second, 'grain', rng.uniform(0.4, 0.8), 0.04, turned=turned)


def paint(rng) -> Surface:
    """White, grey, black or any colour, nearly plain."""
    if rng.random() < 0.4:
        colour = linear(rng.random(), rng.uniform(0, 0.12), rng.choice([0.93, 0.8, 0.55, 0.3, 0.18]))
    else:
        colour = linear(rng.random(), rng.uniform(0.2, 0.75), rng.uniform(0.35, 0.9))
    return surface(rng, colour, tuple(0.8 * c for c in colour), 'plain', 1.0, rng.uniform(0, 0.15))


def fabric(rng) -> Surface:
    hue = rng.random()
    one = linear(hue, rng.uniform(0.05, 0.65), rng.uniform(0.35, 0.95))
    two = linear(hue + rng.normal(0, 0.15), rng.uniform(0.05, 0.6), rng.uniform(0.25, 0.95))
    pattern = rng.choice(['plain', 'weave', 'cloud', 'stripes', 'plaid', 'dots', 'diamonds', 'speckle'])
    return surface(rng, one, two, pattern, rng.uniform(0.35, 0.8), turned=rng.random() < 0.5)


def hard(rng) -> Surface:
    return wood(rng) if rng.random() < 0.5 else paint(rng)


def any_surface(rng) -> Surface:
    return (wood, paint, fabric)[rng.integers(3)](rng)
