"""Measurements, their checks and the command; never the speed itself."""

import contextlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench import ops
from bench.common.files import write_atomically
from bench.networks import augment, cpu
from bench.records import writer
from bench.speed import data, epochs, measure, methods, networks, overhead, pieces, searches
from bench.speed import parts as speed
from bench.speed.__main__ import main
from bench.speed.data import FORMATS, difference
from bench.speed.measure import Different, Settings, Work, compare, summary
from bench.speed.networks import CASES, require_same_step
from bench.speed.sessions import Session, dataset_for, specification
from bench.training.checkpoint import Checkpoint

ROOT = Path(__file__).parents[2]
TINY = CASES["cpu"][0]
QUICK = Settings(images=90, repeats=1, threads=1)


@pytest.fixture(autouse=True)
def no_bfloat16(monkeypatch):
    """The same rows on every machine."""
    monkeypatch.setattr(networks, "bfloat16_units", lambda: False)


@pytest.fixture
def tiny(monkeypatch):
    """Only the smallest network."""
    for module in (networks, methods):
        monkeypatch.setattr(module, "CASES", {"cpu": (TINY,)})


@pytest.fixture
def compared(monkeypatch):
    """Every comparison's part, name and network; each side is called once and not timed."""
    calls = []

    def compare(part, name, ours, theirs, settings, images, work, network=None):
        ours()
        theirs()
        calls.append((part, name, network))
        return summary(part, name, [(1.0, 2.0)], settings, images, network)

    for module in (data, networks, pieces, epochs):
        monkeypatch.setattr(module, "compare", compare)
    return calls


