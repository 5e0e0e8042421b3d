"""Door of ``python -m bench.clean``: see bench/cli/clean.py."""

from bench.cli.clean import main as main

if __name__ == "__main__":
    main()
