"""One training in several processes: the curve of one process, the files of one process, and an end for all."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import psutil
import pytest
import torch
import torch.distributed as dist
from torch import nn

from factories import tiny_release
from test_training import QUICK
from voxtrait import bundle, corpora, manifest
from voxtrait.derived import shards
from voxtrait.errors import OptionError, RecipeError, WorkerError
from voxtrait.manifest import splitting
from voxtrait.training import leads, ranks, recipe, schedule
from voxtrait.training.pictures import layers
from voxtrait.training.pictures.augmentation import augment
from voxtrait.training.pictures.dataset import EpochBatches
from voxtrait.training.pictures.fit import train
from voxtrait.training.ranks import Share

UNEVEN = (*QUICK, "batch_size=7", "max_epochs=4", "learning_rate=0.01", "workers=0")  # 3 and 4 clips a process


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Path:
    """Shards of the small pictures of 36 made-up speakers, one clip each."""
    folder = tmp_path_factory.mktemp("release")
    tiny_release(folder, speakers=36, clips=1)
    table = splitting.split(corpora.import_corpora([folder]).table, (50, 25, 25), seed=1)
    manifest.write(table, folder / "manifest.parquet")
    shards.pack(folder / "manifest.parquet", folder / "shards", size=(96, 64))
    return folder / "shards"


@pytest.fixture(scope="module")
def alone(packed, tmp_path_factory):
    """The training of one process."""
    return train(recipe.load("diary-gender", UNEVEN), packed, tmp_path_factory.mktemp("alone"))


def launch(packed: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "voxtrait"]
    command += ["train", "diary-gender", "--data", str(packed), "--out", str(out), "--jobs", "1", "-q", *more]
    command += [word for one in UNEVEN for word in ("--set", one)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.mark.slow
def test_two_processes_killed_and_resumed_give_the_curve_of_one(packed, alone, tmp_path):
    folder = tmp_path / "two"
    first = launch(packed, folder)
    while first.poll() is None and not (folder / "checkpoints" / "last.ckpt").is_file():
        time.sleep(0.01)
    children = psutil.Process(first.pid).children()
    assert len(children) == 2
    children[1].send_signal(signal.SIGKILL)
    _, said = first.communicate(timeout=120)
    assert first.returncode == 1
    assert "exitcode  : -9" in said
    assert not any(child.is_running() and child.status() != "zombie" for child in children), "all processes must end"
    assert not (folder / "bundle").exists()

    again = launch(packed, folder, "--resume", "--format", "json")
    printed, said = again.communicate(timeout=120)
    assert again.returncode == 0, said
    found = json.loads(printed)  # one answer, not one a process
    curves = [pl.read_csv(one / "curves.csv") for one in (alone.bundle.parent, folder)]
    assert [curve.height for curve in curves] == [4, 4]
    for name in curves[0].columns:
        close = {"rel": 1e-4} if name.endswith("loss") else {"abs": 1e-3}
        assert curves[1][name].to_list() == pytest.approx(curves[0][name].to_list(), **close)
    assert len(set(curves[0]["validation_loss"])) == 4, "a training that learns nothing would prove nothing"
    for split, figures in alone.figures.items():
        assert found["figures"][split] == pytest.approx(figures, rel=1e-4, abs=1e-3)
    one, two = (bundle.load(path) for path in (alone.bundle, found["bundle"]))
    assert two.speakers() == one.speakers()
    assert found["report"] == str(folder / "report")
    assert (folder / "report" / "report.json").is_file()


def test_ranks_share_each_batch_of_one_process():
    whole = EpochBatches(50, 7, seed=3, share=Share())
    parts = [EpochBatches(50, 7, seed=3, share=Share(rank, 3)) for rank in range(3)]
    for epoch in (0, 1):
        for one in (whole, *parts):
            one.epoch = epoch
        for batch, *shares in zip(whole, *parts, strict=True):
            assert batch == [row for share in shares for row in share]
            assert [len(share) for share in shares] == [2, 2, 3]
    assert [part.place for part in parts] == [(0, 7), (2, 7), (4, 7)]
    assert len(whole) == len(parts[0]) == 7
    assert EpochBatches(5, 7, seed=3, share=Share()).place == (0, 5)


def test_augmentation_and_dropout_are_those_of_the_whole_batch():
    settings = recipe.load("diary-gender")
    pictures = torch.rand(7, 1, 96, 144)
    wholes, parts = [], []
    for rows in (None, slice(0, 3), slice(3, 7)):
        chance = torch.manual_seed(5)
        some = pictures if rows is None else pictures[rows]
        place = None if rows is None else (rows.start, 7)
        changed = augment(some, settings, 90.0, chance, place)
        network = nn.Sequential(nn.Dropout2d(0.4), nn.Dropout(0.3))
        if rows is not None:
            network = layers.globalise(network, Share(0, 2), cuda=False)
            layers.place(network, *place)
        (wholes if rows is None else parts).append(network(changed))
    assert torch.equal(torch.cat(parts), wholes[0])
    assert 0.3 < (wholes[0] == 0).float().mean() < 0.9


@pytest.fixture
def group(tmp_path):
    """A group of one process, so that what goes over ranks really goes through gloo."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("shape", [(5, 3, 4, 6), (5, 3)])
