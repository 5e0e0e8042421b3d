"""Door of ``python -m bench.study``: see bench/cli/study.py."""

from bench.cli.study import main as main

if __name__ == "__main__":
    main()
