"""Networks made by other people's code: timm's by name, and the user's own by a dotted path."""
