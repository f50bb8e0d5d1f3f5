"""The command line: the verb is the file."""
