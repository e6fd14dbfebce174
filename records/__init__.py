"""What is written and read by all: results, outcomes, statistics, files, words for people.

It knows no torch, no Optuna and no Flask, so that everybody may import it.
"""
