"""Door of ``python -m bench.ingest``: see bench/cli/ingest.py."""

from bench.cli.ingest import main as main

if __name__ == "__main__":
    main()
