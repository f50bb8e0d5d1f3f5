"""Tests of what must hold when things go wrong: killed programs, full disks, damaged and hostile files."""
