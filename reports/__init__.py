"""A finished, stopped or running study as one self-contained page.

Knows studies and the space; not torch, not the training, not the search. A study is read once
(`reports.source`), worked out by pure functions (`reports.numbers`), drawn (`reports.figures`)
and laid out (`reports.page`).
"""
