import dataclasses

import pytest

from voxtrait.errors import RecipeError
from voxtrait.training import recipe


def test_shipped_recipes_load_and_name_their_task():
    assert recipe.shipped() == ["base", "diary-age", "diary-gender", "fast"]
    assert [recipe.load(name).task for name in recipe.shipped()[1:3]] == ["age", "gender"]
    for name, encoder in (("base", "campplus"), ("fast", "fast")):
        shipped = recipe.load(name)
        assert isinstance(shipped, recipe.EncoderRecipe)
        assert (shipped.name, shipped.encoder) == (f"voxtrait-{name}", encoder)


def test_the_fast_encoder_sees_half_of_the_frames_of_the_loudest_part():
    base, fast = (recipe.load(name).front_end for name in ("base", "fast"))
    assert (base.columns, base.hop_length) == (600, 160)  # 6 s
    assert (fast.columns, fast.hop_length) == (100, 320)  # 2 s
    assert (base.chosen_from, fast.chosen_from * fast.hop_length) == (0, 600 * 160)  # of 6 s
    assert dataclasses.replace(fast, columns=600, hop_length=160, chosen_from=0) == base


def test_the_network_sees_a_third_of_the_diarys_picture():
    assert recipe.load("diary-gender").front_end.input_shape == (1, 96, 144)


@pytest.mark.parametrize(
    ("override", "field", "value"),
    [
        ("max_epochs=3", "max_epochs", 3),
        ("learning_rate=1", "learning_rate", 1.0),
        ("channels=[4, 8]", "channels", (4, 8)),
        ("fit=stretch", "fit", "stretch"),
        ("description = a = b", "description", "a = b"),
    ],
)
def test_set_replaces_one_typed_value(override, field, value):
    changed = recipe.load("diary-gender", [override])
    assert getattr(changed, field) == value
    assert type(getattr(changed, field)) is type(value)
    assert dataclasses.replace(changed, **{field: getattr(recipe.load("diary-gender"), field)}) == recipe.load(
        "diary-gender"
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epochs=3", r"Unknown key epochs\. Expected some of name, task, .*max_epochs"),
        ("max_epochs=many", r"max_epochs: got 'many', expected a whole number"),
        ("max_epochs=true", r"max_epochs: got True, expected a whole number"),
        ("max_epochs=0", r"max_epochs: got 0, expected 1 to"),
        ("dropout=1.5", r"dropout: got 1.5, expected 0 to 0.95"),
        ("channels=3", r"channels: got 3, expected a list"),
        ("task=accent", r"task: got 'accent', expected gender or age"),
        ("shrink=5", r"Got shrink 5\. Expected a divisor"),
        ("fit=squeeze", r"Got fit 'squeeze'\. Expected one of middle, stretch"),
        ("channels=[1,1,1,1,1,1]", r"channels: got 6 stages, too many for 144×96 pixels: each stage halves them"),
        ("max_epochs", r"Got --set 'max_epochs'\. Expected key=value, such as max_epochs=10\."),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(override, message):
    with pytest.raises(RecipeError, match=message):
        recipe.load("diary-gender", [override])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("channels=[4,8]", r"Unknown key channels\. Expected some of name, kind, .*members"),
        ("members=1", r"members: got 1, expected 2 to 100"),
        ("kind=tape", r"kind: got 'tape', expected one of pictures, encoder"),
        ("room=2", r"room: got 2.0, expected 0 to 1"),
        ("encoder=large", r"encoder: got 'large', expected one of campplus, fast"),
    ],
)
def test_the_other_kind_has_keys_of_its_own(override, message):
    with pytest.raises(RecipeError, match=message):
        recipe.load("base", [override])


def test_a_recipe_file_of_ones_own(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('name = "mine"\ntask = "gender"\nmax_epochs = 2\n')
    assert recipe.load(file).max_epochs == 2
    file.write_text("name = ")
    with pytest.raises(RecipeError, match="is not valid TOML"):
        recipe.load(file)
    file.write_text('name = "mine"\n')
    with pytest.raises(RecipeError, match=r"Missing key task\. Add it to the recipe\."):
        recipe.load(file)
    with pytest.raises(
        RecipeError,
        match=r"Unknown recipe 'diary-accent'\. Expected a \.toml file or one of base, diary-age, diary-gender, fast",
    ):
        recipe.load("diary-accent")
