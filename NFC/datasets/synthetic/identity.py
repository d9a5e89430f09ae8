"""Who a synthetic pedestrian is: body, hair, clothes and bag, drawn from a random generator.

A colour is an albedo of four numbers in [0, 1]: red, green, blue and near-infrared. The infrared
reflectance of a dyed fabric is nearly independent of its visible colour, so it is drawn apart.
"""

from dataclasses import dataclass, replace

import numpy as np

Albedo = tuple[float, float, float, float]

FABRIC_COLOURS = {
    "black": (0.07, 0.07, 0.08),
    "charcoal": (0.2, 0.2, 0.22),
    "grey": (0.47, 0.47, 0.48),
    "white": (0.93, 0.93, 0.91),
    "navy": (0.09, 0.12, 0.32),
    "blue": (0.13, 0.3, 0.72),
    "sky": (0.48, 0.7, 0.92),
    "teal": (0.05, 0.48, 0.48),
    "green": (0.12, 0.5, 0.2),
    "olive": (0.36, 0.38, 0.16),
    "yellow": (0.93, 0.8, 0.17),
    "orange": (0.92, 0.45, 0.1),
    "red": (0.8, 0.1, 0.12),
    "maroon": (0.4, 0.06, 0.12),
    "pink": (0.93, 0.55, 0.66),
    "purple": (0.42, 0.2, 0.55),
    "brown": (0.36, 0.22, 0.12),
    "beige": (0.8, 0.7, 0.54),
}
LOWER_COLOURS = ("black", "charcoal", "grey", "white", "navy", "blue", "sky", "green", "olive", "red", "brown", "beige")
SKINS = ((0.95, 0.78, 0.66), (0.87, 0.66, 0.52), (0.74, 0.52, 0.38), (0.5, 0.33, 0.22), (0.33, 0.21, 0.15))
HAIR_COLOURS = ((0.06, 0.05, 0.05), (0.2, 0.12, 0.07), (0.38, 0.23, 0.1), (0.75, 0.58, 0.28), (0.6, 0.6, 0.6))

UPPERS = ("tshirt", "shirt", "jacket", "coat", "hoodie", "tank")
PATTERNS = ("plain", "hstripes", "vstripes", "checks", "dots", "halves", "logo", "band")
LOWERS = ("trousers", "shorts", "skirt", "leggings")
HAIRSTYLES = ("short", "long", "bun", "bald", "cap", "beanie")
BAGS = ("none", "backpack", "shoulder", "handbag")


@dataclass(frozen=True)
class Fabric:
    """A base colour, a second colour, the pattern that mixes them, and the pattern's period (units of body height)."""

    base: Albedo
    second: Albedo
    pattern: str = "plain"
    period: float = 0.06


@dataclass(frozen=True)
class Identity:
    """One person. Lengths are factors on average proportions."""

    height: float
    girth: float
    shoulders: float
    legs: float
    head: float
    skin: Albedo
    hairstyle: str
    hair: Albedo
    upper: str
    upper_fabric: Fabric
    inner: Albedo
    lower: str
    lower_fabric: Fabric
    side_stripe: bool
    shoes: Albedo
    boots: bool
    bag: str
    bag_colour: Albedo


def _pick(rng: np.random.Generator, options, weights=None):
    weights = None if weights is None else np.asarray(weights) / np.sum(weights)
    return options[int(rng.choice(len(options), p=weights))]


def _albedo(rng: np.random.Generator, rgb, infrared: float, jitter: float = 0.04) -> Albedo:
    visible = np.clip(np.asarray(rgb) * rng.uniform(0.85, 1.15) + rng.normal(0, jitter, 3), 0.02, 0.97)
    return (*map(float, visible), float(np.clip(infrared, 0.05, 0.97)))


def _fabric_colour(rng: np.random.Generator, names=tuple(FABRIC_COLOURS)) -> Albedo:
    return _albedo(rng, FABRIC_COLOURS[_pick(rng, names)], rng.uniform(0.15, 0.92))


def _fabric(rng: np.random.Generator) -> Fabric:
    base = _fabric_colour(rng)
    second = _fabric_colour(rng)
    while np.abs(np.subtract(base[:3], second[:3])).sum() < 0.6:
        second = _fabric_colour(rng)
    pattern = _pick(rng, PATTERNS, (5, 2.2, 1.2, 1.2, 0.8, 1.8, 1.8, 1.8))
    return Fabric(base, second, pattern, float(rng.uniform(0.055, 0.1)))


def draw_identity(rng: np.random.Generator) -> Identity:
    """A new person."""
    lower_base = _fabric_colour(rng, LOWER_COLOURS)
    skin = _pick(rng, SKINS)
    return Identity(
        height=float(rng.uniform(0.9, 1.07)),
        girth=float(rng.uniform(0.84, 1.26)),
        shoulders=float(rng.uniform(0.9, 1.12)),
        legs=float(rng.uniform(0.95, 1.05)),
        head=float(rng.uniform(0.95, 1.1)),
        skin=_albedo(rng, skin, rng.uniform(0.62, 0.75), 0.01),
        hairstyle=_pick(rng, HAIRSTYLES, (4, 3, 1.2, 0.6, 1.4, 1)),
        hair=_albedo(rng, _pick(rng, HAIR_COLOURS), rng.uniform(0.2, 0.5), 0.01),
        upper=_pick(rng, UPPERS, (3, 2.5, 2, 1.5, 1.5, 0.8)),
        upper_fabric=_fabric(rng),
        inner=_fabric_colour(rng),
        lower=_pick(rng, LOWERS, (4, 1.6, 1.3, 1.2)),
        lower_fabric=Fabric(lower_base, _fabric_colour(rng), _pick(rng, ("plain", "checks"), (7, 1)), 0.07),
        side_stripe=bool(rng.random() < 0.12),
        shoes=_fabric_colour(rng, ("black", "white", "brown", "red", "blue", "grey", "charcoal")),
        boots=bool(rng.random() < 0.2),
        bag=_pick(rng, BAGS, (4, 2.2, 1.4, 1.2)),
        bag_colour=_fabric_colour(rng),
    )


def draw_look_alike(person: Identity, rng: np.random.Generator) -> Identity:
    """Somebody else in nearly the same outfit: new body and head, and one or two pieces of clothing changed."""
    other = draw_identity(rng)
    twin = replace(
        person,
        **{name: getattr(other, name) for name in ("height", "girth", "shoulders", "legs", "head", "skin", "hair")},
    )
    changes = (
        {"hairstyle": other.hairstyle},
        {"shoes": other.shoes, "boots": other.boots},
        {"bag": other.bag, "bag_colour": other.bag_colour},
        {"lower": other.lower, "lower_fabric": other.lower_fabric},
        {"upper_fabric": replace(person.upper_fabric, pattern=other.upper_fabric.pattern)},
        {"upper": other.upper, "inner": other.inner},
    )
    for index in rng.choice(len(changes), size=2, replace=False):
        twin = replace(twin, **changes[index])
    return twin
