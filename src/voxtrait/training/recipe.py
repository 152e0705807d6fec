"""Recipes: all settings of a training run, read from a TOML file and checked.

The package ships ``base``, ``fast``, ``diary-gender`` and ``diary-age``. This module does not import torch, so that a
wrong key is reported at once.
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
    """Settings of a CNN on spectrogram images, each with its unit; the TOML keys are the field names.

    Examples:
        >>> Recipe("mine", "gender").front_end.input_shape
        (1, 96, 144)
    """

    name: str  #: name of the recipe and of its bundle
    task: str  #: gender, or age (the joint classes such as female_fifties)
    description: str = ""  #: one sentence, stored in the bundle

    # images
    width: int = 432  #: pixels
    height: int = 288  #: pixels
    fit: str = "middle"  #: middle or stretch, as ``voxtrait images --fit``
    shrink: int = 3  #: side, in pixels, of the squares averaged into one input value

    # network
    channels: tuple[int, ...] = (16, 32, 64, 64)  #: filters of each convolutional stage
    hidden: int = 64  #: hidden units between pooling and classes
    dropout: float = 0.15  #: dropout probability
    spectrum: bool = False  #: also pass the long-term average spectrum directly to the classifier

    # optimisation
    seed: int = 1  #: random seed for weights, order and augmentation
    max_epochs: int = 16  #: maximum epochs
    batch_size: int = 32  #: clips per batch
    learning_rate: float = 1e-3  #: peak rate of AdamW, with linear warm-up over the first twentieth, then a cosine to 0
    weight_decay: float = 0.02  #: weight decay of AdamW
    patience: int = 6  #: epochs without a lower validation loss before training stops
    class_balance: float = 1.0  #: exponent of class weights, from 0 (no weighting) to 1 (equal weight for every class)
    speaker_balance: float = 0.5  #: exponent of speaker weights, from 0 (equal weight per clip) to 1 (per speaker)
    label_smoothing: float = 0.05  #: share of the target spread over all classes, because 1 to 2 % of labels are wrong
    neighbour_smoothing: float = 0.0  #: share of the target given to neighbouring age groups of the same gender
    min_speakers: int = 20  #: joint classes with fewer speakers are left out

    # augmentation, on images; never a shift in frequency, which would change the label
    gain_db: float = 10.0  #: maximum gain or attenuation, dB
    tilt_db: float = 10.0  #: maximum spectral tilt from the lowest to the highest band, dB (microphones, rooms)
    noise_db: float = 50.0  #: maximum level of the added noise floor, dB above black
    time_shift: float = 0.25  #: maximum shift in time, as a share of the width
    time_masks: int = 2  #: number of time masks per image
    time_mask: float = 0.12  #: maximum length of a time mask, as a share of the width
    band_masks: int = 2  #: number of frequency masks per image
    band_mask: float = 0.1  #: maximum size of a frequency mask, as a share of the height
    lowpass: float = 0.2  #: probability of a low-pass, black above a random band (telephones, codecs)

    # machine
    threads: int = 0  #: threads of torch; 0 for torch's default
    workers: int = 2  #: processes that read images if they do not fit in memory or come from shards
    memory_mb: int = 1500  #: maximum memory for keeping loose images, MB; more images are read in every epoch
    buffer: int = 2000  #: images from shards that each reading process holds and shuffles
    precision: str = "auto"  #: 32-true, bf16-mixed, or auto (bf16-mixed on GPUs that support it, else 32-true)
    compile: str = "auto"  #: whether to use torch.compile, yes, no, or auto (only on GPUs)

    @property
    def front_end(self) -> FrontEnd:
        """Front end that turns a clip into the network's input."""
        sized = picture_front_end((self.width, self.height), fit=self.fit)  # type: ignore[arg-type]
        return dataclasses.replace(sized, shrink=self.shrink)


