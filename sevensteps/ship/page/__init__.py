"""One web page with a model inside: it classifies pictures in any browser, from disk and without a request."""
