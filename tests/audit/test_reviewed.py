"""Labels after a review, as data sets."""

from dataclasses import replace

import numpy as np
import pytest
from image_sets import save
from reviews import audit_of, write_decisions, write_pets

from bench.audit.decisions import Review, read_decisions
from bench.audit.page import write_page
from bench.audit.reviewed import Reviewed
from bench.audit.samples import samples_of
from bench.datasets import UNKNOWN, Dataset, load_dataset
from bench.errors import InputError


def review_of(labels: dict[int, int], *dropped: int) -> Review:
    return Review(labels, frozenset(dropped), frozenset())


def write(dataset: Dataset, review: Review, out) -> None:
    Reviewed(dataset, samples_of(dataset), review).write(out)


def names(dataset: Dataset) -> list[str]:
    return [str(name).split("/")[-1] for name in dataset.train_names]


def test_a_folder_is_trained_on_and_scored_by_what_was_reviewed(tmp_path):
    pets = load_dataset(f"folder:{write_pets(tmp_path / 'pets')}")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.png")}
    given = pets.delivered_labels
    changed = (int(given[0]) + 1) % 3
    write(pets, review_of({0: changed, 1: int(given[1])}, 2), tmp_path / "reviewed")
    scored = load_dataset(f"folder:{tmp_path / 'reviewed' / 'reviewed.csv'}")
    assert names(scored) == names(pets)  # the same fifth is held out
    assert (scored.delivered_labels == given).all()
    assert scored.train_labels.tolist() == [changed, given[1]] + [UNKNOWN] * (len(given) - 2)
    assert scored.noisy_test
    trained = load_dataset(f"folder:{tmp_path / 'reviewed'}")
    labels = dict(zip(trained.all_names, range(len(trained.all_names)), strict=True))
    assert len(labels) == 29 and not any(names(pets)[2] in name for name in labels)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.png")} == before


def test_a_test_part_of_the_user_stays_one(tmp_path):
    for part in ("train", "test"):
        write_pets(tmp_path / "pets" / part, each=4)
    pets = load_dataset(f"folder:{tmp_path / 'pets'}")
    position = len(pets.delivered_labels)  # first test image
    label = (int(pets.test_labels[0]) + 1) % 3
    write(pets, review_of({position: label}), tmp_path / "pets" / "reviewed")
    trained = load_dataset(f"folder:{tmp_path / 'pets' / 'reviewed' / 'labels.csv'}")
    assert trained.test_labels.tolist() == [label, *pets.test_labels[1:]]
    assert not trained.noisy_test
    # The new folder changes nothing about the old one.
    again = load_dataset(f"folder:{tmp_path / 'pets'}")
    assert samples_of(again).data_hash == samples_of(pets).data_hash


def test_arrays_are_trained_on_and_scored_by_what_was_reviewed(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "train_features": rng.random((9, 4), dtype=np.float32),
        "train_labels": np.full(9, UNKNOWN),
        "noisy_labels": np.arange(9) % 3,
        "test_features": rng.random((6, 4), dtype=np.float32),
        "test_labels": np.arange(6) % 3,
        "classes": np.array(["cat", "dog", "fox"]),
    }
    np.savez(tmp_path / "pets.npz", **arrays)
    pets = load_dataset(f"npz:{tmp_path / 'pets.npz'}")
    write(pets, review_of({0: 1, 1: 1, 9: 2}, 3, 10), tmp_path / "reviewed")
    trained = load_dataset(f"npz:{tmp_path / 'reviewed' / 'labels.npz'}")
    assert trained.delivered_labels.tolist() == [1, 1, 2, 1, 2, 0, 1, 2]
    assert (trained.train_images == np.delete(arrays["train_features"], 3, 0)).all()
    assert trained.test_labels.tolist() == [2, 2, 0, 1, 2]
    scored = load_dataset(f"npz:{tmp_path / 'reviewed' / 'reviewed.npz'}")
    assert scored.train_labels.tolist() == [1, 1] + [UNKNOWN] * 7
    assert scored.delivered_labels.tolist() == arrays["noisy_labels"].tolist()
    lines = (tmp_path / "reviewed" / "reviewed.csv").read_text().splitlines()
    assert lines[:3] == [
        "path,label,clean_label,split",
        "train:0,cat,dog,train",
        "train:1,dog,dog,train",
    ]


def test_images_in_memory_are_written_as_they_are(digits, tmp_path):
    write(digits, review_of({0: 3}, 1), tmp_path / "reviewed")
    trained = load_dataset(f"npz:{tmp_path / 'reviewed' / 'labels.npz'}")
    assert (trained.train_images == np.delete(digits.train_images, 1, 0)).all()
    assert trained.delivered_labels[0] == 3


def test_files_appear_together_or_not_at_all(tmp_path, monkeypatch):
    pets = load_dataset(f"folder:{write_pets(tmp_path / 'pets')}")
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="there already"):
        write(pets, review_of({}), tmp_path / "there")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="choose another --out"):
        write(pets, review_of({}), tmp_path / "file" / "out")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bench.audit.reviewed.os.rename", fail)
    with pytest.raises(InputError, match="No space left"):
        write(pets, review_of({}), tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "pets", "there"]


def test_a_folder_is_replaced_only_where_all_of_it_was_written_so(tmp_path):
    pets = load_dataset(f"folder:{write_pets(tmp_path / 'pets')}")
    out = tmp_path / "dropped"
    for dropped in (0, 1):
        reviewed = Reviewed(pets, samples_of(pets), review_of({}, dropped))
        reviewed.write(out, over_own=True)
        assert str(pets.train_names[dropped]) not in (out / "labels.csv").read_text()
    (out / "my_only_copy.jpg").write_text("")
    with pytest.raises(InputError, match="there already"):
        reviewed.write(out, over_own=True)
    assert (out / "my_only_copy.jpg").exists()


