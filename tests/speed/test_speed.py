"""What is measured and how it is told; never how fast it is."""

import contextlib
import gc
import json
import subprocess
import sys
import time
import weakref
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bench import ops
from bench.errors import InputError
from bench.networks import augment, cpu
from bench.records import trials as records
from bench.speed import __main__ as speed
from bench.speed import data, epochs, measure, methods, networks, overhead, pieces, together
from bench.speed.__main__ import PARTS, main
from bench.speed.data import FORMATS, difference
from bench.speed.measure import Different, Settings, Work, compare, summary
from bench.speed.networks import CASES, Case, assert_same, gradients
from bench.speed.sessions import Session, dataset_for, specification
from bench.training.checkpoint import Checkpoint

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_bfloat16(monkeypatch):
    """The same rows on every machine."""
    for module in (networks, speed):
        monkeypatch.setattr(module, "bfloat16_units", lambda: False)


TINY = CASES["cpu"][0]
QUICK = Settings(images=90, repeats=1, threads=1)


def run(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    return end.value.code or 0


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_both_ways_compute_the_same(form):
    assert difference(form, 200) <= 1e-6


def shifted(images, generator, padding):
    """A crop that is off by one pixel."""
    return random_crop(images, generator, padding).roll(1, 3)


def never(images, generator):
    """No flip, though as many numbers are drawn."""
    random_flip(images, generator)
    return images


random_crop, random_flip = augment.random_crop, augment.random_flip


@pytest.mark.parametrize(("step", "wrong"), [("random_crop", shifted), ("random_flip", never)])
def test_nothing_is_timed_where_they_differ(monkeypatch, step, wrong):
    monkeypatch.setattr(augment, step, wrong)
    monkeypatch.setattr(data, "compare", lambda *_: pytest.fail("was timed"))
    with pytest.raises(Different, match="crop_flip 32x32x3: the two ways differ by"):
        PARTS["data"](Settings(images=10, repeats=1, threads=1))


def test_a_comparison_by_hand(monkeypatch):
    """One call of each that is not counted, then three pairs: 1, 2, 4 s against 10, 8, 12 s; the
    ceiling takes 1 s at best.
    """
    calls = []
    took = iter([1, 10, 1, 2, 3, 2, 8, 3, 1, 3, 4, 12, 3, 3, 1])

    def seconds(call):
        call()
        return next(took)

    monkeypatch.setattr(measure, "seconds", seconds)
    settings = Settings(images=7, repeats=3, threads=1)
    monkeypatch.setattr(measure, "ceiling", lambda *_: (lambda: calls.append("top"), 1000))
    sides = (lambda: calls.append("ours"), lambda: calls.append("theirs"))
    row = compare("data", "by hand", *sides, settings, 100, "small", Work("copy", 500))
    assert calls == ["top", "ours", "theirs", *["ours", "theirs", "top", "top", "top"] * 3], (
        "one of each is not counted"
    )
    assert (row.part, row.name, row.network) == ("data", "by hand", "small")
    assert (row.ours_s, row.theirs_s, row.ratio) == (2, 10, 5)
    assert row.spread == (3, 10)
    assert (row.ours_images_per_s, row.theirs_images_per_s) == (50, 10)
    assert (row.share, row.ceiling) == (0.25, "copy"), "250 a second of 1000"


@pytest.mark.parametrize("kind", ["matmul", "copy"])
def test_the_ceiling_does_the_work_that_it_is_counted_for(kind):
    run, amount = measure.ceiling(kind, "cpu")
    if kind == "matmul":
        assert networks.operations(run) == amount
    else:
        assert run().nbytes * 2 == amount, "read and written"


def test_a_pass_takes_every_image_once(monkeypatch):
    """On both sides, in batches of one size; the last may be smaller."""
    settings = Settings(images=300, repeats=1, threads=1)
    seen = {"ours": [], "theirs": []}

    class Counting(data.Pixels):
        def __call__(self, index, *arguments):
            if len(self.images) == 300:
                seen["ours"].append(index)
            return super().__call__(index, *arguments)

    class Recording(data.Pictures):
        def __getitem__(self, index):
            if len(self) == 300:
                seen["theirs"].append(index)
            return super().__getitem__(index)

    monkeypatch.setattr(data, "Pixels", Counting)
    monkeypatch.setattr(data, "Pictures", Recording)
    monkeypatch.setattr(data, "FORMATS", FORMATS[1:])
    PARTS["data"](settings)
    assert [len(index) for index in seen["ours"]] == [128, 128, 44] * 2, (
        "once for warm-up, once for the clock"
    )
    for indices in (torch.cat(seen["ours"]).tolist(), seen["theirs"]):
        for half in (indices[:300], indices[300:]):
            assert sorted(half) == list(range(300))
            assert half != list(range(300))


COLUMNS = (
    "part name network ratio spread ours_s theirs_s ours_images_per_s theirs_images_per_s share "
    "ceiling threads device "
    "machine torch git_commit".split()
)


def test_the_table_and_the_file(tmp_path, capsys):
    file = tmp_path / "new" / "speed.json"
    arguments = ["data", "--json", str(file), "--images", "200", "--repeats", "2", "--threads", "1"]
    assert run(arguments) == 0
    text = capsys.readouterr().out
    rows = json.loads(file.read_text())
    assert [row["name"] for row in rows] == ["crop_flip 32x32x3", "crop 28x28x1"]
    for row in rows:
        assert all(word in text for word in row["name"].split())
        assert set(row) == set(COLUMNS)
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


@pytest.mark.slow
def test_worker_processes_take_the_place_of_threads():
    """Two threads, in a process of their own, since the number of threads is the whole process's."""
    command = [
        sys.executable,
        "-m",
        "bench.speed",
        "data",
        "--images",
        "200",
        "--repeats",
        "1",
        "--threads",
        "2",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "threads: 2" in done.stdout


def test_importing_is_light():
    code = "import bench.speed.__main__, sys; print([m for m in ('ray', 'torchvision', 'PIL') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


# ------------------------------------------------------------------------------------------ the
# other parts compute the same


@pytest.fixture
def counted(monkeypatch):
    """Every comparison's name; each side is called once and not timed."""
    seen = []

    def once(part, name, ours, theirs, settings, images, network=None, work=None):
        assert work is not None, "a row without its share of the ceiling"
        ours()
        theirs()
        seen.append((part, name, network))
        return summary(part, name, [(1.0, 2.0)], settings, images, network)

    for module in (networks, pieces, epochs):
        monkeypatch.setattr(module, "compare", once)
    return seen


def test_parts_of_methods_agree_with_loops_and_libraries(counted):
    for part in ("neighbours", "mixture"):
        PARTS[part](Settings(images=500))
    names = [name for _, name, _ in counted if "hnswlib" not in name]
    assert names == ["batch, mixed", "set, 500 x 512, k = 11", "Gaussian", "Beta"]


def test_a_graph_finds_the_same_neighbours_in_a_batch():
    pytest.importorskip("hnswlib")
    features = np.random.default_rng(0).normal(size=(100, 16)).astype(np.float32)
    assert (pieces.nearest_by_hnsw(features, 2, 1) == pieces.nearest_by_index(features, 2, 1)).all()


#: Losses of 300 samples that two components fit in several ways.
CLUMPS = np.repeat([0, 0.2, 0.35, 0.6, 1], [77, 60, 77, 60, 26])


def test_from_the_same_start_scikit_learn_finds_our_mixture():
    ours = ops.clean_probability(torch.from_numpy(CLUMPS))
    np.testing.assert_allclose(ours, pieces.gaussian_by_sklearn(CLUMPS, same_start=True), atol=1e-6)
    assert pieces.moved(ours, pieces.gaussian_by_sklearn(CLUMPS)) > 0.1, (
        "else these losses would show nothing"
    )


def test_a_single_wrong_neighbour_in_a_set_is_told():
    features = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
    features[7] = features[3]
    exact = pieces.nearest_by_index(features, 4, 1)
    twins = exact.copy()
    twins[exact == 3], twins[exact == 7] = 7, 3
    twins[[3, 7]] = exact[[3, 7]]
    assert pieces.missed(features, exact, exact) == pieces.missed(features, twins, exact) == 0, (
        "which twin is all the same"
    )
    next_best = pieces.nearest_by_index(features, 5, 1)[:, 4]
    wrong = exact.copy()
    wrong[50, 3] = next_best[50]
    assert pieces.missed(features, wrong, exact) == 1
    wrong[60, 1] = exact[60, 0]  # one of them twice
    assert pieces.missed(features, wrong, exact) == 2


def unmixed(x, nearest, clean):
    return x, clean, torch.arange(len(x))


@pytest.mark.parametrize(
    ("helper", "wrong"), [("mixed_one_by_one", unmixed), ("nearest_by_index", None)]
)
def test_parts_that_differ_are_not_timed(counted, monkeypatch, helper, wrong):
    monkeypatch.setattr(
        pieces, helper, wrong or (lambda features, k, threads: np.zeros((len(features), k), int))
    )
    with pytest.raises(Different):
        PARTS["neighbours"](Settings(images=500))
    assert not counted


def test_steps_and_evaluation_agree(counted, monkeypatch):
    monkeypatch.setattr(networks, "CASES", {"cpu": (TINY,)})
    for part in ("step", "eval"):
        PARTS[part](QUICK)
    assert counted == [("step", "step", "tiny"), ("eval", "pass", "tiny")]


def test_epochs_of_three_methods_agree_with_their_authors_ways(counted, monkeypatch):
    """The check itself compares mixtures, losses and gradients; an epoch of either must run to its
    end.
    """
    monkeypatch.setattr(networks, "CASES", {"cpu": (TINY,)})
    PARTS["epoch"](Settings(images=300))
    assert counted == [("epoch", name, "tiny") for name in ("ce", "divide_mix", "softmix")]


@pytest.mark.slow
def test_bfloat16_is_compared_with_our_own_float32(counted, monkeypatch):
    monkeypatch.setattr(networks, "bfloat16_units", lambda: True)
    monkeypatch.setattr(networks, "CASES", {"cpu": (TINY,)})
    computed = []
    autocast = torch.autocast

    class Noting(autocast):
        def __init__(self, device, dtype=None, enabled=True, **options):
            super().__init__(device, dtype, enabled, **options)
            computed.append(dtype if enabled else None)

    monkeypatch.setattr(torch, "autocast", Noting)
    PARTS["step"](QUICK)
    assert counted == [("step", "step", "tiny"), ("step", "step, bf16", "tiny")]
    assert set(computed[-2 * TINY.steps : -TINY.steps]) == {torch.bfloat16}, "ours"
    assert set(computed[-TINY.steps :]) == {None}, "theirs"
    counted.clear()
    PARTS["epoch"](Settings(images=200, methods=("ce", "divide_mix")))
    assert [name for _, name, _ in counted] == ["ce", "ce, bf16", "divide_mix", "divide_mix, bf16"]


def test_a_graphed_step_keeps_what_it_works_on(monkeypatch):
    """A graph itself holds no memory: replayed after that was given back, it would compute on
    anything.
    """

    class Graph(contextlib.nullcontext):
        def replay(self):
            pass

    for name in ("Stream", "current_stream", "stream", "CUDAGraph", "graph"):
        monkeypatch.setattr(torch.cuda, name, lambda *_: Graph())
    monkeypatch.setattr(Graph, "wait_stream", lambda *_: None, raising=False)
    parameters = weakref.WeakSet()
    step = networks.own_step(TINY, "cpu", bf16=False)
    parameters.update(
        cell.cell_contents
        for cell in step.__closure__
        if isinstance(cell.cell_contents, torch.Tensor)
    )
    assert parameters, "the step's batch"
    run = networks.graphed(step)
    del step
    gc.collect()
    assert len(parameters) == 2
    run()
    del run
    gc.collect()
    assert not parameters


@pytest.mark.parametrize("skipped", [0, 1])
def test_a_graph_that_leaves_another_network_is_not_timed(monkeypatch, skipped):
    """Here a graph that is replayed takes its step, or forgets to."""

    def graphed(step):
        for _ in range(networks.WARM_UPS):
            step()
        return (lambda: None) if skipped else step

    class OnTheCpu(networks.Case):
        def network(self, device):
            return super().network("cpu")

        def samples(self, number, device):
            return super().samples(number, "cpu")

    monkeypatch.setattr(networks, "graphed", graphed)
    case = OnTheCpu("tiny", "tiny_cnn", 8, 1)
    with (
        pytest.raises(Different, match="tiny, graphed: the networks differ by")
        if skipped
        else contextlib.nullcontext()
    ):
        networks.check_graph(case)


def test_a_gpus_float32_is_tf32_in_its_ceiling_too(monkeypatch):
    """As its convolutions are; and only there, and not where matrix products are in full."""
    seen = []
    measure.in_tf32(lambda: seen.append(torch.get_float32_matmul_precision()))()
    assert (seen, torch.get_float32_matmul_precision()) == (["high"], "highest")
    monkeypatch.setattr(measure, "in_tf32", lambda run: "in TF32")
    monkeypatch.setattr(torch, "rand", lambda *_, **__: torch.zeros(1))
    half = torch.bfloat16
    for device, dtype, tf32, expected in (
        ("cuda", torch.float32, True, True),
        ("cuda", torch.float32, False, False),
        ("cuda", half, True, False),
        ("cpu", torch.float32, True, False),
    ):
        run, _ = measure.ceiling("matmul", device, dtype, tf32)
        assert (run == "in TF32") is expected


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
    monkeypatch.setattr(speed, "PARTS", {"epoch": fails, "data": lambda settings: [row]})
    assert run(["all", "--json", str(tmp_path / "speed.json")]) == of_all
    told = capsys.readouterr()
    assert message in told.out + told.err and "by hand" in told.out
    assert [row["name"] for row in json.loads((tmp_path / "speed.json").read_text())] == ["by hand"]
    if alone:
        assert run(["epoch"]) == alone
    else:
        with pytest.raises(type(error)):
            main(["epoch"])


def test_on_a_gpu_epochs_and_evaluation_are_of_each_network_once():
    """Cases differ in a batch there; in epochs the authors' batch is taken, and evaluation has its
    own.
    """
    assert [case.name for case in networks.cases("cuda")] == ["resnet18", "resnet34"]
    assert networks.cases("cpu") == CASES["cpu"]


def test_without_units_for_bfloat16_its_rows_are_left_out_and_this_is_said(monkeypatch, capsys):
    monkeypatch.setattr(networks, "CASES", {"cpu": (TINY,)})
    assert run(["step", "--repeats", "1"]) == 0
    text = capsys.readouterr().out
    assert "bf16 " not in text and "bfloat16 are left out: this CPU has no units for it" in text
    monkeypatch.setattr(speed, "bfloat16_units", lambda: True)
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


@pytest.mark.parametrize("name", epochs.references())
def test_both_sides_of_an_epoch_take_as_many_steps(name, monkeypatch):
    """Also where two components fit the losses in several ways: how the samples are divided decides
    on the steps.
    """
    kind = epochs.references()[name]
    images = dataset_for(TINY, 300)
    spec = specification(
        TINY, images, name, QUICK, dict(kind.changes), epochs=epochs.EPOCHS, batch_size=16
    )
    monkeypatch.setattr(kind, "batch_size", 16)
    session = Session(spec, images, epochs.TIMED)
    monkeypatch.setattr(
        ops, "per_sample_loss", lambda method, net: torch.from_numpy(CLUMPS).float()
    )
    monkeypatch.setattr(kind, "losses", lambda self, net: CLUMPS)
    taken = {"ours": 0, "theirs": 0}
    reference = kind(session, TINY, QUICK)
    for side, optimizer, run in (
        ("ours", session.optimizer, session.again),
        ("theirs", reference.optimizer, reference.epoch),
    ):
        optimizer.register_step_post_hook(
            lambda *_, side=side: taken.update({side: taken[side] + 1})
        )
        run()
    assert taken["ours"] == taken["theirs"] > 0


@pytest.mark.parametrize(("name", "attribute"), [("softmix", "targets"), ("divide_mix", "weight")])
def test_an_epoch_that_computes_something_else_is_not_timed(name, attribute):
    kind = epochs.references()[name]
    images = dataset_for(TINY, 300)
    spec = specification(
        TINY,
        images,
        name,
        QUICK,
        dict(kind.changes),
        epochs=epochs.EPOCHS,
        batch_size=kind.batch_size,
    )
    session = Session(spec, images, epochs.TIMED)
    reference = kind(session, TINY, QUICK)
    setattr(reference, attribute, getattr(reference, attribute) * 1.5)
    with pytest.raises(Different, match="the losses differ"):
        epochs.check("by hand", session, reference)


def test_gradients_that_differ_are_told_apart():
    net = torch.nn.Linear(2, 1)
    found = gradients(net(torch.ones(1, 2)).sum(), net)
    assert_same("by hand", (torch.tensor(1.0), found), (torch.tensor(1.0), found))
    with pytest.raises(Different, match=r"the gradients differ by 0\.5"):
        assert_same(
            "by hand", (torch.tensor(1.0), found), (torch.tensor(1.0), [g + 0.5 for g in found])
        )


def test_what_is_timed_is_compared_as_it_is_rounded(monkeypatch):
    """Kernels of float32 are others than float64's: where they alone are wrong, nothing is timed."""
    pair = torch.tensor(1.0), [torch.ones(100), torch.ones(100)]
    networks.assert_close("by hand", pair, pair)
    with pytest.raises(
        Different, match=r"the losses differ by 0\.5 in the precision that is timed"
    ):
        networks.assert_close("by hand", (torch.tensor(1.5), pair[1]), pair)
    with pytest.raises(
        Different, match=r"the gradients differ by 10\.0% in the precision that is timed"
    ):
        networks.assert_close("by hand", (pair[0], [1.1 * part for part in pair[1]]), pair)
    cross_entropy = networks.F.cross_entropy

    def wrong_in_float32(logits, y, **options):
        off = logits.dtype == torch.float32 and logits.requires_grad and wrong_in_float32.calls % 2
        wrong_in_float32.calls += 1
        return cross_entropy(logits, y, **options) * (1.2 if off else 1)

    wrong_in_float32.calls = 0
    networks.check_step(TINY, "cpu", bf16=False)
    monkeypatch.setattr(networks.F, "cross_entropy", wrong_in_float32)
    with pytest.raises(Different, match="in the precision that is timed"):
        networks.check_step(TINY, "cpu", bf16=False)


@pytest.mark.parametrize(("bound", "what"), [("COARSE", "losses"), ("TURNED_COARSE", "gradients")])
def test_in_bfloat16_a_step_is_compared_too(monkeypatch, bound, what):
    """With rounding that is far too coarse for it, it would not be timed."""
    networks.check_step(TINY, "cpu", bf16=True)
    monkeypatch.setattr(networks, bound, 0.0)
    with pytest.raises(Different, match=f"tiny, bf16: the {what} differ by"):
        networks.check_step(TINY, "cpu", bf16=True)


@pytest.mark.parametrize("place", ["loss", "gradient", "another gradient"])
@pytest.mark.parametrize("same", [assert_same, networks.assert_close])
def test_what_is_no_number_is_not_the_same(same, place):
    loss, gradients = torch.tensor(1.0), [torch.ones(3), torch.ones(3)]
    broken = torch.tensor([1.0, torch.nan, 1.0])
    wrong = {
        "loss": (torch.tensor(torch.nan), gradients),
        "gradient": (loss, [broken, gradients[1]]),
        "another gradient": (loss, [gradients[0], broken]),
    }[place]
    same("by hand", (loss, gradients), (loss, gradients))
    with pytest.raises(Different, match="differ by nan"):
        same("by hand", wrong, (loss, gradients))


def test_no_gradients_are_too_far_from_any():
    pair = torch.tensor(1.0), [torch.ones(100)]
    with pytest.raises(Different, match=r"gradients differ by 100\.0%"):
        networks.assert_close(
            "by hand", (pair[0], [torch.zeros(100)]), pair, gradient=networks.TURNED_COARSE
        )


def test_mixtures_that_say_nothing_are_not_the_same():
    assert pieces.moved(
        torch.tensor([0.1, torch.nan, 0.9]), np.array([0.1, 0.1, np.nan])
    ) == pytest.approx(2 / 3)


def test_only_the_methods_that_are_asked_for_are_measured(counted, monkeypatch):
    for module in (networks, methods):
        monkeypatch.setattr(module, "CASES", {"cpu": (TINY,)})
    chosen = Settings(images=150, repeats=1, methods=("ce", "gce"))
    assert [row.name for row in PARTS["epoch"](chosen)] == ["ce"]
    assert [row.name for row in PARTS["methods"](chosen)] == ["ce", "gce"]


def test_an_epoch_can_be_run_again():
    """From the same weights, optimiser and random numbers."""
    images = dataset_for(TINY, 200)
    spec = specification(TINY, images, "divide_mix", QUICK, {}, epochs=5)
    session = Session(spec, images, 2)
    first, second = session.again(), session.again()
    assert first["train_loss"] == second["train_loss"]
    assert session.images == 200


def test_a_method_is_measured_against_its_passes(monkeypatch):
    """A pass takes 1 s in an epoch of ce, 0.25 s without gradients, 0.125 s in eval mode: one of
    each is due 1.375 s.
    """
    monkeypatch.setattr(methods, "CASES", {"cpu": (TINY,)})
    monkeypatch.setattr(methods, "method_names", lambda: ["measured"])
    monkeypatch.setattr(
        methods, "operations", lambda run: {"again": 300, "evaluate": 100}[run.__name__]
    )
    monkeypatch.setattr(measure, "ceiling", lambda *_: (lambda: None, 2000))
    monkeypatch.setattr(measure, "seconds", lambda run: 2)
    took = iter([1, 0.25, 0.125, 2.75])

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
    [row] = PARTS["methods"](QUICK)
    assert (row.name, row.ours_s, row.theirs_s, row.ratio) == ("measured", 2.75, 1.375, 0.5)
    assert row.share == pytest.approx((300 + 200) / 2.75 / 1000), (
        "of a machine that does 1000 operations a second"
    )
    assert speed.cells("methods", row) == ("2.750", "1.375", "2.00 !", "2.00..2.00")
    assert speed.cells("methods", replace(row, ratio=1 / 1.15))[2] == "1.15", (
        "the bound itself is allowed"
    )


@pytest.mark.parametrize(
    ("name", "inferred", "evaluated"),
    [("ce", 0, 0), ("softmix", 400, 200), ("rmd", 200, 200), ("co_learning", 200, 0)],
)
def test_passes_in_eval_mode_are_told_apart(name, inferred, evaluated):
    """Softmix: all losses in eval mode, features in training mode. The encoder of rmd is frozen."""
    images = dataset_for(TINY, 200)
    spec = specification(TINY, images, name, QUICK, {}, epochs=methods.EPOCHS, batch_size=50)
    session = Session(spec, images, methods.EPOCHS - 1)
    record = session.again()
    assert (record["samples_inferred"], record["samples_evaluated"]) == (inferred, evaluated)
    assert not any(net.body._forward_pre_hooks for net in session.run.counted)


def test_passes_are_priced_in_the_mode_that_they_are_taken_in():
    images = dataset_for(TINY, 200)
    session = Session(
        specification(TINY, images, "ce", QUICK, {}, epochs=2, batch_size=50), images, 1
    )
    [net] = session.method.networks
    seen = []
    net.body.register_forward_pre_hook(
        lambda body, inputs: seen.append((body.training, len(inputs[0])))
    )
    forward = session.forward()
    for run in (session.evaluate, forward):
        run()
    assert seen == [(False, 200)] + [(True, 50)] * 4


def test_trials_at_a_time_by_hand(monkeypatch):
    """20 steps of 128 images take 1 s alone, 1.25 s beside another, 2 s beside three; matrix
    products take as long then.
    """
    needed = networks.operations(networks.own_step(TINY, "cpu", bf16=False)) * TINY.steps
    monkeypatch.setattr(together, "CASES", {"cpu": (TINY,)})
    found = {1: [(1.0, 2 * needed)], 2: [(1.25, 2 * needed)], 4: [(2.0, 4 * needed)]}
    monkeypatch.setattr(
        together, "side_by_side", lambda counts, *_: {count: found[count] for count in counts}
    )
    monkeypatch.setattr(together.os, "cpu_count", lambda: 4)
    rows = PARTS["together"](QUICK)
    assert [row.name for row in rows] == [
        "1 trial at a time",
        "2 trials at a time",
        "4 trials at a time",
    ]
    assert [row.ratio for row in rows] == [1, 1.6, 2]
    assert [row.share for row in rows] == [0.5, 0.8, 0.5]
    assert [row.ours_images_per_s for row in rows] == [2560, 4096, 5120]
    monkeypatch.setattr(together.os, "cpu_count", lambda: 2)
    assert len(PARTS["together"](QUICK)) == 2, "four would share two cores"
    with pytest.raises(
        measure.Nothing, match="two trials of --threads 2 need 4 cores, and here are 2"
    ):
        PARTS["together"](replace(QUICK, threads=2))


def test_at_a_time_the_last_one_counts_and_matrix_products_add_up(monkeypatch):
    """Of two processes the second is slower; alone, only the first one works."""
    told = {0: {1: [(3.0, 10.0)], 2: [(4.0, 8.0)]}, 1: {1: [], 2: [(5.0, 7.0)]}}

    class Pool(contextlib.nullcontext):
        def submit(self, call, position=0, *_):
            return SimpleNamespace(result=lambda: told[position], exception=lambda: None)

    monkeypatch.setattr(together, "ProcessPoolExecutor", lambda *_: Pool(Pool()))
    assert together.side_by_side([1, 2], TINY, QUICK) == {1: [(3.0, 10.0)], 2: [(5.0, 15.0)]}


@pytest.mark.slow
def test_nobody_waits_for_a_trial_that_failed():
    """Until patience ends, five minutes later. What is told is what happened, not that somebody
    noticed.
    """
    start = time.monotonic()
    with pytest.raises(InputError, match="no_such_network"):
        together.side_by_side([1, 2], Case("none", "no_such_network", 8, 1), Settings())
    assert time.monotonic() - start < 60


@pytest.mark.slow
def test_trials_at_a_time_are_processes_of_their_own():
    found = together.side_by_side([1, 2], TINY, Settings(repeats=3))
    assert {count: len(repeats) for count, repeats in found.items()} == {1: 3, 2: 3}
    assert min(took for repeats in found.values() for took, _ in repeats) > 0


def test_every_method_can_be_measured(monkeypatch):
    monkeypatch.setattr(methods, "CASES", {"cpu": (TINY,)})
    monkeypatch.setattr(methods, "method_names", lambda: ["ce", "rmd"])
    rows = PARTS["methods"](QUICK)
    assert [(row.name, row.network) for row in rows] == [("ce", "tiny"), ("rmd", "tiny")]


def test_what_is_timed_is_a_trial_that_leaves_its_record(monkeypatch):
    """As often as asked for, after one that is not counted, by way of what ``bench.training.trial``
    runs.
    """
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
    *rows, last = PARTS["sweep"](Settings(images=90, repeats=2))
    assert last == "the row of a sweep" and [row.name for row in rows] == [
        "record",
        "record, checkpoints",
    ]
    assert runs == [3] * 6
    assert saved == [0.0] * 6, "after two epochs of three, each time"
    assert all(0 < row.ratio < 1 and row.theirs_s < row.ours_s for row in rows)


def test_every_call_for_the_record_is_timed_once(monkeypatch, tmp_path):
    """Those that a trial makes: none nested in another, none left out that writes."""
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
    written = records.write_atomically

    def outside(path, content):
        assert open_calls, f"{path.name} is written outside of what is timed"
        written(path, content)

    monkeypatch.setattr(records, "write_atomically", outside)
    case = networks.CASES["cpu"][0]
    data = overhead.dataset_for(case, 90)
    spec = overhead.specification(case, data, "ce", Settings(), {}, epochs=3)
    with overhead.recording() as spent:
        overhead.run_recorded(spec, data, tmp_path, checkpoint_seconds=0.0)
    assert len(spent) == len(made)
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


def test_a_sweep_is_measured_against_the_work_of_its_trials(monkeypatch):
    """Four trials that worked 10 s together, two at a time, took 6 s: 3 s of a place each, for 2.5
    s of work.
    """

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
    assert speed.cells("sweep", row)[2] == "+20.00%"


@pytest.mark.slow
def test_a_sweep_is_one_that_people_run(monkeypatch):
    monkeypatch.setattr(overhead, "TRIALS", 2)
    monkeypatch.setattr(overhead, "TRIAL_EPOCHS", 1)
    row = overhead.under_ray(Settings())
    assert 0 < row.ratio < 1 and row.ours_images_per_s > 0


def test_what_records_add_is_the_share_of_their_calls(monkeypatch):
    """Trials of 2, 4 and 5 s, of which 0.1, 0.2 and 1 s go to the record; a first one is not
    counted.
    """
    took, spent = iter([9, 2, 4, 5]), iter([5, 0.1, 0.2, 1])
    monkeypatch.setattr(
        overhead, "recording", lambda: contextlib.nullcontext([next(spent) / 2] * 2)
    )
    monkeypatch.setattr(overhead, "seconds", lambda run: next(took))
    monkeypatch.setattr(overhead, "KINDS", {"record": 30.0})
    # as where there is no Ray
    monkeypatch.setattr(overhead.importlib.util, "find_spec", lambda name: None)
    [row] = PARTS["sweep"](Settings(images=90, repeats=3))
    assert (row.ours_s, row.theirs_s) == (4, pytest.approx(3.8))
    assert speed.cells("sweep", row) == ("4.000", "3.800", "+5.26%", "+5.26%..+25.00%")
