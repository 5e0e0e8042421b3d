"""Door of ``python -m bench.noise``: see bench/cli/noise.py."""

from bench.cli.noise import main

if __name__ == "__main__":
    main()
