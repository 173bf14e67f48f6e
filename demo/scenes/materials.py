"""Colours and patterns, drawn per instance from the same palettes for all things: shape says what a thing is."""

import colorsys
from dataclasses import replace

from .raycast import Surface
from .textures import PATTERNS


def linear(hue: float, saturation: float, value: float) -> tuple[float, float, float]:
    """Linear RGB of a hue (any real, period 1), saturation and value in 0..1."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return red**2.2, green**2.2, blue**2.2


def scaled(colour: tuple[float, float, float], factor: float) -> tuple[float, float, float]:
    """The colour, lighter or darker."""
    red, green, blue = colour
    return factor * red, factor * green, factor * blue


def darker(surface: Surface, factor: float) -> Surface:
    """The surface with both colours times `factor`."""
    return replace(surface, colour=scaled(surface.colour, factor), second=scaled(surface.second, factor))


def surface(rng, colour, second, pattern='plain', period=1.0, gloss=0.0, glow=0.0, turned=False) -> Surface:
    """A surface from two linear colours; the pattern starts at a random place."""
    return Surface(colour, second, PATTERNS.index(pattern), period, tuple(rng.random(2)), turned, gloss, glow)


def wood(rng, turned=False) -> Surface:
    """Light to dark brown with a grain."""
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
    return surface(rng, colour, scaled(colour, 0.8), 'plain', 1.0, rng.uniform(0, 0.15))


def fabric(rng) -> Surface:
    """Two colours in a woven or printed pattern."""
    hue = rng.random()
    one = linear(hue, rng.uniform(0.05, 0.65), rng.uniform(0.35, 0.95))
    two = linear(hue + rng.normal(0, 0.15), rng.uniform(0.05, 0.6), rng.uniform(0.25, 0.95))
    pattern = rng.choice(['plain', 'weave', 'cloud', 'stripes', 'plaid', 'dots', 'diamonds', 'speckle'])
    return surface(rng, one, two, pattern, rng.uniform(0.35, 0.8), turned=rng.random() < 0.5)


def hard(rng) -> Surface:
    """Wood or paint."""
    return wood(rng) if rng.random() < 0.5 else paint(rng)


def any_surface(rng) -> Surface:
    """Wood, paint or fabric."""
    return (wood, paint, fabric)[rng.integers(3)](rng)
