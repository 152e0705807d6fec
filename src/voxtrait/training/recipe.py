"""A recipe: every setting of a training, typed, as a TOML file. ``base`` and ``fast`` ship, and ``diary-gender`` and
``diary-age``.

This module does not import torch, so that a wrong key is reported at once.
"""

import dataclasses
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, get_type_hints

from voxtrait.errors import OptionError, RecipeError
from voxtrait.features import FrontEnd, kaldi_front_end, picture_front_end

SHIPPED: Final = Path(__file__).parent / "recipes"


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All settings of a network on pictures, each with its unit; the TOML keys are the field names."""

    name: str  # of the recipe, and of the bundle it makes
    task: str  # gender, or age: the joint classes such as female_fifties
    description: str = ""  # one sentence, which the bundle carries

    # pictures
    width: int = 432  # pixels
    height: int = 288  # pixels
    fit: str = "middle"  # middle or stretch, as `voxtrait images --fit`
    shrink: int = 3  # the network sees means of shrink × shrink pixels

    # network
    channels: tuple[int, ...] = (16, 32, 64, 64)  # filters of each stage of convolutions
    hidden: int = 64  # units between pooling and classes
    dropout: float = 0.15  # probability
    spectrum: bool = False  # let the long-term average spectrum go past the convolutions to the classes

    # optimisation
    seed: int = 1  # of weights, order and augmentation
    max_epochs: int = 16  # times that every clip is seen, at most
    batch_size: int = 32  # clips
    learning_rate: float = 1e-3  # AdamW, warmed up over the first twentieth, then along a cosine to 0
    weight_decay: float = 0.02  # AdamW's
    patience: int = 6  # epochs without a lower validation loss before training stops
    class_balance: float = 1.0  # exponent of class weights: 0 none, 1 every class weighs the same
    speaker_balance: float = 0.5  # exponent of speaker weights: 0 every clip, 1 every speaker weighs the same
    label_smoothing: float = 0.05  # share of the target spread over all classes: 1 to 2 % of labels are wrong
    neighbour_smoothing: float = 0.0  # share of the target given to neighbouring age groups of the same gender
    min_speakers: int = 20  # joint classes with fewer speakers are left out

    # augmentation, on pictures; never a shift in frequency, which would change the label
    gain_db: float = 10.0  # dB louder or quieter, at most
    tilt_db: float = 10.0  # dB from the lowest to the highest band, at most: microphones and rooms
    noise_db: float = 50.0  # dB above black up to which a noise floor may rise
    time_shift: float = 0.25  # of the width, at most
    time_masks: int = 2  # stretches of time that go black in a picture
    time_mask: float = 0.12  # of the width, at most
    band_masks: int = 2  # ranges of frequency that go black in a picture
    band_mask: float = 0.1  # of the height, at most
    lowpass: float = 0.2  # share of pictures whose top goes black above a random band: telephones, codecs

    # machine
    threads: int = 0  # of torch; 0 leaves it to torch
    workers: int = 2  # processes that read pictures when they do not fit in memory, or come from shards
    memory_mb: int = 1500  # loose pictures are kept in memory if they need no more than this
    buffer: int = 2000  # pictures from shards that each reading process holds, and shuffles among each other
    precision: str = "auto"  # 32-true, bf16-mixed, or auto: bf16-mixed on GPUs that have it, else 32-true
    compile: str = "auto"  # yes, no, or auto: torch.compile on GPUs alone

    @property
    def front_end(self) -> FrontEnd:
        """How a clip becomes what the network sees."""
        sized = picture_front_end((self.width, self.height), fit=self.fit)  # type: ignore[arg-type]
        return dataclasses.replace(sized, shrink=self.shrink)


@dataclasses.dataclass(frozen=True)
class EncoderRecipe:
    """All settings of heads on a frozen speaker encoder, for gender and age together."""

    name: str  # of the recipe, and of the bundle it makes
    kind: str = "encoder"  # selects which of the two sets of keys is valid
    description: str = ""  # one sentence, which the bundle carries

    encoder: str = "campplus"  # campplus: CAM++ in 8 bits; fast: a smaller network (docs/how-to/training.md)

    # views of a clip, from which the encoder computes summaries
    views: int = 7  # of each clip: whole as recorded, 1.6 s as recorded, the others disturbed
    longest_s: float = 20.0  # seconds at the start of a clip that are used
    crop: float = 0.4  # share of disturbed views that are a shorter stretch of the clip, from 1.5 s
    room: float = 0.3  # probability of reverberation
    colour: float = 0.5  # … of another microphone
    noise: float = 0.45  # … of noise
    babble: float = 0.2  # … of other voices behind
    clip: float = 0.05  # … of overload
    telephone: float = 0.3  # … of 8 kHz, by itself or with GSM or µ-law
    codec: float = 0.35  # … of mp3 or Opus

    # heads
    members: int = 10  # of the ensemble, and folds of speakers
    hidden: int = 128  # units of each member
    dropout: float = 0.5  # probability, of hidden units
    input_dropout: float = 0.5  # … of a summary's values

    # optimisation
    seed: int = 1  # of weights, order, folds and disturbances
    max_epochs: int = 15  # times that every clip is seen
    batch_size: int = 256  # clips
    learning_rate: float = 1e-3  # AdamW, warmed up over the first tenth, then along a cosine to 0
    weight_decay: float = 0.2  # AdamW's
    speaker_balance: float = 0.7  # exponent of speaker weights: 0 every clip, 1 every speaker weighs the same
    group_balance: float = 0.0  # exponent of age-group weights in the age loss: 0 as they come, 1 all the same
    label_smoothing: float = 0.02  # of gender
    contradiction: float = 0.9  # probability from which an adult's gender label counts as contradicted by the voice
    age_share: float = 0.3  # weight of the age loss beside gender's
    likelihood: float = 1.0  # weight of the log-likelihood in the age loss
    ranked: float = 0.5  # weight of the continuous ranked probability score in the age loss

    # machine
    threads: int = 0  # of torch; 0 leaves it to torch

    @property
    def front_end(self) -> FrontEnd:
        """Front end of the encoder, with windows of up to 6 s. The fast encoder has the loudest 1.5 s of up to 6 s, and
        half of the frames."""
        return kaldi_front_end(75, chosen_from=300, hop_length=320) if self.encoder == "fast" else kaldi_front_end(600)


KINDS: Final = {"pictures": Recipe, "encoder": EncoderRecipe}
LIMITS: Final = {
    "max_epochs": (1, 100_000), "batch_size": (2, 65_536), "patience": (1, 100_000), "min_speakers": (1, 1_000_000),
    "dropout": (0, 0.95), "label_smoothing": (0, 0.45), "neighbour_smoothing": (0, 0.9), "class_balance": (0, 1),
    "speaker_balance": (0, 1), "learning_rate": (1e-8, 10), "time_shift": (0, 1), "time_mask": (0, 1),
    "band_mask": (0, 1), "lowpass": (0, 1), "gain_db": (0, 100), "tilt_db": (0, 100), "noise_db": (0, 100),
    "threads": (0, 1024), "workers": (0, 1024), "memory_mb": (0, 10_000_000), "hidden": (1, 65_536),
    "time_masks": (0, 100), "band_masks": (0, 100), "weight_decay": (0, 10), "seed": (0, 2**32 - 1),
    "views": (2, 1000), "longest_s": (2, 600), "crop": (0, 1), "room": (0, 1), "colour": (0, 1), "noise": (0, 1),
    "babble": (0, 1), "clip": (0, 1), "telephone": (0, 1), "codec": (0, 1), "members": (2, 100),
    "input_dropout": (0, 0.95), "group_balance": (0, 1), "contradiction": (0.5, 1), "age_share": (0, 100),
    "likelihood": (0, 100), "ranked": (0, 100), "buffer": (1, 100_000_000),
}  # fmt: skip
CHOICES: Final = {
    "encoder": ("campplus", "fast"), "precision": ("auto", "32-true", "bf16-mixed"), "compile": ("auto", "yes", "no"),
}  # fmt: skip


def shipped() -> list[str]:
    """Name the recipes that are part of the package."""
    return sorted(file.stem for file in SHIPPED.glob("*.toml"))


def load(which: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Recipe | EncoderRecipe:
    """Read a recipe.

    Args:
        which: the name of a shipped recipe, or a TOML file.
        overrides: ``key=value`` strings, each replacing one value.

    Raises:
        RecipeError: if there is no such recipe, or a key is unknown, or a value has another type or no sense.

    Examples:
        >>> load("diary-gender", ["max_epochs=3"]).max_epochs
        3
    """
    text = os.fspath(which)
    file = Path(text) if text.endswith(".toml") else SHIPPED / f"{text}.toml"
    if not file.is_file():
        raise RecipeError(f"no recipe {text!r}: expected a .toml file or one of {', '.join(shipped())}")
    try:
        values = tomllib.loads(file.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{file} is not TOML: {error}") from None
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise RecipeError(f"got --set {override!r}, expected key=value such as max_epochs=10")
        try:
            values[key.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            values[key.strip()] = value.strip()
    return from_dict(values)


def from_dict(values: Mapping[str, Any]) -> Recipe | EncoderRecipe:
    """Check the keys and types of a recipe's values; ``kind`` selects the class, by default :class:`Recipe`.

    Raises:
        RecipeError: naming the key, what was got and what was expected.
    """
    known: Any = KINDS.get(values.get("kind", "pictures"))
    if known is None:
        raise RecipeError(f"kind: got {values['kind']!r}, expected one of {', '.join(KINDS)}")
    if known is Recipe:
        values = {key: value for key, value in values.items() if key != "kind"}
    hints = get_type_hints(known)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise RecipeError(f"unknown key {', '.join(unknown)}: a recipe knows {', '.join(hints)}")
    needed = {field.name for field in dataclasses.fields(known) if field.default is dataclasses.MISSING}
    if missing := sorted(needed - set(values)):
        raise RecipeError(f"a recipe needs {', '.join(missing)}")
    recipe: Recipe | EncoderRecipe = known(**{key: _typed(key, value, hints[key]) for key, value in values.items()})
    for key, (low, high) in LIMITS.items():
        if hasattr(recipe, key) and not low <= getattr(recipe, key) <= high:
            raise RecipeError(f"{key}: got {getattr(recipe, key)}, expected {low} to {high}")
    for key, choices in CHOICES.items():
        if hasattr(recipe, key) and getattr(recipe, key) not in choices:
            raise RecipeError(f"{key}: got {getattr(recipe, key)!r}, expected one of {', '.join(choices)}")
    if isinstance(recipe, Recipe):
        _check(recipe)
    return recipe


def _typed(key: str, value: Any, kind: Any) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind == tuple[int, ...]:
        if isinstance(value, list | tuple) and all(isinstance(one, int) for one in value):
            return tuple(value)
        raise RecipeError(f"{key}: got {value!r}, expected a list of whole numbers")
    if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
        raise RecipeError(f"{key}: got {value!r}, expected {kind.__name__}")
    return value


def _check(recipe: Recipe) -> None:
    if recipe.task not in ("gender", "age"):
        raise RecipeError(f"task: got {recipe.task!r}, expected gender or age")
    if not recipe.channels or min(recipe.channels) < 1:
        raise RecipeError(f"channels: got {recipe.channels}, expected at least one positive number")
    try:
        recipe.front_end  # noqa: B018 - building it checks it
    except OptionError as error:
        raise RecipeError(str(error)) from None
    _, height, width = recipe.front_end.input_shape
    if min(height, width) < 2 ** (len(recipe.channels) + 1):
        raise RecipeError(f"channels: {len(recipe.channels)} stages halve {width}×{height} pixels to nothing")
