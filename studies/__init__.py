"""The Optuna study behind a search: storage, samplers, pruners, exact totals, resume, records.

Knows Optuna and the space; not torch, and not what a trial does.
"""
