"""Augments spectrogram images on the fly as microphones, rooms and codecs would.

It never shifts frequencies, because that would change the label.
"""

import torch
from torch import Tensor

from voxtrait.training.recipe import Recipe


def augment(
    pictures: Tensor,
    recipe: Recipe,
    decibels: float,
    generator: torch.Generator,
    place: tuple[int, int] | None = None,
) -> Tensor:
    """Change each image of a batch at random.

    Gain, spectral tilt and a noise floor act as on sound, because a pixel is a level. Then come a shift in time, time
    and frequency masks (Park et al., "SpecAugment", Interspeech 2019), and a low-pass for telephones.

    Args:
        pictures: ``(n, 1, height, width)``, float32 in [0, 1]; row 0 is the highest band.
        recipe: settings with the strength of each change.
        decibels: level difference between black and white, in dB.
        generator: the only source of randomness, so that an epoch can be repeated.
        place: index of the first row in the batch that several processes share, and number of rows in that batch.
            Random numbers are drawn for the whole batch, so that the number of processes does not change an image.
            ``None``: these are all rows.

    Returns:
        New images of the same shape.
    """
    n, _, height, width = pictures.shape
    device = pictures.device
    first, whole = place or (0, n)

    def uniform(low: float, high: float) -> Tensor:
        drawn = torch.rand((whole, 1, 1, 1), generator=generator)[first : first + n]
        return (low + (high - low) * drawn).to(device)

    inside = (pictures > 0).any(dim=2, keepdim=True)  # columns of black are padding and stay black
    top_down = torch.linspace(0.5, -0.5, height, device=device).view(1, 1, height, 1)
    level = uniform(-recipe.gain_db, recipe.gain_db) + top_down * uniform(-recipe.tilt_db, recipe.tilt_db)
    changed = pictures + level / decibels
    floor = uniform(0, recipe.noise_db) * (uniform(0, 1) < 0.5) / decibels
    drawn = torch.randn((whole, *pictures.shape[1:]), generator=generator)[first : first + n]
    grain = floor + 0.04 * drawn.to(device)
    changed = torch.maximum(changed, grain * (floor > 0)).clamp(0, 1) * inside

    rows = torch.arange(height, device=device).view(1, 1, height, 1)
    columns = torch.arange(width, device=device).view(1, 1, 1, width)
    cut = uniform(0.05, 0.6) * height * (uniform(0, 1) < recipe.lowpass)
    changed = changed * (rows >= cut)
    for _ in range(recipe.band_masks):
        size, start = uniform(0, recipe.band_mask) * height, uniform(0, 1) * height
        changed = changed * ~((rows >= start) & (rows < start + size))
    for _ in range(recipe.time_masks):
        size, start = uniform(0, recipe.time_mask) * width, uniform(0, 1) * width
        changed = changed * ~((columns >= start) & (columns < start + size))
    shift = (uniform(-recipe.time_shift, recipe.time_shift) * width).long()
    return torch.gather(changed, 3, ((columns + shift) % width).expand(n, 1, height, width))
