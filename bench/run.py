"""Door of ``python -m bench.run``: see bench/cli/run.py."""

from bench.cli.run import main as main

if __name__ == "__main__":
    main()
