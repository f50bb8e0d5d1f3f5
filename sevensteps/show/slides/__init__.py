"""The lesson as slides: one HTML page with large type and arrow keys."""
