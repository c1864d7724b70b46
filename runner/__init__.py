"""What run_all.py does, in the order in which it does it.

environment    makes .venv and the surroundings of a kernel (standard library only)
session        one run from the data to the last printed line
graph          which notebook reads and writes what, and so the order
kept           what need not be run again
execute        runs notebooks side by side, each in a folder that holds only what it declares
stored         the form in which a notebook is stored
figures_page   figures/README.md
compare        this run against what is stored
show           tables as plain text
accept         what is stored replaced by this run, all of it or nothing
"""
