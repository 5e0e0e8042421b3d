"""Lessons of searches, from their records alone: a module for each question.

trials       configurations that searches tried, as a table
importance   hyper-parameters that matter
budgets      accuracy to expect of n configurations
picks        distance of noisy validation's pick from the best configuration
schedulers   what early stopping saves and loses
tunability   gain of the tuned configuration over the defaults
defaults     configuration that does well in all cells, as a proposal for other sweeps
tables       all of these as sections of the analysis
page         configurations as the page shows them, in parallel coordinates
"""
