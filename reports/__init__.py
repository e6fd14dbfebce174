"""A finished, stopped or running study as figures and one self-contained page.

Knows studies and the space; not torch, not the training, not the search. What it shows is read
once (`reports.source`, `reports.exported`), worked out by pure functions (`reports.numbers`), put
into words (`reports.findings`), drawn (`reports.figures`) and laid out (`reports.page`).
"""
