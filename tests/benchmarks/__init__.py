"""Each figure beside its peers and the floor, as a ratio within one run: `nox -s bench [-- FIGURE...]`.

A figure is a module `figure_*.py` with a function `measure(bench)` that returns rows. What is compared is
run in turns, so that a busy moment of the machine falls on all of them, and a row shows medians. A peer that
is absent or does not work here is a row that says why. No benchmark fails a run by its time.
"""
