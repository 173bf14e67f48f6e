"""One call from a seed to an image that knows every pixel's class, object and depth."""

from dataclasses import dataclass

import numpy as np

from .labels import CEILING, FLOOR, LABELS, WALL
from .layout import Layout, furnished_room, random_light
from .raycast import Solids
from .render import contact_shade, develop, render
from .thing import Thing


@dataclass(frozen=True)
class SceneObject:
    """One object of a synthetic scene, seen or not."""

    name: str  # a key of labels.LABELS
    instance: int  # its number in Scene.instance, from 1
    area: int  # visible pixels
    crowd: bool  # many touching things of its class, as one object


@dataclass
class Scene:
    """A synthetic image and all that is known about it; height H, width W."""

    image: np.ndarray  # (H, W, 3) uint8 RGB
    semantic: np.ndarray  # (H, W) uint8, ADE20K ids, 1 to 150
    instance: np.ndarray  # (H, W) int32, 0 where the room itself is seen
    depth: np.ndarray  # (H, W) float32 metres along the optical axis, at pixel centres
    objects: list[SceneObject]
    layout: Layout  # the geometry it was rendered from

    @property
    def things(self) -> list[Thing]:
        """The placed things, in the order of `objects`."""
        return _flatten(self.layout.things)


def _flatten(things: list[Thing]) -> list[Thing]:
    flat = []
    for thing in things:
        flat += [thing, *_flatten(thing.parts)]
    return flat


def render_layout(layout: Layout, rng: np.random.Generator, shadow_size: int = 160) -> Scene:
    """Light and photograph a layout; `rng` draws the light and the camera's flaws, shadow_size: see render.render."""
    light = random_light(rng, layout.room.extent)
    things = _flatten(layout.things)
    solids = [solid for thing in things for solid in thing.solids]
    owner = np.array([i + 1 for i, thing in enumerate(things) for _ in thing.solids] + [0] * 6, np.int32)
    label = [LABELS[thing.name].ade for thing in things for _ in thing.solids] + [FLOOR, CEILING] + [WALL] * 4
    radiance, depth, hit = render(Solids(solids), layout.room, light, layout.camera, shadow_size)
    image = develop(radiance * contact_shade(depth)[..., None], rng)
    instance = owner[hit]
    areas = np.bincount(instance.ravel(), minlength=len(things) + 1)
    objects = [SceneObject(t.name, i, int(areas[i]), t.crowd) for i, t in enumerate(things, start=1)]
    semantic = np.array(label, np.uint8)[hit]
    return Scene(image, semantic, instance, depth, objects, layout)


def render_scene(seed, size: tuple[int, int] = (192, 144)) -> Scene:
    """A synthetic furnished room.

    Args:
        seed: an int or a sequence of ints, none negative; the same seed gives the same scene.
        size: width and height in pixels.

    Returns:
        The image with its labels and metric depth; shapes and units: see Scene.
    """
    rng = np.random.default_rng(seed)
    return render_layout(furnished_room(rng, size), rng)