def test_batch_normalisation_over_ranks_is_torchs_own(group, shape):
    torch.manual_seed(0)
    x = (3 + 2 * torch.randn(shape)).requires_grad_()
    y = x.detach().clone().requires_grad_()
    own = nn.BatchNorm2d(3) if len(shape) == 4 else nn.BatchNorm1d(3)
    nn.init.uniform_(own.weight)
    wide = layers.globalise(nn.Sequential(own), Share(0, 2), cuda=False)[0]
    assert isinstance(wide, layers.GlobalBatchNorm)
    pull = torch.randn(shape)
    for layer, seen in ((own, x), (wide, y)):
        (layer(seen) * pull).sum().backward()
    assert torch.allclose(wide(y), own(x), atol=1e-5)
    assert torch.allclose(y.grad, x.grad, atol=1e-5)
    assert torch.allclose(wide.weight.grad, own.weight.grad, atol=1e-4)
    for name, value in own.state_dict().items():
        assert torch.allclose(wide.state_dict()[name], value, atol=1e-6), name
    assert torch.equal(wide.eval()(y), own.eval()(x)) or torch.allclose(wide(y), own(x), atol=1e-6)


def test_one_process_keeps_torchs_own_layers():
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5))
    assert layers.globalise(network, Share(), cuda=False) is network
    assert [type(layer) for layer in network] == [nn.BatchNorm2d, nn.Dropout]


def test_what_rank_0_does_reaches_all_and_its_failure_ends_all(monkeypatch):
    sent = []

    def send(box, src):
        if sent:
            box[:] = sent[0]
        else:
            sent.append(list(box))

    monkeypatch.setattr(dist, "broadcast_object_list", send)
    assert Share(0, 2).lead(lambda: 7) == 7
    assert Share(1, 2).lead(lambda: pytest.fail("rank 0 alone works")) == 7
    sent.clear()
    with pytest.raises(RecipeError):
        Share(0, 2).lead(lambda: recipe.load("nothing"))
    with pytest.raises(SystemExit):
        Share(1, 2).lead(lambda: 7)


def test_a_lost_connection_is_one_plain_error(monkeypatch, tmp_path):
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    before = signal.getsignal(signal.SIGTERM)
    assert not leads()
    monkeypatch.setattr(dist, "init_process_group", lambda *_, **__: None)
    for failure in (RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer"), "sigterm"):
        with pytest.raises(WorkerError, match="--resume"), ranks.joined():
            if failure == "sigterm":
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(5)
            raise failure
    assert signal.getsignal(signal.SIGTERM) is before
    with pytest.raises(RuntimeError, match="size mismatch"), ranks.joined():
        raise RuntimeError("size mismatch")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(OptionError, match="Got 2 processes and 1 GPU on this machine"), ranks.joined():
        pass


def test_more_processes_than_clips_are_refused(packed, tmp_path, monkeypatch):
    monkeypatch.setattr(ranks, "share", lambda: Share(0, 9))
    monkeypatch.setattr(dist, "broadcast_object_list", lambda box, src: None)
    with pytest.raises(OptionError, match="Got 9 processes, but a batch or split of 7 clips"):
        train(recipe.load("diary-gender", UNEVEN), packed, tmp_path / "run")


def gpus(monkeypatch, count: int, *, bf16: bool = True, capability: tuple[int, int] = (9, 0)) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)


def test_auto_uses_what_the_machine_has(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    gpus(monkeypatch, 0)
    assert (schedule.precision_of("auto"), schedule.compiles("auto")) == ("32-true", False)
    gpus(monkeypatch, 1)
    assert (schedule.precision_of("auto"), schedule.compiles("auto")) == ("bf16-mixed", True)
    assert (schedule.precision_of("32-true"), schedule.compiles("no")) == ("32-true", False)
    assert schedule.unused_gpus(Share()) is None
    gpus(monkeypatch, 4, bf16=False, capability=(6, 1))
    assert (schedule.precision_of("auto"), schedule.compiles("auto")) == ("32-true", False)
    assert "torchrun --nproc-per-node 4" in schedule.unused_gpus(Share())
    assert schedule.unused_gpus(Share(0, 4)) is None


def test_compiling_without_a_compiler_says_so(monkeypatch):
    gpus(monkeypatch, 0)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(OptionError, match="found no C\\+\\+ compiler"):
        schedule.compiles("yes")


def test_unknown_precision_names_the_known_ones():
    for key in ("precision", "compile"):
        with pytest.raises(RecipeError, match=f"{key}: got 'fast', expected one of auto, "):
            recipe.load("diary-gender", [f"{key}=fast"])


def test_bfloat16_and_a_compiled_network_train_to_a_bundle(packed, alone, tmp_path, monkeypatch):
    # Inductor takes minutes to compile even this network on a CPU: what is traced runs as it is
    compile_ = nn.Module.compile
    calls = []
    monkeypatch.setattr(nn.Module, "compile", lambda self: calls.append(compile_(self, backend="eager")))
    mixed = (*UNEVEN, "precision=bf16-mixed", "compile=yes")
    found = train(recipe.load("diary-gender", mixed), packed, tmp_path / "mixed")
    assert len(calls) == 1
    plain, curve = (pl.read_csv(one.bundle.parent / "curves.csv")["train_loss"].to_list() for one in (alone, found))
    assert curve != plain
    assert curve == pytest.approx(plain, rel=5e-2)
    assert found.figures["test"]["loss"] == pytest.approx(alone.figures["test"]["loss"], rel=5e-2)
