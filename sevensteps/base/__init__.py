"""What everything else stands on: files, memory, devices, interrupts, seeds, words."""
