"""It has no settings of its own; the recipe's rate decides how far margins part."""

SPACE: dict[str, object] = {}