def run(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    return end.value.code or 0


def rows_of(part: str, settings: Settings) -> list[Any]:
    measure_part, _ = speed.PARTS[part]
    return list(measure_part(settings))


def session_of(name: str, number: int = 200, epoch: int = 1, **options: Any) -> Session:
    images = dataset_for(TINY, number)
    return Session(specification(TINY, images, name, QUICK, **options), images, epoch)


# ------------------------------------------------------------------------------------ measurement


def test_a_comparison_by_hand(monkeypatch):
    """A first call of each does not count; then come 1, 2, 4 s against 10, 8, 12 s.

    The ceiling takes 1 s at best.
    """
    calls = []
    took = iter([9, 9, 9, 1, 10, 1, 2, 3, 2, 8, 3, 1, 3, 4, 12, 3, 3, 1])

    def seconds(call):
        call()
        return next(took)

    monkeypatch.setattr(measure, "seconds", seconds)
    monkeypatch.setattr(measure, "ceiling", lambda *_: (lambda: calls.append("top"), 1000))
    settings = Settings(images=7, repeats=3, threads=1)
    sides = (lambda: calls.append("ours"), lambda: calls.append("theirs"))
    row = compare("data", "by hand", *sides, settings, 100, Work("copy", 500), "small")
    assert calls == ["top", "ours", "theirs", *["ours", "theirs", "top", "top", "top"] * 3]
    assert (row.part, row.name, row.network) == ("data", "by hand", "small")
    assert (row.ours_s, row.theirs_s, row.ratio) == (2, 10, 5)
    assert row.spread == (3, 10)
    assert (row.ours_images_per_s, row.theirs_images_per_s) == (50, 10)
    assert (row.share, row.ceiling) == (0.25, "copy"), "250 a second of 1000"
    assert speed.cells(row)[2:] == (
        *("2", "10", "50", "5.00", "3.00..10.00", "20.0%"),
        "25% copy",
    )


@pytest.mark.parametrize("kind", ["matmul", "copy"])
def test_the_ceiling_does_the_work_that_it_is_counted_for(kind):
    run, amount = measure.ceiling(Work(kind, 0), "cpu")
    if kind == "matmul":
        assert networks.operations(run) == amount
    else:
        assert run().nbytes * 2 == amount, "read and written"


def test_a_gpus_float32_is_tf32_in_its_ceiling_too(monkeypatch):
    """As in its convolutions; but neither elsewhere nor in matrix products of full precision."""
    precisions = []
    monkeypatch.setattr(torch, "rand", lambda *_, **__: torch.zeros(1))
    monkeypatch.setattr(
        torch, "mm", lambda *_, **__: precisions.append(torch.get_float32_matmul_precision())
    )
    for device, dtype, tf32, precision in (
        ("cuda", torch.float32, True, "high"),
        ("cuda", torch.float32, False, "highest"),
        ("cuda", torch.bfloat16, True, "highest"),
        ("cpu", torch.float32, True, "highest"),
    ):
        run, _ = measure.ceiling(Work("matmul", 0, dtype, tf32), device)
        for _ in range(2):
            run()
        assert precisions[-2:] == [precision] * 2
        assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize("error", [0.11, float("nan")])
def test_a_difference_beyond_its_bound_is_an_error(error):
    measure.require_same("by hand", "the losses", 0.1, 0.1)
    with pytest.raises(Different, match=f"by hand: the losses differ by {error}, so that"):
        measure.require_same("by hand", "the losses", error, 0.1)


# ------------------------------------------------------------------------------------ the command


COLUMNS = (
    "part name network ratio spread ours_s theirs_s ours_images_per_s theirs_images_per_s share "
    "ceiling threads device machine torch git_commit".split()
)


def test_the_file_keeps_the_rows_of_other_parts(tmp_path, capsys):
    file = tmp_path / "speed.json"
    other = {"part": "epoch", "device": "cpu", "name": "by hand"}
    gpu = {"part": "data", "device": "cuda", "name": "by hand"}
    file.write_text(json.dumps([other, {"part": "data", "device": "cpu"}, gpu]))
    words = ["data", "--json", str(file), "--images", "200", "--repeats", "1"]
    assert run(words) == 0
    rows = json.loads(file.read_text())
    assert rows[:2] == [other, gpu] and [row["part"] for row in rows[2:]] == ["data", "data"]
    file.write_text('{"part": "data"}')
    assert run(words) == 2 and "holds no rows of this command" in capsys.readouterr().err


def test_the_table_and_the_file(tmp_path, capsys):
    file = tmp_path / "new" / "speed.json"
    assert run(["data", "--json", str(file), "--images", "200", "--repeats", "2"]) == 0
    text = capsys.readouterr().out
    rows = json.loads(file.read_text())
    assert [row["name"] for row in rows] == ["crop_flip 32x32x3", "crop 28x28x1"]
    for row in rows:
        assert all(word in text for word in row["name"].split())
        assert list(row) == COLUMNS
        assert (row["part"], row["network"]) == ("data", None)
        assert row["ours_s"] > 0 and row["theirs_s"] > 0
        assert row["ratio"] == pytest.approx(row["theirs_s"] / row["ours_s"])
        assert row["ours_images_per_s"] == pytest.approx(200 / row["ours_s"])
        low, high = row["spread"]
        assert 0 < low <= high


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dat"], "there is no part 'dat': did you mean data?"),
        (
            ["everything"],
            "there is no part 'everything': choose from all, data, epoch, eval, methods",
        ),
        (["data", "--images", "0"], "Invalid value for '--images'"),
        (["data", "--repeats", "1", "--repeats", "2"], "--repeats is given twice"),
        (["data", "--json", "/proc/none/speed.json"], "cannot write to '/proc/none'"),
        (["data", "--device", "cuda"], "there is no CUDA device here"),
        (
            ["methods", "--methods", "ce,softmx"],
            "there is no method 'softmx': did you mean softmix",
        ),
        (
            ["epoch", "--methods", "gce"],
            "no epochs in authors' style: choose --methods from ce, divide_mix, softmix",
        ),
    ],
)
def test_mistakes_are_one_line_and_status_2(arguments, message, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert run(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "message", "of_all", "alone"),
    [
        (measure.Nothing("no epochs of gce"), "epoch is left out: no epochs of gce", 0, 2),
        (
            Different("ce", "losses differ"),
            "epoch could not be measured: ce: losses differ, so that their times",
            1,
            2,
        ),
        (
            torch.OutOfMemoryError("CUDA out of memory"),
            "epoch could not be measured: CUDA out of memory",
            1,
            None,
        ),
    ],
)
def test_all_parts_go_on_where_one_cannot_be_measured(
    monkeypatch, capsys, tmp_path, error, message, of_all, alone
):
    def fails(settings):
        raise error

    row = summary("data", "by hand", [(1.0, 2.0)], QUICK, 1, None)
    parts = {"epoch": (fails, ""), "data": (lambda settings: [row], "")}
    monkeypatch.setattr(speed, "PARTS", parts)
    assert run(["all", "--json", str(tmp_path / "speed.json")]) == of_all
    captured = capsys.readouterr()
    assert message in captured.out + captured.err and "by hand" in captured.out
    assert [row["name"] for row in json.loads((tmp_path / "speed.json").read_text())] == ["by hand"]
    if alone:
        assert run(["epoch"]) == alone
    else:
        with pytest.raises(type(error)):
            main(["epoch"])


