"""An exported model at work: on the command line, over a picture collection, behind HTTP.

Works from a `best/` folder alone and imports no other package of this repository: what it needs to
be installed is in `serve/requirements.txt`, and torch is not among it.
"""
