"""Tuning: which configuration to try next, and which trial to stop.

plan        the searches of a sweep, and the trials that follow from their picks
search      search of one method at one noise rate
study       Optuna's suggestions
cmaes       Optuna's CMA-ES, which goes on after a resume
grid        every configuration of a finite space
start       what finished trials of another sweep say
spaces      search spaces of methods, read from search_spaces/
domains     Ray Tune's domains as Optuna's distributions
rehearsal   trial draws that find a space's mistakes
"""