def test_parts_with_equal_names_in_folders_of_their_own_are_told_apart(tmp_path):
    for number in range(6):
        for part in ("training", "testing"):
            pixels = np.full((8, 8, 3), number, np.uint8)
            save(tmp_path / "animals" / part / f"{number % 2}_{number}.jpg", pixels)
    animals = load_dataset("animal10n", tmp_path / "animals")
    samples = samples_of(animals)
    assert samples.names[0] == "training/0_0.jpg" and samples.names[6] == "testing/0_0.jpg"
    page = write_page(audit_of(animals), animals, tmp_path)
    assert '"root":"animals","links":{}' in page.read_text()
    path = write_decisions(tmp_path / "d.csv", samples, "training/0_0.jpg,cat,relabel,lynx")
    write(animals, read_decisions(path, samples), tmp_path / "reviewed")
    reviewed = load_dataset(f"folder:{tmp_path / 'reviewed' / 'labels.csv'}")
    cat, lynx = range(2)
    assert reviewed.delivered_labels.tolist() == [lynx, cat, cat, lynx, lynx, lynx]
    assert reviewed.test_labels.tolist() == [cat, cat, cat, lynx, lynx, lynx]


def test_names_say_nothing_of_where_a_part_lies(tmp_path):
    for number in range(6):
        for part in ("animals/training", "elsewhere"):
            pixels = np.full((8, 8, 3), number, np.uint8)
            save(tmp_path / part / f"{number % 2}_{number}.jpg", pixels)
    (tmp_path / "animals" / "testing").symlink_to(tmp_path / "elsewhere")
    samples = samples_of(load_dataset("animal10n", tmp_path / "animals"))
    assert samples.names[0] == "training/0_0.jpg" and samples.names[6] == "testing/0_0.jpg"


def test_two_samples_of_one_name_are_refused(digits):
    names = np.full(len(digits.train_labels), "0.png")
    with pytest.raises(InputError, match="two samples of the name"):
        samples_of(replace(digits, train_names=names))


def test_a_class_without_a_sample_is_refused(tmp_path):
    pets = load_dataset(f"folder:{write_pets(tmp_path / 'pets', each=4)}")
    foxes = np.flatnonzero(samples_of(pets).given == 2)
    with pytest.raises(InputError, match="class fox"):
        write(pets, review_of({}, *foxes.tolist()), tmp_path / "reviewed")


def test_a_class_of_which_the_rest_is_dropped_unseen_is_not_relabelled_whole(tmp_path):
    pets = load_dataset(f"folder:{write_pets(tmp_path / 'pets', each=4)}")
    samples = samples_of(pets)
    first, *others = np.flatnonzero(samples.given == 0).tolist()
    with pytest.raises(InputError, match="class cat"):
        Reviewed(pets, samples, review_of({first: 1}), others)


@pytest.mark.parametrize("parts", [("",), ("train", "test")])
def test_a_misspelt_class_is_relabelled_whole(tmp_path, parts):
    for part in parts:
        write_pets(tmp_path / "pets" / part)
    first = tmp_path / "pets" / parts[0]
    (first / "caat").mkdir()
    for path in sorted((first / "cat").iterdir())[:5]:
        path.rename(first / "caat" / path.name)
    pets = load_dataset(f"folder:{tmp_path / 'pets'}")
    cats = dict.fromkeys(np.flatnonzero(samples_of(pets).given == 0).tolist(), 1)
    write(pets, review_of(cats), tmp_path / "reviewed")
    trained = load_dataset(f"folder:{tmp_path / 'reviewed' / 'labels.csv'}")
    assert trained.classes == ("cat", "dog", "fox")
    scored = load_dataset(f"folder:{tmp_path / 'reviewed' / 'reviewed.csv'}")
    assert scored.classes == ("caat", "cat", "dog", "fox")
    last = cats.popitem()[0]
    write(pets, review_of(cats, last), tmp_path / "dropped")


def test_a_class_that_is_tested_is_not_relabelled_whole(tmp_path):
    for part in ("train", "test"):
        write_pets(tmp_path / "pets" / part, each=4)
    pets = load_dataset(f"folder:{tmp_path / 'pets'}")
    cats = dict.fromkeys(np.flatnonzero(pets.delivered_labels == 0).tolist(), 1)
    with pytest.raises(InputError, match="class cat"):
        write(pets, review_of(cats), tmp_path / "reviewed")


@pytest.mark.parametrize(
    ("name", "message"), [("None", "'None'"), ("cat ", "'cat', 'cat ' differ")]
)
def test_names_that_a_list_cannot_hold_are_refused(tmp_path, name, message):
    write_pets(tmp_path / "pets")
    for number in range(3):
        save(tmp_path / "pets" / name / f"{number}.png", np.zeros((8, 8, 3), np.uint8))
    pets = load_dataset(f"folder:{tmp_path / 'pets'}")
    with pytest.raises(InputError, match=message):
        write(pets, review_of({}), tmp_path / "reviewed")
    assert not (tmp_path / "reviewed").exists()


@pytest.mark.parametrize("name", ["=1+1.png", "a, b\n.png", ' "q" .png', "été.png"])
def test_odd_names_come_back(tmp_path, name):
    write_pets(tmp_path / "pets")
    save(tmp_path / "pets" / "cat" / name, np.full((8, 8, 3), 9, np.uint8))
    pets = load_dataset(f"folder:{tmp_path / 'pets'}")
    write(pets, review_of({}), tmp_path / "reviewed")
    scored = load_dataset(f"folder:{tmp_path / 'reviewed' / 'reviewed.csv'}")
    assert sorted(names(scored)) == sorted(names(pets))
