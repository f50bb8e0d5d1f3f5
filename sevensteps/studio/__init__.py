"""The Studio: the seven steps on a page in the browser, one at a time, with your own pictures."""
