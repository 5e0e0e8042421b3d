"""Door of ``python -m bench.verify``: see bench/cli/verify.py."""

from bench.cli.verify import main as main

if __name__ == "__main__":
    main()
