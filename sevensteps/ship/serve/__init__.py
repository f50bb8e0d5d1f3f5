"""A model behind HTTP: routes, limits, a queue in front of one worker, and a server that loses no request it took."""
