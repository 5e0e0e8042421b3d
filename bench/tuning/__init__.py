"""Tuning: which configuration to try next, and which trial to stop.

plan        the searches of a sweep, and the trials that follow from their picks
search      search of one method at one noise rate
study       Optuna's suggestions
spaces      search spaces of methods, read from search_spaces/
domains     Ray Tune's domains as Optuna's distributions
rehearsal   trial draws that find a space's mistakes
"""
