"""Door of ``python -m bench.trial``: see bench/cli/trial.py."""

from bench.cli.trial import main as main

if __name__ == "__main__":
    main()
