"""Door of ``python -m bench.site``: see bench/cli/site.py."""

from bench.cli.site import main as main

if __name__ == "__main__":
    main()
