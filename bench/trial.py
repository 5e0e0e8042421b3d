"""Door of ``python -m bench.trial``: see bench/training/trial.py."""

from bench.training.trial import main as main

if __name__ == "__main__":
    main()
