"""Reports: from the records of sweeps to tables, figures and a page.

The modules in the order of the data:

- records -> facts: ``facts`` reads each trial (a dictionary), ``cells`` says which trials are
  comparable, ``labels`` names their configurations, ``tracks`` says which settings they ran with;
- facts -> rows: ``rows`` applies every selection rule (a row per trial, track and rule);
- rows -> choice: ``choice`` summarises configurations over seeds and picks one per method;
- choice -> leaderboard: ``leaderboard`` adds ranks, ties, budgets, differences and marks, with the
  tests of ``statistics`` and the metrics of ``metrics``;
- leaderboard -> board: ``board`` holds all of it, with ``agreement`` (selection rules),
  ``learning`` (corrected labels, features), ``published`` (other people's numbers) and
  ``searches/`` (what searches have learned);
- board -> tables: ``sections`` with its footnotes in ``notes``, ``analysis``; ``compare`` sets two
  sweeps side by side;
- tables -> text: ``markdown``, ``latex``, and for a terminal ``bench/cli/tables.py``;
- board -> figures and page: ``plots/``; ``page`` with ``assets/``, whose data ``page_data`` and
  ``standings`` (the leaderboard of every choice on the page) compute;
- own rows and a reference's: ``beside`` says what they share, or why no cell has both;
- boards -> ledger: ``ledger`` sets published numbers beside the rows of several boards;
- boards with verdicts -> site: ``site/``; ``verdicts`` words a verdict, and ``reproduced`` compares
  tables beside an archive with its records;
- trials of the authors' code -> tables: ``parity`` sets ours beside them;
- all -> files: ``writer``.

``columns`` holds the names of columns and the columns of the CSV files, ``wording`` the words and
marks that tables, figures and the page share, ``tables`` the types of tables.
"""
