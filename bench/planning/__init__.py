"""Planning: words of the command line become frozen trial specifications.

registry        methods by name, and built from a name and hyper-parameters
method_checks   checks of a method's class, before anything runs
spec            TrialSpec, and the plan of all trials of a sweep
trial_checks    checks of planned trials against their methods
labels          noisy labels, truth and split that a specification determines
pretraining     pretrained encoders that trials need
searches        kinds of searches, and their objectives
selection       rules that pick an epoch and a configuration
code_hash       hashes of the code that computes a trial's numbers
"""