def test_rows_in_bfloat16_that_are_left_out_are_named(monkeypatch, capsys, tiny):
    assert run(["step", "--repeats", "1"]) == 0
    text = capsys.readouterr().out
    assert "step, bf16" not in text
    assert "bfloat16 are left out: this CPU has no units for it" in text
    monkeypatch.setattr(networks, "bfloat16_units", lambda: True)
    assert run(["step", "--repeats", "1"]) == 0
    assert "left out" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "there"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 sha", True),
        ("flags : amx_bf16 amx_tile", True),
        ("flags : avx512f bf16x", False),
    ],
)
def test_units_for_bfloat16_are_read_from_the_systems_list(tmp_path, monkeypatch, flags, there):
    for file, expected in ((tmp_path / "cpuinfo", there), (tmp_path / "none", False)):
        (tmp_path / "cpuinfo").write_text(f"processor : 0\nbugs : amx_bf16\n{flags}\n")
        monkeypatch.setattr(cpu, "CPUINFO", file)
        cpu.bfloat16_units.cache_clear()
        assert cpu.bfloat16_units() is expected
    cpu.bfloat16_units.cache_clear()


@pytest.mark.slow
def test_worker_processes_take_the_place_of_threads():
    """In a process, since the number of threads is the whole process's."""
    words = ["data", "--images", "200", "--repeats", "1", "--threads", "2"]
    command = [sys.executable, "-m", "bench.speed", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "threads: 2" in done.stdout


def test_importing_is_light():
    code = "import sys\n"
    for module, heavy in (
        ("__main__", {"torch", "numpy"}),
        ("parts", {"ray", "torchvision", "PIL"}),
    ):
        code += f"import bench.speed.{module}; print({heavy} & set(sys.modules))\n"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\nset()\n"


# ---------------------------------------------------------------------------------- the data path


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_both_data_paths_compute_the_same(form):
    assert difference(form, 200) <= 1e-6


def shifted(images, generator, padding, reflect=False):
    """A crop that is off by one pixel."""
    return random_crop(images, generator, padding, reflect).roll(1, 3)


def never(images, generator):
    """No flip, though as many numbers are drawn."""
    random_flip(images, generator)
    return images


random_crop, random_flip = augment.random_crop, augment.random_flip


@pytest.mark.parametrize(("step", "wrong"), [("random_crop", shifted), ("random_flip", never)])
def test_data_paths_that_differ_are_not_timed(monkeypatch, step, wrong):
    monkeypatch.setattr(augment, step, wrong)
    monkeypatch.setattr(data, "compare", lambda *_: pytest.fail("was timed"))
    with pytest.raises(Different, match="crop_flip 32x32x3: the two ways differ by"):
        rows_of("data", QUICK)


def test_a_pass_takes_every_image_once(monkeypatch, compared):
    """On both sides, in batches of one size; the last may be smaller."""
    indices = {"ours": [], "theirs": []}

    class Counting(data.Pixels):
        def __call__(self, index, *arguments):
            if len(self.images) == 300:
                indices["ours"].append(index)
            return super().__call__(index, *arguments)

    class Recording(data.Pictures):
        def __getitem__(self, index):
            if len(self) == 300:
                indices["theirs"].append(index)
            return super().__getitem__(index)

    monkeypatch.setattr(data, "Pixels", Counting)
    monkeypatch.setattr(data, "Pictures", Recording)
    monkeypatch.setattr(data, "FORMATS", FORMATS[1:])
    rows_of("data", replace(QUICK, images=300))
    assert [len(index) for index in indices["ours"]] == [128, 128, 44]
    for order in (torch.cat(indices["ours"]).tolist(), indices["theirs"]):
        assert sorted(order) == list(range(300)) != order


# ----------------------------------------------------------------------- neighbours and mixtures


def test_parts_of_methods_agree_with_loops_and_libraries(compared):
    for part in ("neighbours", "mixture"):
        rows_of(part, Settings(images=500))
    names = [name for _, name, _ in compared if "hnswlib" not in name]
    assert names == ["batch, mixed", "set, 500 x 512, k = 11", "Gaussian", "Beta"]


def test_a_navigable_small_world_has_the_same_neighbours_in_a_batch():
    pytest.importorskip("hnswlib")
    features = np.random.default_rng(0).normal(size=(100, 16)).astype(np.float32)
    expected = pieces.nearest_by_sklearn(features, 2, 1)
    assert (pieces.nearest_by_hnsw(features, 2, 1) == expected).all()


def test_a_single_wrong_neighbour_in_a_set_is_an_error():
    features = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
    features[7] = features[3]
    exact = pieces.nearest_by_sklearn(features, 4, 1)
    twins = exact.copy()
    twins[exact == 3], twins[exact == 7] = 7, 3
    twins[[3, 7]] = exact[[3, 7]]
    for positions in (exact, twins):
        assert pieces.distance_error(features, positions, exact) < 1e-6
    next_best = exact.copy()
    next_best[50, 3] = pieces.nearest_by_sklearn(features, 5, 1)[50, 4]
    repeated = exact.copy()
    repeated[60, 1] = exact[60, 0]
    for positions in (next_best, repeated):
        assert pieces.distance_error(features, positions, exact) > 1e-4


def unmixed(x, nearest, clean):
    return x, clean, torch.arange(len(x))


def nearest_to_all(features, k, threads):
    return np.zeros((len(features), k), int)


@pytest.mark.parametrize(
    ("helper", "wrong"), [("mixed_one_by_one", unmixed), ("nearest_by_sklearn", nearest_to_all)]
)
def test_neighbours_that_differ_are_not_timed(compared, monkeypatch, helper, wrong):
    monkeypatch.setattr(pieces, helper, wrong)
    with pytest.raises(Different):
        rows_of("neighbours", Settings(images=500))
    assert not compared


#: Losses of 300 samples that two components fit in several ways.
CLUMPS = np.repeat([0, 0.2, 0.35, 0.6, 1], [77, 60, 77, 60, 26])


def test_from_the_same_start_scikit_learn_fits_our_mixture():
    ours = ops.clean_probability(torch.from_numpy(CLUMPS))
    np.testing.assert_allclose(ours, pieces.gaussian_by_sklearn(CLUMPS, same_start=True), atol=1e-6)
    moved = pieces.moved(ours, pieces.gaussian_by_sklearn(CLUMPS))
    assert moved > 0.1, "else these losses would show nothing"


def test_posteriors_that_are_no_number_are_not_the_same():
    ours, theirs = torch.tensor([0.1, torch.nan, 0.9]), np.array([0.1, 0.1, np.nan])
    assert pieces.moved(ours, theirs) == pytest.approx(2 / 3)


# ------------------------------------------------------------------------ steps and predictions


def test_steps_and_evaluation_agree(compared, tiny):
    for part in ("step", "eval"):
        rows_of(part, QUICK)
    assert compared == [("step", "step", "tiny"), ("eval", "pass", "tiny")]


def test_epochs_and_evaluation_on_a_gpu_are_of_each_network_once():
    """They choose their own batch size."""
    assert [case.name for case in networks.cases("cuda")] == ["resnet18", "resnet34"]
    assert networks.cases("cpu") == CASES["cpu"]


@pytest.mark.slow
def test_bfloat16_is_compared_with_our_own_float32(compared, monkeypatch, tiny):
    monkeypatch.setattr(networks, "bfloat16_units", lambda: True)
    computed = []
    autocast = torch.autocast

    class Noting(autocast):
        def __init__(self, device, dtype=None, enabled=True, **options):
            super().__init__(device, dtype, enabled, **options)
            computed.append(dtype if enabled else None)

    monkeypatch.setattr(torch, "autocast", Noting)
    rows_of("step", QUICK)
    assert compared == [("step", "step", "tiny"), ("step", "step, bf16", "tiny")]
    assert set(computed[-2 * TINY.steps : -TINY.steps]) == {torch.bfloat16}, "ours"
    assert set(computed[-TINY.steps :]) == {None}, "theirs"
    compared.clear()
    rows_of("epoch", Settings(images=200, methods=("ce", "divide_mix")))
    names = [name for _, name, _ in compared]
    assert names == ["ce", "ce, bf16", "divide_mix", "divide_mix, bf16"]


@pytest.mark.parametrize("skipped", [0, 1])
def test_a_graph_that_leaves_another_network_is_not_timed(monkeypatch, skipped):
    """The graph here takes the ordinary step, or forgets to."""

    class Steps:
        def __init__(self, method, optimizer, counted):
            self.method, self.optimizer = method, optimizer

        def __call__(self, batch):
            return None if skipped else self.method.update(batch, self.optimizer)

    class OnTheCpu(networks.Case):
        def network(self, device):
            return super().network("cpu")

        def samples(self, number, device):
            return super().samples(number, "cpu")

    monkeypatch.setattr(networks, "GraphedSteps", Steps)
    error = pytest.raises(Different, match="tiny, graphed: the networks differ by")
    with error if skipped else contextlib.nullcontext():
        networks.check_graph(OnTheCpu("tiny", "tiny_cnn", 8, 1))


@pytest.mark.parametrize(
    ("loss", "factor", "dtype", "message"),
    [
        (0.0, 1.0, torch.float64, None),
        (0.0, 1.0, torch.float32, None),
        (0.5, 1.0, torch.float64, "in float64 the losses differ by 0.5"),
        (0.5, 1.0, torch.float32, "in float32 the losses differ by 0.5"),
        (torch.nan, 1.0, torch.float32, "the losses differ by nan"),
        (0.0, 1.001, torch.float64, "the gradients, relative to their norm, differ by 0.001"),
        (0.0, 1.1, torch.float32, "the gradients, relative to their norm, differ by 0.1"),
        (0.0, 1.001, torch.float32, None),
        (0.0, torch.nan, torch.bfloat16, "the gradients, relative to their norm, differ by nan"),
        (0.0, 0.0, torch.bfloat16, "the gradients, relative to their norm, differ by 1"),
        (0.0, 1.5, torch.bfloat16, None),
    ],
)
def test_losses_and_gradients_are_compared_for_their_precision(loss, factor, dtype, message):
    net = torch.nn.Linear(2, 1).double()

    def side(added: float, factor: float):
        value = net(torch.ones(1, 2, dtype=torch.float64)).sum()
        value.register_hook(lambda gradient: gradient * factor)
        return value + added, net

    error = pytest.raises(Different, match=message)
    with error if message else contextlib.nullcontext():
        require_same_step("by hand", side(loss, factor), side(0.0, 1.0), dtype)


def test_a_step_that_is_wrong_in_its_precision_alone_is_not_timed(monkeypatch):
    """Float32 has other kernels than float64."""
    cross_entropy, calls = networks.F.cross_entropy, []

    def wrong_in_float32(logits, y):
        if logits.dtype == torch.float32:
            calls.append(logits)
        return cross_entropy(logits, y) * (1.2 if len(calls) == 1 else 1)

    networks.check_step(TINY, "cpu", bf16=True)
    monkeypatch.setattr(networks.F, "cross_entropy", wrong_in_float32)
    with pytest.raises(Different, match="step, tiny: in float32 the losses differ"):
        networks.check_step(TINY, "cpu", bf16=False)


@pytest.mark.parametrize(
    ("bounds", "quantity"), [((0.0, 1.0), "losses"), ((1.0, 0.0), "gradients")]
)
def test_a_step_in_bfloat16_is_compared_too(monkeypatch, bounds, quantity):
    monkeypatch.setitem(networks.BOUNDS, torch.bfloat16, bounds)
    with pytest.raises(Different, match=f"step, tiny: in bfloat16 the {quantity}.* differ by"):
        networks.check_step(TINY, "cpu", bf16=True)


# ------------------------------------------------------------------------------------------ epochs


def test_epochs_of_three_methods_agree_with_their_authors_loops(compared, tiny):
    """The part itself compares mixtures, losses and gradients; each epoch must end."""
    rows_of("epoch", Settings(images=300))
    assert compared == [("epoch", name, "tiny") for name in ("ce", "divide_mix", "softmix")]


def test_only_the_named_methods_are_measured(compared, tiny):
    settings = Settings(images=150, repeats=1, methods=("ce", "gce"))
    assert [row.name for row in rows_of("epoch", settings)] == ["ce"]
    assert [row.name for row in rows_of("methods", settings)] == ["ce", "gce"]


def reference_of(name: str, batch_size: int) -> tuple[Session, Any]:
    kind = epochs.references()[name]
    session = session_of(
        name, 300, epochs.TIMED, hparams=kind.hparams, epochs=epochs.EPOCHS, batch_size=batch_size
    )
    return session, kind(session, TINY, QUICK)


@pytest.mark.parametrize("name", epochs.references())
def test_both_sides_of_an_epoch_take_as_many_steps(name, monkeypatch):
    """Also where two components fit the losses in several ways.

    The division of the samples decides on the steps.
    """
    kind = epochs.references()[name]
    losses = torch.from_numpy(CLUMPS).float()
    monkeypatch.setattr(kind, "batch_size", 16)
    monkeypatch.setattr(kind, "losses", lambda self, net: CLUMPS)
    session, reference = reference_of(name, 16)
    monkeypatch.setattr(ops, "per_sample_loss", lambda method, net: losses)
    steps = {"ours": 0, "theirs": 0}
    for side, optimizer, run in (
        ("ours", session.optimizer, session.again),
        ("theirs", reference.optimizer, reference.epoch),
    ):
        optimizer.register_step_post_hook(
            lambda *_, side=side: steps.update({side: steps[side] + 1})
        )
        run()
    assert steps["ours"] == steps["theirs"] > 0


@pytest.mark.parametrize(("name", "attribute"), [("softmix", "targets"), ("divide_mix", "weight")])
def test_an_epoch_that_computes_something_else_is_not_timed(name, attribute):
    session, reference = reference_of(name, epochs.references()[name].batch_size)
    setattr(reference, attribute, getattr(reference, attribute) * 1.5)
    with pytest.raises(Different, match="the losses differ"):
        epochs.check("by hand", session, reference)


def test_an_epoch_can_be_run_again():
    """From the same weights, optimiser and random numbers."""
    session = session_of("divide_mix", 200, 2, epochs=5)
    first, second = session.again(), session.again()
    assert first["train_loss"] == second["train_loss"]
    assert session.images == 200


# ----------------------------------------------------------------------------------------- methods


def test_a_method_is_measured_against_its_passes(monkeypatch, tiny):
    """A pass takes 1 s in an epoch of ce, 0.25 s without gradients, 0.125 s in eval mode.

    One of each is 1.375 s.
    """
    counts = {"again": 300, "evaluate": 100}
    monkeypatch.setattr(methods, "method_names", lambda: ["measured"])
    monkeypatch.setattr(methods, "operations", lambda run: counts[run.__name__])
    monkeypatch.setattr(measure, "ceiling", lambda *_: (lambda: None, 2000))
    monkeypatch.setattr(measure, "seconds", lambda run: 2)
    took = iter([9, 9, 9, 1, 0.25, 0.125, 2.75])  # warm-ups first

    class Fake:
        images = 10

        def again(self):
            return {"samples_trained": 10, "samples_inferred": 20, "samples_evaluated": 10}

        def evaluate(self):
            pass

        def forward(self):
            return self.evaluate

    monkeypatch.setattr(methods, "Session", lambda *_: Fake())
    monkeypatch.setattr(methods, "specification", lambda *_, **__: None)
    monkeypatch.setattr(methods, "pretrain_job", lambda _: None)
    monkeypatch.setattr(methods, "seconds", lambda run: (run(), next(took))[1])
    [row] = rows_of("methods", QUICK)
    assert (row.name, row.ours_s, row.theirs_s, row.ratio) == ("measured", 2.75, 1.375, 0.5)
    share = (300 + 200) / 2.75 / 1000
    assert row.share == pytest.approx(share), "of a machine that does 1000 operations a second"
    assert "200.0% !" in speed.cells(row)
    assert "115.0%" in speed.cells(replace(row, ratio=1 / 1.15)), "the bound itself is allowed"


@pytest.mark.parametrize(
    ("name", "inferred", "evaluated"),
    [("ce", 0, 0), ("softmix", 400, 200), ("rmd", 200, 200), ("co_learning", 200, 0)],
)
def test_passes_in_eval_mode_are_told_apart(name, inferred, evaluated):
    """Softmix: all losses in eval mode, features in training mode. The encoder of rmd is frozen."""
    session = session_of(name, 200, methods.EPOCHS - 1, epochs=methods.EPOCHS, batch_size=50)
    record = session.again()
    assert (record["samples_inferred"], record["samples_evaluated"]) == (inferred, evaluated)
    assert not any(net.body._forward_pre_hooks for net in session.run.counted)


def test_passes_are_priced_in_their_own_mode():
    session = session_of("ce", epochs=2, batch_size=50)
    [net] = session.method.networks
    passes = []
    net.body.register_forward_pre_hook(
        lambda body, inputs: passes.append((body.training, len(inputs[0])))
    )
    forward = session.forward()
    for run in (session.evaluate, forward):
        run()
    assert passes == [(False, 200)] + [(True, 50)] * 4


def test_every_method_can_be_measured(monkeypatch, tiny):
    """With a pretrained encoder, too."""
    monkeypatch.setattr(methods, "method_names", lambda: ["ce", "rmd"])
    rows = rows_of("methods", QUICK)
    assert [(row.name, row.network) for row in rows] == [("ce", "tiny"), ("rmd", "tiny")]


# ------------------------------------------------------------------------------ records and sweeps


def test_the_timed_trial_leaves_its_record(monkeypatch):
    """As often as ``--repeats``, after one that does not count, by the command's own function."""
    runs, saved = [], []

    def noting(spec, dataset, out, **options):
        outcome = run_recorded(spec, dataset, out, **options)
        assert (out / "trials" / spec.id / "done.json").exists()
        runs.append(outcome.epochs)
        return outcome

    run_recorded = overhead.run_recorded
    monkeypatch.setattr(overhead, "run_recorded", noting)
    monkeypatch.setattr(overhead, "EPOCHS", 3)
    monkeypatch.setattr(overhead, "KINDS", {"record": 30.0, "record, checkpoints": 0.0})
    monkeypatch.setattr(Checkpoint, "save", lambda self, state: saved.append(self.every_seconds))
    monkeypatch.setattr(overhead, "under_ray", lambda settings: "the row of a sweep")
    *rows, last = rows_of("sweep", Settings(images=90, repeats=2))
    assert last == "the row of a sweep"
    assert [row.name for row in rows] == ["record", "record, checkpoints"]
    assert runs == [3] * 6
    assert saved == [0.0] * 6, "after two epochs of three, each time"
    assert all(0 < row.ratio < 1 and row.theirs_s < row.ours_s for row in rows)


def test_every_call_for_the_record_is_timed_once(monkeypatch, tmp_path):
    """Calls of a trial: none is nested in another, none that writes is left out."""
    open_calls: list[str] = []
    made: list[str] = []

    def noting(owner, name):
        call = getattr(owner, name)

        def wrapped(*args, **kwargs):
            assert not open_calls, f"{name} within {open_calls}"
            open_calls.append(name)
            made.append(f"{owner.__name__}.{name}")
            try:
                return call(*args, **kwargs)
            finally:
                open_calls.pop()

        return wrapped

    for owner, name in overhead.RECORDING:
        monkeypatch.setattr(owner, name, noting(owner, name))
    files: list[str] = []

    def outside(path, content):
        assert open_calls, f"{path.name} is written outside of what is timed"
        files.append(path.name)
        write_atomically(path, content)

    monkeypatch.setattr(writer, "write_atomically", outside)
    images = dataset_for(TINY, 90)
    spec = specification(TINY, images, "ce", Settings(), epochs=3)
    with overhead.recording() as spent:
        overhead.run_recorded(spec, images, tmp_path, checkpoint_seconds=0.0)
    assert len(spent) == len(made)
    assert {"spec.json", "epochs.jsonl", "samples.npz", "done.json"} <= set(files)
    assert {name: made.count(name) for name in set(made)} == {
        "TrialWriter.__init__": 1,
        "TrialWriter.restart": 1,
        "TrialWriter.append": 3,
        "TrialWriter.finish": 1,
        "Outcome.samples_bytes": 1,
        "Outcome.weights_bytes": 1,
        "Run.state": 2,
        "Checkpoint.save": 2,
        "Checkpoint.remove": 1,
    }


def test_records_add_the_share_of_their_calls(monkeypatch):
    """Trials of 2, 4 and 5 s, of which 0.1, 0.2 and 1 s go to the record, after a warm-up."""
    took, spent = iter([9, 2, 4, 5]), iter([5, 0.1, 0.2, 1])
    monkeypatch.setattr(
        overhead, "recording", lambda: contextlib.nullcontext([next(spent) / 2] * 2)
    )
    monkeypatch.setattr(overhead, "seconds", lambda run: next(took))
    monkeypatch.setattr(overhead, "KINDS", {"record": 30.0})
    # as without Ray
    monkeypatch.setattr(overhead.importlib.util, "find_spec", lambda name: None)
    [row] = rows_of("sweep", Settings(images=90, repeats=3))
    assert (row.ours_s, row.theirs_s) == (4, pytest.approx(3.8))
    assert "105.3%" in speed.cells(row)


def test_a_sweep_is_measured_against_the_work_of_its_trials(monkeypatch):
    """Four trials with 10 s of work took 6 s, two at a time: 3 s of a place each, for 2.5 s."""

    def sweep(command, **_):
        out = Path(command[command.index("--out") + 1])
        (out / "trials" / "one").mkdir(parents=True)
        (out / "trials" / "one" / "epochs.jsonl").write_text('{"samples_trained": 60}\n' * 5)
        (out / "sweep.json").write_text(
            json.dumps({"wall_seconds": 6.0, "work_seconds": 10.0, "parallel_trials": 2})
        )
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(overhead.subprocess, "run", sweep)
    monkeypatch.setattr(overhead, "TRIALS", 4)
    row = overhead.under_ray(Settings(threads=2))
    assert (row.name, row.threads) == ("4 trials under Ray, 2 at a time, a thread each", 1)
    assert (row.ours_s, row.theirs_s, row.ours_images_per_s) == (3.0, 2.5, 100.0)
    assert "120.0%" in speed.cells(row)


@pytest.mark.slow
def test_a_sweep_is_one_that_people_run(monkeypatch):
    monkeypatch.setattr(overhead, "TRIALS", 2)
    monkeypatch.setattr(overhead, "TRIAL_EPOCHS", 1)
    row = overhead.under_ray(Settings())
    assert 0 < row.ratio < 1 and row.ours_images_per_s > 0


def test_long_searches_are_compared_by_the_same_number_of_draws(monkeypatch):
    monkeypatch.setattr(searches, "COUNTS", (30,))
    monkeypatch.setattr(searches, "DRAWS", 8)
    for name, value in {"BOUND": 12, "BEST": 2, "LAST": 4, "STEP": 4}.items():
        monkeypatch.setattr(searches.studies, name, value)
    [row] = rows_of("search", replace(QUICK, images=None))
    assert row.name == "8 draws after 30 configurations"
    assert row.ours_images_per_s == pytest.approx(8 / row.ours_s)
