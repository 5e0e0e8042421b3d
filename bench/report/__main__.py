"""Door of ``python -m bench.report``: see bench/cli/report.py."""

from bench.cli.report import main

if __name__ == "__main__":
    main()
