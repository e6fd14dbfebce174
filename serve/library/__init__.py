"""Folders of pictures: tagged, indexed, searched for similar ones."""
