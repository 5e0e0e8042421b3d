"""One file per method: SPACE maps its hyper-parameters to the Ray Tune domains that tuning draws from."""
