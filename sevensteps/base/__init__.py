"""What every other room needs: files, memory, devices, interrupts, seeds, words."""
