"""Red mini-ImageNet: mini-ImageNet with wrong images from the web (Jiang et al., 2020)."""

from pathlib import Path

from bench.datasets.dataset import Dataset, Loader, Source
from bench.datasets.published import web

_LEVELS = (20, 40, 60, 80)
_FOLDERS = ("mini-imagenet", "red_mini_imagenet", "dataset_no_images/mini-imagenet")
_CLASSES = """\
triceratops, upright piano, Gordon setter, cocktail shaker, unicycle, organ, malamute, prayer
rug, Newfoundland, tobacco shop, ladybug, combination lock, ashcan, robin, scoreboard, dome,
iPod, slot, miniskirt, French bulldog, carton, Tibetan mastiff, pencil box, king crab,
horizontal bar, spider web, electric guitar, meerkat, file, consomme, jellyfish, cuirass,
black-footed ferret, school bus, miniature poodle, catamaran, snorkel, oboe, worm fence, African
hunting dog, golden retriever, carousel, aircraft carrier, photocopier, Arctic fox, hair slide,
tile roof, Ibizan hound, toucan, house finch, poncho, trifle, hourglass, fire screen, white
wolf, street sign, solar dish, rock beauty, komondor, bookshop, crate, theater curtain, tank,
dugong, dalmatian, ear, missile, bolete, orange, vase, Walker hound, lion, three-toed sloth,
lipstick, coral reef, reel, beer bottle, green mamba, frying pan, wok, goose, rhinoceros beetle,
yawl, clog, Saluki, chime, stage, boxer, cliff, ant, cannon, harvestman, mixing bowl, nematode,
parallel bars, garbage truck, holster, barrel, hotdog, dishrag""".replace("\n", " ").split(", ")


def _loader(level: int) -> Loader:
    """Return the loader of one noise level; each level has its own images, and is a data set.

    Images are where the code of others has them: all_images/NAME or training/LEVEL/CLASS/NAME, and
    validation/CLASS/NAME or all_validation/NAME.
    """

    def load(data_dir: Path, side: int | None) -> Dataset:
        split = f"red_noise_nl_{level / 100:g}"
        root = web.find_root(data_dir, f"split/{split}", *_FOLDERS)

        def part(name: str, *layouts: str) -> web.Part:
            path = root / "split" / name
            labels = web.read_labels(path, len(_CLASSES))
            layout_names = [
                [f"{layout.format(label)}/{image}" for image, label in labels.items()]
                for layout in layouts
            ]
            names = web.existing_layout(root, *layout_names)
            return web.part(root, names, labels.values(), side or 32, path)

        train = part(split, "all_images", f"training/{split}/{{}}")
        test = part("clean_validation", "validation/{}", "all_validation")
        return web.dataset(f"red_mini_imagenet_{level}", train, test, _CLASSES)

    return load


SOURCES = {
    f"red_mini_imagenet_{level}": Source(
        f"mini-ImageNet with {level} % of its images replaced by wrong ones from the web",
        _loader(level),
        size="about 50,000 + 5,000 images, colour",
        classes="100 of ImageNet's",
        licence="CC BY 4.0 (labels); CC BY 2.0 (images from the web); ImageNet's terms (the "
        "others)",
        citation="Jiang, Huang, Liu & Yang (2020), Beyond synthetic noise: Deep learning on "
        "controlled noisy labels, ICML",
        url="https://google.github.io/controlled-noisy-web-labels",
        access="lists (folder split) and addresses of images from its page, the others from "
        "image-net.org; --data-dir names the folder of split, all_images and validation",
    )
    for level in _LEVELS
}
