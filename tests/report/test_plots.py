"""Figures: content, legibility and equal files for equal records."""

import warnings
from itertools import product
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from fabricate import write_trial
from matplotlib.collections import PolyCollection

from bench.report.board import read_board
from bench.report.plots import figures, write_plots
from bench.report.plots.final import pooled
from bench.report.plots.settings import swept
from bench.report.plots.style import COLUMN, CROWD, OWN, PAGE, looks, render

MANY = [
    "ce",
    "rmd+ce",
    "softmix",
    "elr",
    "gce",
    "mixup",
    "co_teaching",
    "divide_mix",
    "rmd+co_teaching",
    "rmd+divide_mix",
]


@pytest.fixture(autouse=True)
def no_warnings():
    """Turn warnings into errors: matplotlib warns of text that does not fit."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def figures_of(sweep: Path):
    return figures(read_board([sweep]))


def write_sweep(
    sweep: Path, methods=("ce", "softmix"), rates=(0.2, 0.5), seeds=2, epochs=20
) -> Path:
    for number, method in enumerate(methods):
        for rate in rates:
            for seed in range(seeds):
                curve = np.linspace(0.1, 0.9 - rate / 2 + 0.01 * number, epochs) - 0.02 * seed
                write_trial(
                    sweep,
                    method,
                    test=curve.tolist(),
                    seed=seed,
                    rate=rate,
                    done={"train_seconds": 2.0 + number},
                )
    return sweep


def only(found: dict, ending: str):
    [name] = [name for name in found if name.endswith(ending)]
    return found[name][0]


def test_accuracy_against_noise_rate(tmp_path):
    made = figures_of(write_sweep(tmp_path))
    [axes] = only(made, "-accuracy").axes
    assert (
        axes.get_xlabel() == "Symmetric noise rate (%)" and axes.get_ylabel() == "Test accuracy (%)"
    )
    assert [text.get_text() for text in axes.get_xticklabels()] == ["20", "50"]
    heights = [container.lines[0].get_ydata().tolist() for container in axes.containers]
    np.testing.assert_allclose(heights, [[79, 64], [80, 65]])  # (0.8 + 0.78) / 2 and so on


def test_one_noise_rate_gives_a_row_a_method(tmp_path):
    made = figures_of(write_sweep(tmp_path, rates=(0.5,)))
    [axes] = only(made, "-accuracy").axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["ce", "softmix"]
    assert axes.get_xlabel() == "Test accuracy (%)" and axes.get_title() == "50 % symmetric noise"


CROWDED = [*MANY, *(f"method_{letter}" for letter in "abcdefghijklmno")]


def test_of_many_methods_the_best_and_the_reference_stand_out(tmp_path):
    made = figures_of(write_sweep(tmp_path, CROWDED, epochs=4))
    best = {*CROWDED[-OWN:], "ce"}  # the later, the better
    for ending in ("-curves", "-cost"):
        entries = [text.get_text() for text in only(made, ending).legends[0].get_texts()]
        assert set(entries) == {*best, f"{len(CROWDED) - len(best)} others"}
    panels = only(made, "-accuracy").axes
    assert [text.get_text() for text in panels[0].get_yticklabels()] == [
        name.replace("rmd+ce", "rmd") for name in CROWDED
    ]
    assert all(len(axes.containers) == len(CROWDED) for axes in panels)
    assert len({looks(CROWDED, CROWDED[::-1])[method].color for method in best}) == len(best)
    assert len(looks(CROWDED[:CROWD])) == len(
        {look.marker for look in looks(CROWDED[:CROWD]).values()}
    )


def write_final(sweep: Path, method: str, seed: int, **done) -> Path:
    count, confidence, accuracy = [0, 30, 5], [None, 0.4, 0.9], [None, 0.6, 0.2 + 0.2 * seed]
    reliability = {"count": count, "confidence": confidence, "accuracy": accuracy}
    return write_trial(
        sweep, method, test=[0.5], seed=seed, rate=0.3, done={"reliability": reliability, **done}
    )


def test_reliability_is_that_of_all_seeds_together(tmp_path):
    for seed in (0, 1):
        write_final(tmp_path, "ce", seed)
    write_trial(tmp_path, "elr", test=[0.5], rate=0.3)  # an older record
    [axes] = only(figures_of(tmp_path), "-reliability").axes
    diagonal, ce = axes.lines
    assert ce.get_xydata().tolist() == [[40, 60], [90, 30]] and diagonal.get_xydata().tolist() == [
        [0, 0],
        [100, 100],
    ]
    count, confidence, accuracy = pooled(
        [
            {"count": [1, 0], "confidence": [0.5, None], "accuracy": [1, None]},
            {"count": [3, 0], "confidence": [0.9, None], "accuracy": [0, None]},
        ]
    )
    assert (count[0], confidence[0], accuracy[0]) == (4, pytest.approx(0.8), 0.25) and np.isnan(
        accuracy[1]
    )


def test_bins_of_few_images_are_left_out(tmp_path):
    write_final(tmp_path, "ce", 0)
    [axes] = only(figures_of(tmp_path), "-reliability").axes
    assert axes.lines[1].get_xydata().tolist() == [[40, 60]]


def test_transition_matrices_beside_the_realised_one(tmp_path):
    true = [[0.7, 0.3], [0.1, 0.9]]
    for seed in (0, 1):
        noise = {"nominal_rate": 0.3, "realised_rate": 0.3, "transition_matrix": true}
        estimate = [[0.5 + 0.2 * seed, 0.5 - 0.2 * seed], [0.1, 0.9]]
        write_final(tmp_path, "forward", seed, noise=noise, estimated_transition_matrix=estimate)
        write_final(tmp_path, "ce", seed, noise=noise)
    figure = only(figures_of(tmp_path), "-transitions")
    realised, estimated = [axes for axes in figure.axes if axes.images][:2]
    np.testing.assert_allclose(realised.images[0].get_array(), true)
    np.testing.assert_allclose(estimated.images[0].get_array(), [[0.6, 0.4], [0.1, 0.9]])
    assert "Share of the class" in figure.axes[-1].get_ylabel()
    # (0.4 + 0) / 2 / 2
    assert (
        realised.get_title() == "realised\n30 %" and estimated.get_title() == "forward\nerror 0.10"
    )


def test_an_embedding_shows_true_and_noisy_labels(tmp_path):
    rng = np.random.default_rng(0)
    truth = np.arange(40) % 2
    for method in ("ce", "elr"):
        folder = write_final(tmp_path, method, 0)
        if method == "elr":
            continue  # whose features nobody kept
        noisy = np.zeros(100, int)
        noisy[50:90] = np.where(np.arange(40) < 8, 1 - truth, truth)
        features = rng.normal(size=(40, 5)) + 50 * truth[:, None]
        positions = np.arange(50, 90)
        np.savez(
            folder / "samples.npz",
            features=features,
            feature_positions=positions,
            feature_truth=truth,
            noisy_labels=noisy,
        )
    made = figures_of(tmp_path)
    above, below = only(made, "-embedding-30").axes
    assert above.get_title() == "ce" and [text.get_text() for text in above.texts] == ["0", "1"]
    crosses = [
        sum(len(group.get_offsets()) for group in axes.collections[1::2]) for axes in (above, below)
    ]
    assert crosses == [0, 8], "wrong labels"
    left, right = (
        np.concatenate([group.get_offsets() for group in above.collections[place : place + 2]])
        for place in (0, 2)
    )
    spread = max(np.ptp(left, axis=0).max(), np.ptp(right, axis=0).max())
    assert np.linalg.norm(left.mean(0) - right.mean(0)) > spread / 2, "the classes lie apart"


def test_curves_share_their_axis_and_show_every_seed(tmp_path):
    made = figures_of(write_sweep(tmp_path, rates=(0.2, 0.5, 0.8), epochs=100))
    panels = only(made, "-curves").axes
    assert [axes.get_title() for axes in panels] == [
        "20 % symmetric noise",
        "50 % symmetric noise",
        "80 % symmetric noise",
    ]
    assert len({axes.get_ylim() for axes in panels}) == 1
    # the reference is drawn last
    _, mean = [line for line in panels[0].lines if len(line.get_xdata()) == 100]
    marker = [line for line in panels[0].lines if line.get_marker() != "None"][-1]
    assert list(mean.get_xdata()) == list(range(1, 101)), "epochs count from 1"
    assert mean.get_ydata()[-1] == pytest.approx(79)
    assert marker.get_ydata()[0] == pytest.approx(79), "the table's figure"
    assert marker.get_xdata()[0] == pytest.approx(100, abs=5)
    assert [text.get_text() for text in panels[0].get_xticklabels()] == ["1", "50", "100"]
    band = (
        [part for part in panels[0].collections if isinstance(part, PolyCollection)][-1]
        .get_paths()[0]
        .vertices
    )
    assert set(band[band[:, 0] == 100][:, 1].round(9)) == {78, 80}, (
        "from the worst to the best seed"
    )


def test_learning_shows_what_became_of_wrong_labels(tmp_path):
    for seed in (0, 1):
        memorised = {"memorised_wrong": [0.1, 0.4 + 0.2 * seed]}
        write_trial(tmp_path, "ce", test=[0.5, 0.6], seed=seed, rate=0.3, epochs=memorised)
        targets = {"memorised_wrong": [0.1, 0.2], "label_correction_accuracy": [0.7, 0.9]}
        separation = {"feature_silhouette": 0.25, "feature_knn_accuracy": 0.75}
        write_trial(
            tmp_path,
            "softmix",
            test=[0.5, 0.6],
            seed=seed,
            rate=0.3,
            epochs=targets,
            done=separation,
        )
    made = figures_of(tmp_path)
    above, below = only(made, "-learning").axes  # nobody has clean probabilities: no third row
    ends = {line.get_ydata()[-1] for line in above.lines if len(line.get_xdata()) == 2}
    assert {round(end, 6) for end in ends} == {50, 20}, "ce's is the mean of 40 and 60"
    curve, dotted = [line for line in below.lines if len(line.get_xdata()) == 2]
    np.testing.assert_allclose(curve.get_ydata(), [70, 90])
    # as many labels as are right to begin with
    np.testing.assert_allclose(dotted.get_ydata(), [70, 70])
    [axes] = only(made, "-features").axes
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines] == [(75, 0.25)]


def test_the_marker_of_a_curve_is_what_the_table_says(tmp_path):
    # Each seed's choice is its own peak; the mean curve has none of their accuracy at any epoch.
    for seed, test in enumerate(([0.8, 0.2, 0.2, 0.2, 0.2], [0.2, 0.2, 0.2, 0.2, 0.6])):
        write_trial(tmp_path, "ce", test=test, seed=seed)
    [axes] = only(figures_of(tmp_path), "-curves").axes
    [marker] = [line for line in axes.lines if line.get_marker() != "None"]
    assert (marker.get_xdata()[0], marker.get_ydata()[0]) == pytest.approx((3, 70))


def test_grey_methods_that_matter_are_named_in_the_figure(tmp_path):
    for place in range(CROWD + 1):
        memorised = {"memorised_wrong": [0.1, 0.05 * place], "memorised_clean": [0.1, 0.9]}
        done = {"train_seconds": 50.0 - 3 * place}
        write_trial(
            tmp_path, f"m{place:02d}", test=[0.1, 0.9 - 0.05 * place], done=done, epochs=memorised
        )
    made = figures_of(tmp_path)
    [axes] = only(made, "-cost").axes
    assert [text.get_text() for text in axes.texts] == [
        f"m{place:02d}" for place in range(CROWD, OWN - 1, -1)
    ]
    wrong, clean = only(made, "-learning").axes
    assert [text.get_text() for text in wrong.texts] == [f"m{CROWD}"] and not clean.texts
    [axes] = only(made, "-curves").axes
    assert [text.get_text() for text in axes.texts] == [f"m{CROWD}"], (
        "the lowest; the highest has a colour"
    )
    assert [text.get_text() for text in clean.get_xticklabels()] == ["1", "2"]


def test_an_interval_that_is_cut_has_an_arrowhead(tmp_path):
    for method, accuracies in {"ce": (0.5, 0.6), "elr": (0.9, 1.0), "gce": (0.99, 0.98)}.items():
        for seed, accuracy in enumerate(accuracies):
            write_trial(tmp_path, method, test=[accuracy], seed=seed)
    figure, caption = next(
        found for name, found in figures_of(tmp_path).items() if name.endswith("-accuracy")
    )
    [axes] = figure.axes
    heads = [
        (line.get_xdata()[0], line.get_ydata()[0])
        for line in axes.lines
        if line.get_marker() in (8, 9)
    ]
    rows = [text.get_text() for text in axes.get_yticklabels()]
    assert sorted((x, rows[y]) for x, y in heads) == [
        (0, "ce"),
        (100, "ce"),
        (100, "elr"),
        (100, "gce"),
    ]
    assert axes.get_xlim() == (0, 100) and "ranges of their own" in caption
    ends = [
        bar.get_segments()[0][:, 0] for container in axes.containers for bar in container.lines[2]
    ]
    assert min(map(min, ends)) == 0 and max(map(max, ends)) == 100


@pytest.mark.parametrize("around", [0.5, 0.905, 0.993])
def test_a_panel_of_rows_has_three_ticks(tmp_path, around):
    for rate, (place, method) in product(
        (0.2, 0.5, 0.8), enumerate(f"m{place:02d}" for place in range(CROWD + 1))
    ):
        write_trial(tmp_path, method, test=[around + 0.0004 * place], rate=rate)
    for axes in only(figures_of(tmp_path), "-accuracy").axes:
        low, high = axes.get_xlim()
        assert sum(low <= tick <= high for tick in axes.get_xticks()) >= 3


def test_points_of_features_that_hide_each_other_stand_apart(tmp_path):
    for method in ("ce", "elr", "gce"):
        separation = {
            "feature_silhouette": 0.25,
            "feature_knn_accuracy": 0.9 if method == "gce" else 0.75,
        }
        write_trial(tmp_path, method, done=separation)
    [axes] = only(figures_of(tmp_path), "-features").axes
    places = sorted(line.get_xdata()[0] for line in axes.lines if line.get_marker() != "None")
    assert places[0] < 75 < places[1] and places[2] == pytest.approx(90)
    assert sorted(line.get_xdata()[0] for line in axes.lines if line.get_marker() == "None") == [
        75,
        75,
    ], "their true place"


def test_of_many_methods_the_best_have_bands_and_reliability(tmp_path):
    count, shares = [0, 30, 30], [None, 0.4, 0.9]
    for seed, place in product((0, 1), range(CROWD + 1)):
        reliability = {"count": count, "confidence": shares, "accuracy": shares}
        method = f"m{place:02d}" if place else "ce"
        write_trial(
            tmp_path, method, test=[0.3 + place / 50], seed=seed, done={"reliability": reliability}
        )
    made = figures_of(tmp_path)
    assert len(only(made, "-curves").axes[0].collections) == 2, "of the reference and the best"
    assert len(only(made, "-reliability").axes[0].lines) == 1 + OWN + 1, (
        "the diagonal, the best and the reference"
    )


def test_dollars_in_a_name_are_dollars(tmp_path):
    for method in ("ce", "a$_$b"):
        write_trial(tmp_path, method)
    found = only(figures_of(tmp_path), "-cost")
    assert b"a$_$b" in render(found, "svg")


def test_learning_is_not_drawn_where_nobody_knows_the_truth_or_nothing_is_wrong(tmp_path):
    write_trial(tmp_path, "ce", rate=0.0, epochs={"calibration_error": [0.1]})
    write_trial(tmp_path, "ce", rate=0.5)
    assert not [name for name in figures_of(tmp_path) if name.endswith(("-learning", "-features"))]


def test_cost_includes_pretraining_and_goes_logarithmic(tmp_path):
    write_sweep(tmp_path)
    for rate in (0.2, 0.5):
        write_trial(
            tmp_path,
            "rmd+ce",
            test=[0.5],
            rate=rate,
            done={"train_seconds": 4.0, "pretrain_seconds": 16.0},
            recipe={"epochs": 20},
        )
    panels = only(figures_of(tmp_path), "-cost").axes
    assert panels[0].get_xscale() == "log" and panels[0].get_xlabel() == "Training time (s)"
    costs = [float(container.lines[0].get_xdata()[0]) for container in panels[0].containers]
    assert sorted(costs) == pytest.approx([2.0, 3.0, 20.0])


def test_cost_shows_the_front(tmp_path):
    for method, accuracy, seconds in (("ce", 0.5, 2.0), ("elr", 0.6, 20.0), ("gce", 0.4, 10.0)):
        write_trial(tmp_path, method, test=[accuracy], done={"train_seconds": seconds})
    [axes] = only(figures_of(tmp_path), "-cost").axes
    [front] = [line for line in axes.lines if line.get_drawstyle() == "steps-post"]
    assert list(front.get_ydata()) == pytest.approx([50, 60, 60]) and list(
        front.get_xdata()[:2]
    ) == [2, 20]


def test_regret_by_rule_with_its_tau(tmp_path):
    for method, test in (("ce", [0.1, 0.2]), ("elr", [0.5, 0.9]), ("gce", [0.6, 0.8])):
        write_trial(tmp_path, method, test=test, noisy_val=[0.9, 0.1])
    [axes] = only(figures_of(tmp_path), "-rules").axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["gce", "elr", "ce"]
    labels = [text.get_text() for text in axes.get_xticklabels()]
    assert (
        labels[0] == "noisy-val\nτ 0.33"
        and labels[-1] == "last\nτ 1.00"
        and not any("oracle" in text for text in labels)
    )
    numbers = [text.get_text() for text in axes.texts]
    assert (
        numbers[:: len(labels)] == ["20.0", "40.0", "10.0"]
        and numbers[len(labels) - 1 :: len(labels)] == ["0.0"] * 3
    )


def test_all_cells_stand_side_by_side_with_the_best_on_average_on_top(tmp_path):
    accuracies = {"ce": (0.5, 0.7), "elr": (0.6, 0.9), "gce": (0.8, 0.95)}
    for method, values in accuracies.items():
        for kind, rate, value in zip(("human-worst", "symmetric"), (0.4, 0.2), values, strict=True):
            for seed, off in enumerate((-0.01, 0.01)):
                write_trial(
                    tmp_path,
                    method,
                    test=[value + off],
                    seed=seed,
                    rate=rate,
                    spec={"noise_kind": kind},
                )
    figure, _ = figures_of(tmp_path)["all-cells"]
    human, symmetric = figure.axes
    assert human.get_title() == "human-worst 40\N{NO-BREAK SPACE}%"
    assert [text.get_text() for text in human.get_yticklabels()] == ["ce", "elr", "gce"]
    for axes, column in ((human, 0), (symmetric, 1)):
        for container in axes.containers:
            [x], [row] = container.lines[0].get_data()
            assert accuracies[["ce", "elr", "gce"][row]][column] == pytest.approx(x / 100)
        [line] = (line for line in axes.lines if list(line.get_ydata()) == [0, 1])
        assert line.get_xdata()[0] == pytest.approx(100 * accuracies["ce"][column])


def test_long_names_of_cells_leave_room_for_the_methods(tmp_path):
    for method, (number, kind) in product(("ce", "elr", "gce"), enumerate("abcdefg")):
        noise = {"noise_kind": f"human-{kind * 30}", "dataset": f"folder:{'photos' * 9}"}
        write_trial(tmp_path, method, test=[0.5], rate=0.1 + number / 10, spec=noise)
    figure, _ = figures_of(tmp_path)["all-cells"]
    figure.draw_without_rendering()  # a warning where nothing is left of the axes
    assert all(axes.get_position().height * figure.get_figheight() > 0.4 for axes in figure.axes)


def test_bars_join_methods_within_one_critical_difference(tmp_path):
    for place, method in enumerate(["elr", "gce", "sce", "mixup", "ce"]):
        for rate in (0.1, 0.2, 0.3, 0.4):
            write_trial(tmp_path, method, test=[0.9 - 0.1 * place], rate=rate)
    [axes] = only(figures_of(tmp_path), "all-ranks").axes
    bars = [line.get_xdata() for line in axes.lines if line.get_linewidth() == 2]
    assert [(round(low), round(high)) for low, high in bars] == [(1, 4), (2, 5)]
    texts = {text.get_text(): text for text in axes.texts}
    assert {"CD = 3.0", "Average rank", "1", "5", "elr (1.0)", "ce (5.0)"} <= set(texts)
    ruler = next(
        line
        for line in axes.lines
        if len(line.get_xdata()) == 2 and line.get_xdata()[1] == pytest.approx(4.05, abs=0.01)
    )
    assert ruler.get_xdata()[0] == 1 and max(ruler.get_ydata()) < min(axes.lines[0].get_ydata()), (
        "above the axis"
    )


def test_a_diagram_that_separates_nothing_says_so(tmp_path):
    def caption(sweep, methods, rates):
        for (place, method), rate in product(enumerate(methods), rates):
            write_trial(sweep, method, test=[0.9 - 0.1 * place], rate=rate)
        figure, caption = figures_of(sweep)["all-ranks"]
        figure.draw_without_rendering()
        for text in (axes := figure.axes[0]).texts:
            box = text.get_window_extent()
            assert (
                box.x0 >= 0
                and box.x1 <= figure.bbox.x1
                and box.y0 >= 0
                and box.y1 <= figure.bbox.y1
            )
        assert axes.get_xlim()[1] >= 1 + float(caption.partition("5 %, ")[2].partition(",")[0]), (
            "the ruler is whole"
        )
        return caption

    assert "no two methods" in caption(
        tmp_path / "few", ["elr", "a_method_of_a_rather_long_name", "ce"], (0.1, 0.2)
    )
    assert "no two methods" not in caption(
        tmp_path / "more", ["elr", "gce", "sce", "mixup", "ce"], (0.1, 0.2, 0.3, 0.4)
    )


@pytest.mark.parametrize("figure", ["-accuracy", "-curves", "-cost"])
@pytest.mark.parametrize("methods", [MANY[:2], MANY[:4], MANY])
def test_methods_that_do_equally_well_do_not_hide_each_other(tmp_path, figure, methods):
    for method, rate, seed in product(methods, (0.2, 0.5, 0.8), (0, 1)):
        curve = np.linspace(0.1, 0.9 - rate / 2, 20) - 0.02 * seed
        write_trial(
            tmp_path, method, test=curve.tolist(), seed=seed, rate=rate, done={"train_seconds": 2.0}
        )
    made = only(figures_of(tmp_path), figure)
    made.draw_without_rendering()
    for axes in made.axes:
        markers = [line for line in axes.lines if line.get_marker() not in ("None", "_", "|")]
        places = (
            np.concatenate([axes.transData.transform(line.get_xydata()) for line in markers])
            * 72
            / made.dpi
        )
        assert len(places) == len(methods) * (3 if figure == "-accuracy" else 1)
        gaps = np.abs(places[:, None] - places).max(2) + 100 * np.eye(len(places))
        assert gaps.min() > 5, "points"
        assert (
            places[:, 0].min() >= axes.bbox.x0 * 72 / made.dpi
            and places[:, 0].max() <= axes.bbox.x1 * 72 / made.dpi
        )


def test_what_lies_apart_stays_where_it_is(tmp_path):
    for number, method in enumerate(MANY[:3]):
        write_trial(tmp_path, method, test=[0.1, 0.3 * number + 0.2], done={"train_seconds": 2.0})
    [axes] = only(figures_of(tmp_path), "-cost").axes
    assert [container.lines[0].get_xdata()[0] for container in axes.containers] == pytest.approx(
        [2.0] * 3
    )


def sweep_of_two_axes(sweep: Path) -> Path:
    write_sweep(sweep, ["ce"])
    for rate in (0.2, 0.5):
        for k in (1, 4):
            for temperature in (0.2, 0.5, 1.0):
                config = {"rmd.k": k, "softmix.k": k, "rmd.temperature": temperature}
                validation = k / 100 + temperature / 10
                write_trial(
                    sweep,
                    "rmd+softmix",
                    test=[0.6 - validation],
                    noisy_val=[validation],
                    rate=rate,
                    config=config,
                    recipe={"epochs": 20},
                )
    return sweep


def test_heat_map_over_what_was_swept(tmp_path):
    figure = only(figures_of(sweep_of_two_axes(tmp_path)), "-sweep-rmd_softmix-temperature-k")
    first = figure.axes[0]
    assert (first.get_xlabel(), first.get_ylabel()) == ("Temperature", "k"), (
        "k of both parts is one axis"
    )
    assert [text.get_text() for text in first.get_xticklabels()] == ["0.2", "0.5", "1"]
    assert [text.get_text() for text in first.get_yticklabels()] == ["1", "4"]
    numbers = [text.get_text() for text in first.texts]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "test accuracy (%)",
        "best noisy validation accuracy",
    ]
    assert numbers == ["57.0", "54.0", "49.0", "54.0", "51.0", "46.0"]
    [frame] = first.patches
    assert (
        round(frame.get_x() + frame.get_width() / 2),
        round(frame.get_y() + frame.get_height() / 2),
    ) == (2, 1), (
        "the configuration of best noisy validation accuracy, though its test accuracy is the worst"
    )


def test_each_crossed_pair_has_a_map_with_the_others_at_their_best(tmp_path):
    write_sweep(tmp_path, ["ce"], rates=(0.2,))
    for number, (k, temperature, hard) in enumerate(
        product((1, 2, 4), (0.2, 0.5, 1.0), (False, True))
    ):
        config = {"softmix.k": k, "softmix.temperature": temperature, "softmix.hard": hard}
        # With hard, validation is better and test accuracy worse.
        fields = {"test": [0.5 - 0.2 * hard], "noisy_val": [0.1 + 0.2 * hard + number / 1000]}
        write_trial(tmp_path, "softmix", rate=0.2, config=config, recipe={"epochs": 20}, **fields)
    made = {name: found for name, found in figures_of(tmp_path).items() if "-sweep-" in name}
    names = {name.partition("-sweep-softmix-")[2] for name in made}
    assert names == {"k-temperature", "k-hard", "temperature-hard"}
    axes = only(made, "-k-temperature").axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("k", "Temperature")
    assert [text.get_text() for text in axes.texts] == ["30.0"] * 9
    assert next(
        caption for name, (_, caption) in made.items() if name.endswith("-k-temperature")
    ).endswith(": hard True.")
    assert [text.get_text() for text in only(made, "-k-hard").axes[0].texts] == ["50.0"] * 3 + [
        "30.0"
    ] * 3


def test_one_axis_is_a_line_of_cells(tmp_path):
    write_sweep(tmp_path, ["ce"])
    for k in (1, 2, 16):
        write_trial(
            tmp_path,
            "softmix",
            test=[k / 100],
            rate=0.2,
            config={"softmix.k": k},
            recipe={"epochs": 20},
        )
    [axes] = only(figures_of(tmp_path), "-sweep-softmix-k").axes
    assert [text.get_text() for text in axes.texts] == ["1.0", "2.0", "16.0"]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "2", "16"], "by number"


def test_a_setting_that_was_varied_by_itself_has_a_line_and_no_map(tmp_path):
    defaults = {
        "softmix.k": 1,
        "softmix.mixture": "gmm",
        "softmix.scope": "batch",
        "softmix.hard": False,
    }
    tried = [
        {"softmix.k": k, "softmix.scope": scope}
        for k, scope in product((1, 2), ("batch", "dataset"))
    ]
    for config in [
        *tried,
        {"softmix.k": 4},
        {"softmix.mixture": "bmm"},
        {"softmix.k": 2, "softmix.hard": True},
    ]:
        changed = {key: value for key, value in config.items() if value != defaults[key]}
        write_trial(tmp_path, "softmix", config=changed, defaults=defaults)
    made = {name: found for name, found in figures_of(tmp_path).items() if "-sweep-" in name}
    names = {name.partition("-sweep-softmix-")[2] for name in made}
    assert names == {"k-scope", "mixture", "hard"}
    axes = only(made, "-k-scope").axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "2", "4"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["batch", "dataset"]
    assert len(axes.texts) == 5, "what was not run is empty"


def test_the_grid_that_fewer_combinations_have_is_shown_too(tmp_path):
    defaults = {"rmd.k": 0, "rmd.temperature": 0.5, "rmd.weight": 30.0, "rmd.relation": "kl"}
    grids = [
        dict(zip(("rmd.weight", "rmd.relation"), pair, strict=True))
        for pair in product((1.0, 10.0, 30.0), ("kl", "rkd"))
    ]
    grids += [
        dict(zip(("rmd.k", "rmd.temperature"), pair, strict=True))
        for pair in product((0, 4), (0.1, 0.5))
    ]
    for number, config in enumerate(grids):
        changed = {key: value for key, value in config.items() if value != defaults[key]}
        validation = 0.9 if config == {"rmd.k": 4, "rmd.temperature": 0.1} else number / 100
        write_trial(tmp_path, "rmd+ce", config=changed, defaults=defaults, noisy_val=[validation])
    made = {name: found for name, found in figures_of(tmp_path).items() if "-sweep-" in name}
    assert {name.partition("-sweep-rmd-")[2] for name in made} == {
        "weight-relation",
        "k-temperature",
    }
    entries = {
        ending: [text.get_text() for text in only(made, ending).legends[0].get_texts()]
        for ending in ("-weight-relation", "-k-temperature")
    }
    assert list(map(len, entries.values())) == [1, 2], "the frame is named where it is"


def test_gains_are_of_wrapped_methods_over_themselves_alone(tmp_path):
    for method, accuracy in {"ce": 0.5, "elr": 0.6, "rmd+ce": 0.7, "rmd+elr": 0.75}.items():
        for seed in (0, 1):
            write_trial(tmp_path, method, test=[accuracy + 0.01 * seed], seed=seed)
    [axes] = only(figures_of(tmp_path), "-gains").axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["rmd+elr", "rmd"]
    heights = {
        round(bar.lines[0].get_xdata()[0], 6): bar.lines[0].get_ydata()[0]
        for bar in axes.containers
    }
    assert heights == {20: 1, 15: 0}


def test_no_sweep_no_heat_map(tmp_path):
    board = read_board([write_sweep(tmp_path)])
    assert not any("sweep" in name for name in figures(board))
    tried = board.configurations
    assert swept(tried[tried["method"] == "softmix"]) == {}


def test_looks_are_distinct_even_in_grey(tmp_path):
    drawn = looks(MANY)  # no crowd yet
    assert len({look.marker for look in drawn.values()}) == len(MANY), (
        "markers alone tell them apart"
    )
    assert len({(look.color, str(look.line)) for look in drawn.values()}) == len(MANY)
    assert drawn["ce"].color == "black"


@pytest.mark.parametrize(
    ("methods", "rates", "seeds"),
    [
        (MANY, (0.2, 0.5), 2),
        (MANY, (0.5,), 1),
        (MANY[:2], (0.5,), 2),
        (MANY[:3], (0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9), 1),
    ],
)
def test_nothing_leaves_the_figure_and_nothing_is_too_small(tmp_path, methods, rates, seeds):
    sweep = write_sweep(tmp_path, methods, rates, seeds, epochs=10)
    for figure, _ in figures_of(sweep).values():
        assert COLUMN <= figure.get_figwidth() <= PAGE
        figure.draw_without_rendering()
        for text in figure.findobj(mpl.text.Text):
            if text.get_text() and text.get_visible():
                assert text.get_fontsize() >= 7
        for box in [axes.get_tightbbox() for axes in figure.axes if axes.get_visible()] + [
            legend.get_window_extent() for legend in figure.legends
        ]:
            assert box.x0 >= -1 and box.y0 >= -1
            assert box.x1 <= figure.bbox.x1 + 1 and box.y1 <= figure.bbox.y1 + 1
        for legend in figure.legends:
            assert len(legend.get_texts()) == len(methods)
            assert not any(
                legend.get_window_extent().overlaps(axes.get_tightbbox())
                for axes in figure.axes
                if axes.get_visible()
            )


def test_groups_that_do_not_compare_have_figures_of_their_own(tmp_path):
    write_sweep(tmp_path)
    write_trial(tmp_path, "ce", test=[0.5], rate=0.2, spec={"protocol": "paper"})
    write_trial(
        tmp_path, "ce", test=[0.5], rate=0.2, spec={"noise_kind": "pairflip"}, recipe={"epochs": 20}
    )
    made = figures_of(tmp_path)
    names = sorted(name for name in made if name.endswith("-accuracy"))
    assert names == [
        "digits_pairflip-accuracy",
        "digits_symmetric-accuracy",
        "digits_symmetric_2-accuracy",
    ]
    assert len({caption for _, caption in made.values()}) == len(made)


def test_failed_trials_have_no_curve_and_break_nothing(tmp_path):
    write_sweep(tmp_path)
    write_trial(
        tmp_path,
        "elr",
        test=[0.9],
        rate=0.2,
        status="failed",
        done={"train_seconds": None},
        recipe={"epochs": 20},
    )
    made = figures_of(tmp_path)
    assert len(only(made, "-curves").legends[0].get_texts()) == 2
    assert len(only(made, "-accuracy").legends[0].get_texts()) == 3
    assert len(only(made, "-cost").legends[0].get_texts()) == 2


def test_files_are_whole_and_the_same_every_time(tmp_path):
    made = read_board([write_sweep(tmp_path)])
    settings = dict(mpl.rcParams)
    captions = write_plots(made, tmp_path / "a")
    # a user's own settings change nothing
    with mpl.rc_context({"font.size": 20, "axes.grid": True, "lines.linewidth": 9}):
        write_plots(made, tmp_path / "b")
    assert dict(mpl.rcParams) == settings, "no global state is left behind"
    assert len(captions) == 4 and all(captions.values())
    assert {path.name for path in (tmp_path / "a").iterdir()} == {
        f"{name}.{kind}" for name in captions for kind in ("png", "svg")
    }
    for path in (tmp_path / "a").iterdir():
        content = path.read_bytes()
        assert content == (tmp_path / "b" / path.name).read_bytes()
        if path.suffix == ".svg":
            assert (
                ElementTree.fromstring(content).tag.endswith("svg") and b"<dc:date>" not in content
            )
        else:
            assert content.startswith(b"\x89PNG")


def test_png_has_the_resolution_of_print(tmp_path):
    figure = only(figures_of(write_sweep(tmp_path)), "-accuracy")
    width = int.from_bytes(render(figure, "png")[16:20], "big")
    assert width == pytest.approx(COLUMN * 200, abs=1)
