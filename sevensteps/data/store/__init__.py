"""Stores: sets of pictures larger than memory."""