@dataclasses.dataclass(frozen=True)
class EncoderRecipe:
    """Settings of heads on a frozen speaker encoder, for gender and age together; the TOML keys are the field names.

    Examples:
        >>> EncoderRecipe("mine", encoder="fast").front_end.input_shape
        (100, 80)
    """

    name: str  #: name of the recipe and of its bundle
    kind: str = "encoder"  #: selects which of the two sets of keys is valid
    description: str = ""  #: one sentence, stored in the bundle

    encoder: str = "campplus"  #: campplus (CAM++ in 8 bits) or fast (a smaller network, docs/how-to/training.md)

    # views of a clip, from which the encoder computes summaries
    views: int = 7  #: views of each clip, the whole clip and 1.6 s of it as recorded, the others augmented
    longest_s: float = 20.0  #: seconds used from the start of a clip
    crop: float = 0.4  #: share of augmented views cut to a shorter part of the clip, 1.5 s or more
    room: float = 0.3  #: probability of reverberation
    colour: float = 0.5  #: probability of another microphone response
    noise: float = 0.45  #: probability of noise
    babble: float = 0.2  #: probability of background voices
    clip: float = 0.05  #: probability of overload (clipping)
    telephone: float = 0.3  #: probability of 8 kHz, alone or with GSM or µ-law
    codec: float = 0.35  #: probability of mp3 or Opus

    # heads
    members: int = 10  #: number of ensemble members, and of speaker folds
    networks: int = 1  #: networks of each member, 1 or 2; of two, one for clips as recorded, one for all views
    hidden: int = 128  #: hidden units of each network
    dropout: float = 0.5  #: dropout probability of hidden units
    input_dropout: float = 0.5  #: dropout probability of a summary's values

    # optimisation
    seed: int = 1  #: random seed for weights, order, folds and augmentation
    max_epochs: int = 15  #: number of epochs
    batch_size: int = 256  #: clips per batch
    learning_rate: float = 1e-3  #: peak rate of AdamW, with linear warm-up over the first tenth, then a cosine to 0
    weight_decay: float = 0.2  #: weight decay of AdamW
    speaker_balance: float = 0.7  #: exponent of speaker weights, from 0 (equal weight per clip) to 1 (per speaker)
    group_balance: float = 0.0  #: exponent of age-group weights in the age loss, from 0 (no weighting) to 1 (equal)
    label_smoothing: float = 0.02  #: label smoothing of gender
    contradiction: float = 0.9  #: minimum probability at which the voice contradicts an adult's gender label
    age_share: float = 0.3  #: weight of the age loss relative to the gender loss
    likelihood: float = 1.0  #: weight of the negative log-likelihood in the age loss
    ranked: float = 0.5  #: weight of the continuous ranked probability score in the age loss

    # machine
    threads: int = 0  #: threads of torch; 0 for torch's default

    @property
    def front_end(self) -> FrontEnd:
        """Front end of the encoder.

        Windows have up to 6 s. The fast encoder uses the loudest 2 s of up to 6 s, and half of the frames.
        """
        return kaldi_front_end(100, chosen_from=300, hop_length=320) if self.encoder == "fast" else kaldi_front_end(600)


LARGEST: Final = 2**15  # bytes of a recipe; the time for a key with dots grows with the square of its length
KINDS: Final = {"pictures": Recipe, "encoder": EncoderRecipe}
LIMITS: Final = {
    "max_epochs": (1, 100_000), "batch_size": (2, 65_536), "patience": (1, 100_000), "min_speakers": (1, 1_000_000),
    "dropout": (0, 0.95), "label_smoothing": (0, 0.45), "neighbour_smoothing": (0, 0.9), "class_balance": (0, 1),
    "speaker_balance": (0, 1), "learning_rate": (1e-8, 10), "time_shift": (0, 1), "time_mask": (0, 1),
    "band_mask": (0, 1), "lowpass": (0, 1), "gain_db": (0, 100), "tilt_db": (0, 100), "noise_db": (0, 100),
    "threads": (0, 1024), "workers": (0, 1024), "memory_mb": (0, 10_000_000), "hidden": (1, 65_536),
    "time_masks": (0, 100), "band_masks": (0, 100), "weight_decay": (0, 10), "seed": (0, 2**32 - 1),
    "views": (2, 1000), "longest_s": (2, 600), "crop": (0, 1), "room": (0, 1), "colour": (0, 1), "noise": (0, 1),
    "babble": (0, 1), "clip": (0, 1), "telephone": (0, 1), "codec": (0, 1), "members": (2, 100), "networks": (1, 2),
    "input_dropout": (0, 0.95), "group_balance": (0, 1), "contradiction": (0.5, 1), "age_share": (0, 100),
    "likelihood": (0, 100), "ranked": (0, 100), "buffer": (1, 100_000_000),
}  # fmt: skip
CHOICES: Final = {
    "encoder": ("campplus", "fast"), "precision": ("auto", "32-true", "bf16-mixed"), "compile": ("auto", "yes", "no"),
}  # fmt: skip


