"""Names of the columns that several tables share, and the columns of each CSV file.

A further column of leaderboard.csv is computed in ``choice`` (over the seeds of a configuration) or
in ``leaderboard`` (between methods), and named in ``LEADERBOARD``. Columns of the printed
table are in ``sections.main_table``.
"""

from bench.planning.registry import REFERENCE
from bench.report.metrics import ACCURACY, RESOURCES

#: Seeds of a trial, and label of what each draws.
DRAWS = {"noise_seed": "noise", "split_seed": "split", "train_seed": "training"}
SEEDS = list(DRAWS)
#: Columns in which two trials of a cell agree that form a pair.
PAIRED = [*SEEDS, "labels"]

#: Fields of a specification that a group of comparable trials has in common.
GROUP = (
    "dataset subset image_size data_hash noise_kind noise_hash noise_sampling protocol "
    "validation_share device precision threads"
).split()
#: Columns that say how a trial was made, as the CSV files order them.
SETUP = (
    "backbone pretrained imported protocol recipe subset image_size noise_sampling "
    "validation_share device precision threads data_hash noise_hash"
).split()
#: Columns that a CSV file lacks where no row has a value.
OPTIONAL = ["pretrained", "imported"]
CELL = "dataset noise_kind noise_rate".split()
#: Columns that identify a row of a leaderboard, together with the method's name.
ROW = "config track search".split()

#: Figures of learning from wrong labels in each epoch's record (bench/training/scoring.py).
#: They are missing where the true labels are unknown, or the method has no such figure.
LEARNING = (
    "memorised_wrong recovered_wrong label_correction_accuracy detection_auc calibration_error "
    "worst_class_accuracy"
).split()
#: Separation of classes in the final network's features.
FEATURES = ["feature_silhouette", "feature_knn_accuracy"]
SECONDS = ["train_seconds", "pretrain_seconds", "cost_seconds"]

#: Mean cost as a multiple of the reference's.
COST = f"cost_vs_{REFERENCE}"
#: Allowed costs as multiples of the reference's, and the column of ranks within each.
BUDGETS = (1, 3, 10)
BUDGET_RANKS = {budget: f"rank_{budget}x" for budget in BUDGETS}
DIFFERENCE = "diff_vs_reference diff_ci_low diff_ci_high p_value paired_seeds".split()
#: Gain of a wrapper over the method that it wraps: mean and ends of the 95 % interval.
GAIN = ["gain", "gain_ci_low", "gain_ci_high"]

LEADERBOARD = [
    *(*CELL, "method", "config", "rule", "mean", "ci95", "seeds", "rank", COST),
    *("privileges", "failures", "reference", *DIFFERENCE),
    *("significantly_better", "significantly_worse"),
    *(*SECONDS, *RESOURCES, *BUDGET_RANKS.values(), "realised_noise_rate", "validation_images"),
    *("configurations", "score", "epochs", *SETUP, "wraps", *GAIN, *LEARNING, *FEATURES),
    *("track", "told", "tuned_at", "search", "metric", ACCURACY.name, "lost"),
]
CONFIGURATIONS = [
    *(*CELL, "method", "config", "rule", "chosen", "score", "mean", "ci95", "seeds"),
    *("failures", "privileges", *SECONDS, *RESOURCES, "realised_noise_rate"),
    *("validation_images", "epochs", *SETUP, *LEARNING, *FEATURES),
    *("track", "told", "tuned_at", "search", "lost"),
]
REGRETS = "method rule rank mean oracle regret".split()
VARIANCE = "method config draw sd groups trials".split()
