"""Door of ``python -m bench.data``: see bench/cli/data.py."""

from bench.cli.data import main as main

if __name__ == "__main__":
    main()