def shipped() -> list[str]:
    """Return the names of the shipped recipes, sorted.

    Examples:
        >>> shipped()
        ['base', 'diary-age', 'diary-gender', 'fast']
    """
    return sorted(file.stem for file in SHIPPED.glob("*.toml"))


def load(which: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Recipe | EncoderRecipe:
    """Read a recipe from a TOML file.

    Args:
        which: name of a shipped recipe, or path of a TOML file.
        overrides: ``key=value`` strings; each replaces one value.

    Returns:
        The recipe. Its ``kind`` selects the class.

    Raises:
        RecipeError: if the recipe does not exist, a key is unknown, or a value has the wrong type or is out of range.

    Examples:
        >>> load("diary-gender", ["max_epochs=3"]).max_epochs
        3
    """
    text = os.fspath(which)
    file = Path(text) if text.endswith(".toml") else SHIPPED / f"{text}.toml"
    if not file.is_file():
        raise RecipeError(f"Unknown recipe {text!r}. Expected a .toml file or one of {', '.join(shipped())}.")
    if file.stat().st_size > LARGEST:
        raise RecipeError(f"{file} has {file.stat().st_size:,} bytes. Expected a recipe of at most {LARGEST:,}.")
    try:
        values = tomllib.loads(file.read_text("utf-8"))
    except RecursionError:
        raise RecipeError(f"{file} is nested too deeply. Expected key = value lines.") from None
    except ValueError as error:  # of TOML, of UTF-8, or of a number of thousands of digits
        raise RecipeError(f"{file} is not valid TOML: {error}") from None
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise RecipeError(f"Got --set {override!r}. Expected key=value, such as max_epochs=10.")
        try:
            values[key.strip()] = tomllib.loads(f"value = {value}")["value"]
        except (ValueError, RecursionError):
            values[key.strip()] = value.strip()
    return from_dict(values)


def from_dict(values: Mapping[str, Any]) -> Recipe | EncoderRecipe:
    """Make a recipe from a mapping, and check its keys, types and ranges.

    Args:
        values: key → value. ``kind`` selects the class; the default is ``pictures``, a :class:`Recipe`.

    Raises:
        RecipeError: if a key is unknown or missing, or a value has the wrong type or is out of range. The message
            names the key, the value and what was expected.

    Examples:
        >>> from_dict({"name": "mine", "task": "gender", "max_epochs": 3}).max_epochs
        3
    """
    kind = values.get("kind", "pictures")
    known: Any = KINDS.get(kind) if isinstance(kind, str) else None
    if known is None:
        raise RecipeError(f"kind: got {values['kind']!r}, expected one of {', '.join(KINDS)}")
    if known is Recipe:
        values = {key: value for key, value in values.items() if key != "kind"}
    hints = get_type_hints(known)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        plural = "s" if len(unknown) > 1 else ""
        raise RecipeError(f"Unknown key{plural} {', '.join(unknown)}. Expected some of {', '.join(hints)}.")
    needed = {field.name for field in dataclasses.fields(known) if field.default is dataclasses.MISSING}
    if missing := sorted(needed - set(values)):
        plural = "s" if len(missing) > 1 else ""
        raise RecipeError(f"Missing key{plural} {', '.join(missing)}. Add {'them' if plural else 'it'} to the recipe.")
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


KIND_NAMES: Final = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def _typed(key: str, value: Any, kind: Any) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        return float(value)
    if kind == tuple[int, ...]:
        if isinstance(value, list | tuple) and all(type(one) is int for one in value):
            return tuple(value)
        raise RecipeError(f"{key}: got {value!r}, expected a list of whole numbers")
    if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
        raise RecipeError(f"{key}: got {value!r}, expected {KIND_NAMES[kind]}")
    return value


def _check(recipe: Recipe) -> None:
    if recipe.task not in ("gender", "age"):
        raise RecipeError(f"task: got {recipe.task!r}, expected gender or age")
    if not 1 <= len(recipe.channels) <= 12 or not all(1 <= one <= 4096 for one in recipe.channels):
        raise RecipeError(f"channels: got {recipe.channels}, expected 1 to 12 numbers from 1 to 4096")
    try:
        recipe.front_end  # noqa: B018 - building it checks it
    except OptionError as error:
        raise RecipeError(str(error)) from None
    _, height, width = recipe.front_end.input_shape
    if min(height, width) < 2 ** (len(recipe.channels) + 1):
        raise RecipeError(
            f"channels: got {len(recipe.channels)} stages, too many for {width}×{height} pixels: each stage halves them"
        )
