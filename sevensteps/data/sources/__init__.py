"""Named sources, arrays, and datasets of other libraries."""
