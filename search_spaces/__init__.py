"""One file per method, with the ranges that tuning draws from: SPACE, or space(draw) where one
range depends on another.
"""
