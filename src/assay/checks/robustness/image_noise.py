"""Common corruptions of images, each at a severity from 1 to 5; what a camera, a network or weather does to a picture.

Images are (n, channels, height, width) with values in 0..1. The kinds follow the benchmark; strengths are ours, set on the scale of
28 to 224 pixels, so figures compare between models, not with the published leaderboards.
Source: Hendrycks and Dietterich, Benchmarking neural network robustness to common corruptions and perturbations, 2019.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from assay.predictors.predictor import Floats

    Corruption = Callable[[Floats, float, np.random.Generator], Floats]

SEVERITIES = (1, 2, 3, 4, 5)


def gaussian_noise(images: Floats, strength: float, rng: np.random.Generator) -> Floats:
    """Noise of the sensor: normal, the same everywhere."""
    return images + rng.normal(0, strength, images.shape)


def shot_noise(images: Floats, strength: float, rng: np.random.Generator) -> Floats:
    """Noise of little light: Poisson, stronger where it is bright."""
    import numpy as np

    found: Floats = rng.poisson(np.clip(images, 0, 1) * strength) / strength
    return found


def impulse_noise(images: Floats, strength: float, rng: np.random.Generator) -> Floats:
    """Dead and hot pixels: a share of them black or white."""
    import numpy as np

    hit = rng.random(images.shape)
    found: Floats = np.where(hit < strength / 2, 0.0, np.where(hit < strength, 1.0, images))
    return found


def blur(images: Floats, strength: float, rng: np.random.Generator) -> Floats:
    """Out of focus: a normal kernel as wide as `strength` shares of the height."""
    from scipy.ndimage import gaussian_filter

    width = strength * images.shape[2]
    found: Floats = gaussian_filter(images, (0, 0, width, width))
    return found


def motion(images: Floats, strength: float, rng: np.random.Generator) -> Floats:
    """A moving camera: the mean along a horizontal line."""
    from scipy.ndimage import uniform_filter1d

    found: Floats = uniform_filter1d(images, max(1, round(strength * images.shape[3])), axis=3)
    return found


def contrast(images: Floats, strength: float, rng: np.random.Generator) -> Floats:
    """Flat light: every value nearer to the mean of its image."""
    mean = images.mean(axis=(1, 2, 3), keepdims=True)
    found: Floats = mean + (images - mean) * strength
    return found


def brightness(images: Floats, strength: float, rng: np.random.Generator) -> Floats:
    """Too much light."""
    return images + strength


def pixelate(images: Floats, strength: float, rng: np.random.Generator) -> Floats:
    """A low resolution: shrunk to a share of the size and enlarged again."""
    import numpy as np

    height, width = images.shape[2:]
    rows, columns = (
        np.linspace(0, size, max(1, round(size * strength)) + 1)[:-1].astype(int) for size in (height, width)
    )
    small = np.add.reduceat(np.add.reduceat(images, rows, axis=2), columns, axis=3)
    area = np.diff(np.append(rows, height))[:, None] * np.diff(np.append(columns, width))[None, :]
    small = small / area
    down = np.searchsorted(rows, np.arange(height), side="right") - 1
    along = np.searchsorted(columns, np.arange(width), side="right") - 1
    found: Floats = small[:, :, down][:, :, :, along]
    return found


def rotate(images: Floats, strength: float, rng: np.random.Generator) -> Floats:
    """A tilted picture, by `strength` degrees to either side."""
    import numpy as np
    from scipy.ndimage import rotate as turned

    signs = rng.random(len(images)) < 0.5
    found = np.empty_like(images)
    for sign in (False, True):
        picked = signs == sign
        angle = strength if sign else -strength
        found[picked] = turned(images[picked], angle, axes=(3, 2), reshape=False, order=1, mode="nearest")
    return found


def shift(images: Floats, strength: float, rng: np.random.Generator) -> Floats:
    """A picture out of the middle, by `strength` shares of its size."""
    import numpy as np

    down, along = (
        round(strength * size) * sign for size, sign in zip(images.shape[2:], rng.choice([-1, 1], 2), strict=True)
    )
    padded = np.pad(images, ((0, 0), (0, 0), (abs(down), abs(down)), (abs(along), abs(along))), mode="edge")
    top, left = abs(down) - down, abs(along) - along
    found: Floats = padded[:, :, top : top + images.shape[2], left : left + images.shape[3]]
    return found


CORRUPTIONS: Mapping[str, tuple[Any, tuple[float, ...]]] = MappingProxyType({
    "gaussian_noise": (gaussian_noise, (0.05, 0.10, 0.15, 0.22, 0.30)),
    "shot_noise": (shot_noise, (60.0, 30.0, 15.0, 8.0, 4.0)),
    "impulse_noise": (impulse_noise, (0.02, 0.05, 0.08, 0.13, 0.20)),
    "blur": (blur, (0.015, 0.025, 0.035, 0.05, 0.07)),
    "motion": (motion, (0.08, 0.12, 0.17, 0.22, 0.28)),
    "contrast": (contrast, (0.6, 0.45, 0.3, 0.2, 0.12)),
    "brightness": (brightness, (0.1, 0.2, 0.3, 0.4, 0.5)),
    "pixelate": (pixelate, (0.7, 0.55, 0.42, 0.32, 0.25)),
    "rotate": (rotate, (8.0, 15.0, 22.0, 30.0, 40.0)),
    "shift": (shift, (0.04, 0.07, 0.1, 0.14, 0.18)),
})  # fmt: skip


def corrupted(images: Floats, kind: str, severity: int, seed: int) -> Floats:
    """Images (n, c, h, w) with one corruption; values stay in 0..1, and equal seeds give equal images."""
    import numpy as np

    make, strengths = CORRUPTIONS[kind]
    rng = np.random.default_rng([seed, sorted(CORRUPTIONS).index(kind), severity])
    found: Floats = np.clip(make(images, strengths[severity - 1], rng), 0.0, 1.0)
    return found
