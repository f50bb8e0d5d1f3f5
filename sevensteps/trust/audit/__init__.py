"""Trust the pictures: what is wrong with them before anybody trains on them."""
